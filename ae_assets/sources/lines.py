"""CSV files that lack a header, or a time: both are written into them, as the YAML says, before they are read."""

from ae_assets.schemas.columns import TIME_COLUMN
from ae_assets.schemas.reading import Lines

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def completed(data: bytes, lines: Lines, separator: str) -> bytes:
    """The bytes of a file with the header and the times that it lacks; blank lines stay, and count for nothing.

    The time of a line is written as `TIME_FORMAT` says, in a first column `TIME_COLUMN`.
    """
    header = separator.join(lines.columns).encode()
    if lines.columns:
        data = header + b"\n" + data
    if lines.begin is None or lines.step is None:
        return data
    head, mark, rest = data.partition(b"\n")
    timed, number = [TIME_COLUMN.encode() + separator.encode() + head], 0
    for line in rest.split(b"\n"):
        if not line.strip():
            timed.append(line)
            continue
        time = f"{lines.begin + number * lines.step:{TIME_FORMAT}}{separator}"
        timed.append(time.encode() + line)
        number += 1
    return b"\n".join(timed) if mark else data
