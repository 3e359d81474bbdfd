"""How the drives of a server stand, as lines of 80 columns."""

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap

from ae_assets.one_server.outputs import Kind
from ae_assets.one_server.states import BY_MODEL, Standing, State

WIDTH = 80
_COLUMNS = (("device", 13), ("model", 20), ("serial", 15), ("state", 18), ("since", 10))
_INDENT = "    "


def lines_of(standings: Sequence[Standing]) -> Iterator[str]:
    """The drives, each with why, and what holds for all of them."""
    yield _line([name for name, _ in _COLUMNS])
    for one in standings:
        report, since = one.report, "" if one.since is None else one.since.isoformat()
        state = one.state if one.by is None else f"{one.state} by {one.by}"
        yield _line([report.device, report.model or "", report.serial or "", state, since])
        for words in _why(one):
            yield from wrap(words, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
    yield ""
    counted = Counter(one.state for one in standings)
    plural = "" if len(standings) == 1 else "s"
    yield f"{len(standings)} drive{plural}: " + ", ".join(
        f"{counted[state]} {state}" for state in State if counted[state]
    )
    if any(one.by == BY_MODEL and one.decision is not None and not one.decision.with_growth for one in standings):
        text = "Of a hard disk without records of a week the model sees no growth, and finds fewer that will fail."
        yield from wrap(text, WIDTH)
    if any(one.state == State.HEALTHY for one in standings):
        yield "Healthy is no promise: many drives fail without a sign (docs/one-server.md)."


def _why(one: Standing) -> Iterator[str]:
    if len(one.report.device) > _COLUMNS[0][1]:
        yield one.report.device
    yield from one.why
    if one.also:
        yield f"the same drive as {', '.join(one.also)}"
    if one.decision is not None and one.decision.score is not None:
        yield f"score {one.decision.score:.2f}, alarm above {one.decision.threshold:.2f}"
    if one.report.problem is None and one.report.drive is None:
        judged = " and is judged by rules alone" if one.report.kind == Kind.HARD_DISK else ""
        yield f"it names no serial number, so it has no history{judged}"


def _line(cells: Sequence[str]) -> str:
    fitted = (_fitted(cell, width, end=name != "model") for cell, (name, width) in zip(cells, _COLUMNS, strict=True))
    return " ".join(fitted).rstrip()[:WIDTH]


def _fitted(cell: str, width: int, *, end: bool) -> str:
    """Padded; of a long one the end stays, which tells devices apart, or the beginning, which tells models."""
    if len(cell) <= width:
        return cell.ljust(width)
    return f"…{cell[1 - width :]}" if end else f"{cell[: width - 1]}…"
