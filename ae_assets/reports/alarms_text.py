"""A day's list of devices, and one device's history, as plain text that keeps to a width."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from textwrap import wrap
from typing import Any

from ae_assets.reports.tables import AT, MISSING, number, severity_words
from ae_assets.schemas.periods import DAILY, named

INDENT = "    "
LEAST_KIND = 8
"""Characters of a device's kind that are always shown; what does not fit the width is left out of it first."""

CHART_HEIGHT = 8
ALARM, CALM, UNKNOWN = "#", ".", "?"
"""How a day stands in the chart: with an alarm, judged without one, with a record that is not judged."""


def day_text(day: Mapping[str, Any], width: int, most: int | None = None) -> list[str]:
    """A stored day's list in lines of a width, with the first devices only where `most` says so."""
    counts = ("new", "open", "closed", "muted", "not_judged")
    lines = [
        *folded(f"{day['table']} on {day['summary']}", width),
        ", ".join(f"{day['counts'][name]:,} {name.replace('_', ' ')}" for name in counts),
    ]
    if shown := day["open"][:most]:
        lines += ["", *_devices(shown, width)]
    if left := len(day["open"]) - len(shown):
        lines += [f"{left:,} more: ae-assets alarms {day['table']} {day['day']}"]
    if day["closed"]:
        lines += ["", *folded("Closed on this day: " + ", ".join(one["entity"] for one in day["closed"]), width)]
    if day["muted"]:
        muted = [(one["entity"], f"until {one['muted_until']}", one["mute_reason"] or "") for one in day["muted"]]
        lines += ["", "Muted:", *aligned(muted, width)]
    if day["not_judged"]:
        groups = [(f"{one['devices']:,}", one["cohort"], one["because"]) for one in day["not_judged"]]
        lines += ["", "Not judged, which is no sign of health:", *aligned(groups, width, right=(0,))]
    return lines


def history_text(history: Mapping[str, Any], width: int) -> list[str]:
    """What is known of a device, from the record of its history, in lines of a width."""
    kind = "" if history["cohort"] is None else f", {history['cohort']}"
    invented = ", a simulated device" if history["simulated"] else ""
    lines = [f"{history['entity']}{kind}{invented}", *folded(_life(history), width), *_latest(history, width)]
    if chart := score_chart(_charted(history), _cut(history), width):
        lines += ["", f"Score by day ({ALARM} alarm, {CALM} no alarm, {UNKNOWN} not judged):", *chart]
    if history["episodes"]:
        lines += ["", "Episodes:", *_episodes(history["episodes"], width)]
    if history["attributes"]:
        lines += ["", f"From {_range(history)}:", *_moved(history["attributes"], width)]
    if history["set_aside"]:
        set_aside = [(named(one["day"]), f"{one['rule']}: {one['reason']}") for one in history["set_aside"]]
        lines += ["", "Records that were set aside and are not judged:", *aligned(set_aside, width)]
    return lines


def _life(history: Mapping[str, Any]) -> str:
    last, newest = history["last_seen"], DAILY.of(history["newest_day"])
    until = f"{last}, the newest day" if last == newest else f"{last}; the newest day is {newest}"
    failed = f"It failed on {history['failed_on']}." if history["failed_on"] else "No failure is known."
    return f"Seen from {history['first_seen']} to {until}. {failed}"


def _range(history: Mapping[str, Any]) -> str:
    return f"{named(history['first_day'])} to {named(history['last_day'])}"


def _latest(history: Mapping[str, Any], width: int) -> list[str]:
    """How it stood on its last day."""
    one = history["latest"]
    if one is None:
        return folded(f"It has no row in the anomalies of {_range(history)}.", width)
    if one["score"] is None:
        verdict = f"not judged: {one['not_judged_because']}"
    else:
        rarity = f"as rare as {severity_words(one['severity'])}"
        verdict = f"{'alarm' if one['is_alarm'] else 'no alarm'}, score {number(one['score'])} {rarity}"
    is_open = one["episode"] in {"opened", "open"}
    ticket = f"its episode is open since {named(one['since'])}" if is_open else "it has no open episode"
    muted = f"; muted until {one['muted_until']}: {one['mute_reason']}" if one["muted_until"] else ""
    lines = folded(f"On {named(one.get('time', one['day']))}: {verdict}; {ticket}{muted}.", width)
    return lines + [line for reason in one["reasons"] for line in folded(reason, width, INDENT)]


def _episodes(episodes: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Episodes, and below each the attribute that moved its highest score most."""
    cells = [
        (
            named(one["since"]),
            named(one["until"]),
            one["state"],
            f"{one['alarms']:,}",
            MISSING if one["highest_score"] is None else number(one["highest_score"]),
        )
        for one in episodes
    ]
    first, *rows = fitted([("since", "until", "state", "alarms", "highest score"), *cells], width, right={3, 4})
    told = [
        [row, *folded("; ".join(one["reasons"][:1]), width, INDENT)] for row, one in zip(rows, episodes, strict=True)
    ]
    return [first, *(line for lines in told for line in lines)]


def _moved(attributes: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    columns = ("first", "last", "lowest", "highest")
    rows = [(*(number(one[name]) for name in columns), one["meaning"]) for one in attributes]
    return aligned([(*columns, "what moved"), *rows], width, right=range(4))


def _cut(history: Mapping[str, Any]) -> float | None:
    return history["scores"][-1]["threshold"] if history["scores"] else None


def _charted(history: Mapping[str, Any]) -> list[tuple[date, float | None, bool | None]]:
    """Every day that is told, with its highest score and the alarm of that, as `score_chart` takes them."""
    known: dict[date, tuple[float | None, bool]] = {}
    for row in history["scores"]:
        day, shown = DAILY.of(row["day"]), (row["score"], bool(row["is_alarm"]))
        known[day] = max(known.get(day, shown), shown, key=lambda one: -1.0 if one[0] is None else one[0])
    told = DAILY.range(DAILY.of(history["first_day"]), DAILY.of(history["last_day"]))
    return [(day, *known.get(day, (None, None))) for day in told]


def _devices(entries: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Devices with an open episode: since when, score, how rare it is, and below it why.

    Of several records of a device in the period it is that with the highest score, whose time is told.
    """
    timed = "time" in entries[0]
    cells = [
        (
            one["entity"],
            one["cohort"],
            named(one["since"]),
            *([f"{one['time']:{AT}}"] if timed else []),
            "new" if one["is_new"] else str(one["days_open"]),
            MISSING if one["score"] is None else number(one["score"]),
            MISSING if one["severity"] is None else severity_words(one["severity"]),
        )
        for one in entries
    ]
    head = ("device", "kind", "since", *(["at"] if timed else []), "days", "score", "as rare as")
    first, *rows = fitted([head, *cells], width, shortened=1, right={len(head) - 3, len(head) - 2})
    told = [[row, *folded(why(one), width, INDENT)] for row, one in zip(rows, entries, strict=True)]
    return [first, *(line for lines in told for line in lines)]


def why(one: Mapping[str, Any]) -> str:
    """What moved a device's score, and what must be known beside it, in words."""
    said = []
    if one["failed"]:
        said.append("failed on this day")
    if one["not_judged_because"] is not None:
        said.append(f"not judged: {one['not_judged_because']}")
    elif not one["is_alarm"]:
        said.append("below the threshold but not clear yet")
    context = f" (at {one['context']})" if one["context"] else ""
    return ("; ".join([*said, *one["reasons"]]) or "no reason is stored") + context


def score_chart(days: Sequence[tuple[date, float | None, bool | None]], cut: float | None, width: int) -> list[str]:
    """A chart of scores over days, a column each: `#` with an alarm, `.` judged without one, `?` not judged.

    Args:
        days: calendar days in order, each with its score and whether it is an alarm. A day without a record has neither
            and stays empty; one that is not judged has False for the alarm and no score.
        cut: the threshold, which is marked at the edge; None: not known.
        width: characters of a line. Of more days than fit, the last ones are shown.
    """
    known = [score for _, score, _ in days if score is not None]
    if not known:
        return []
    top = max([*known, cut or 0.0]) or 1.0
    labels = {CHART_HEIGHT: number(top), 1: "0"}
    if cut is not None:
        labels[_level(cut, top)] = f"cut {number(cut)}"
    edge = max(len(label) for label in labels.values())
    shown = days[-(width - edge - 2) :]
    lines = [
        f"{labels.get(level, ''):>{edge}} |" + "".join(_mark(level, top, score, alarm) for _, score, alarm in shown)
        for level in range(CHART_HEIGHT, 0, -1)
    ]
    first, last = str(shown[0][0]), str(shown[-1][0])
    axis = f"{first}{last:>{len(shown) - len(first)}}" if len(shown) > len(first) + len(last) else f"{first} to {last}"
    return [line.rstrip() for line in lines] + [" " * (edge + 2) + axis]


def _level(score: float, top: float) -> int:
    """The line of the chart that a score reaches, 1 the lowest."""
    return max(1, min(CHART_HEIGHT, round(score / top * CHART_HEIGHT)))


def _mark(level: int, top: float, score: float | None, alarm: bool | None) -> str:
    if score is None:
        return UNKNOWN if level == 1 and alarm is not None else " "
    return (ALARM if alarm else CALM) if level <= _level(score, top) else " "


def aligned(rows: Sequence[Sequence[str]], width: int, right: Iterable[int] = ()) -> list[str]:
    """Rows of cells as aligned columns; the last column goes on in lines below where it does not fit the width."""
    widths = _widths(rows)
    start = sum(widths[:-1]) + 2 * (len(widths) - 1)
    lines = []
    for row in rows:
        first, *more = wrap(row[-1], max(width - start, 20), break_on_hyphens=False) or [""]
        lines.append(_line([*row[:-1], first], widths, set(right)))
        lines += [" " * start + text for text in more]
    return lines


def fitted(rows: Sequence[Sequence[str]], width: int, *, right: set[int], shortened: int = 0) -> list[str]:
    """Rows of cells as aligned columns, one of which is cut short where they do not fit the width."""
    widths = _widths(rows)
    over = sum(widths) + 2 * (len(widths) - 1) - width
    widths[shortened] = max(min(LEAST_KIND, widths[shortened]), widths[shortened] - max(over, 0))
    return [
        _line(
            [_shortened(cell, widths[place]) if place == shortened else cell for place, cell in enumerate(row)],
            widths,
            right,
        )
        for row in rows
    ]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], right: set[int]) -> str:
    padded = [
        cell.rjust(width) if place in right else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """Text in lines of a width, broken between words."""
    return wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
