"""Text from outside made fit for logs, run tags and tables: names in archives, keys, answers of servers, locations.

Nothing here makes a text fit to be a path: such names are only ever compared and printed.
"""

import re

MOST_CHARACTERS = 1_000
"""More of a name is not shown: a name in a zip archive may have 65,535 characters, and each row keeps its origin."""


def printable(text: str) -> str:
    r"""The text on one line: line ends, control, invisible and undecodable characters are escaped as in Python (`\n`).

    A long text loses its middle; its end stays, since that is where the name of a file is.
    """
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS // 4]}…{text[1 - 3 * MOST_CHARACTERS // 4 :]}"
    return text


def quoted(text: str, most: int = 80) -> str:
    """The beginning of a cell, a name or a line of a file in quotes, printable as by `repr`; `…` stands for the rest.

    Args:
        text: as the file has it.
        most: characters that are shown.
    """
    return repr(text if len(text) <= most else f"{text[:most]}…")


def without_secrets(location: str) -> str:
    """A location as it may be shown in an error: without what stands before an `@`, and without query and fragment."""
    scheme, mark, rest = location.partition("://")
    if not mark:
        return printable(location)
    shown = re.split("[?#]", rest.rpartition("@")[2])[0]
    return printable(f"{scheme}://{shown}")
