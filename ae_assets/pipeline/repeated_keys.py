"""Keys that stand twice in a mapping of a YAML file: the YAML reader takes the last of them without a word."""

from collections.abc import Iterator
from typing import NamedTuple

import yaml


class RepeatedKey(NamedTuple):
    """A key that stands twice, with the lines of both."""

    path: str
    first_line: int
    line: int


def repeated_keys(text: str) -> list[RepeatedKey]:
    """The repeated keys of every document of a YAML file, in the file's order."""
    found = [key for document in yaml.compose_all(text, yaml.SafeLoader) for key in _below(document)]
    return sorted(found, key=lambda key: key.line)


def _below(node: yaml.Node | None, path: str = "") -> Iterator[RepeatedKey]:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                yield RepeatedKey(path + name, lines[name], line)
            lines.setdefault(name, line)
            yield from _below(value, f"{path}{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _below(item, f"{path}{number}.")
