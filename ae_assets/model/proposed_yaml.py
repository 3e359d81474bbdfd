"""A proposal as the text of a ``defs.yaml``, a reason beside each line."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ae_assets.features.config import feature_prefix
from ae_assets.model.life import Unit
from ae_assets.model.proposal import Kind, Measured, Proposal
from ae_assets.schemas.durations import DAY, whole_days, written
from ae_assets.schemas.times import EPOCH, has_time_of_day

_ATTRIBUTES: Mapping[Kind, str] = {
    "counter": "kind: counter",
    "use": "kind: counter, transforms: [growth]",
    "gauge": "kind: gauge",
    "age": "kind: age, transforms: [drift]",
}

_SPANS: Mapping[timedelta, str] = {
    timedelta(hours=12): "[1, 2, 7]",
    timedelta(days=1): "[1, 7, 28]",
}
"""Over which growth says something of devices with a record as often as that, or more often."""
_LONG_SPANS = "[7, 28, 84]"

_LARGEST_STEP = timedelta(hours=1)
"""Between the records of a series; what comes less often is told as devices of a record a day are."""

_GAUGE_ALONE = "kind: gauge, transforms: [level, growth, excess]"

_RECORDS_OF_SPANS = (1, 4, 24, 96, 672)
"""Of series: of records each 15 minutes 15 minutes, an hour, 6 hours, a day and a week."""

_SPANS_LEARNED = 12
"""Times that the longest of them fits into what is learned from, or next to nothing would be known of it."""

_MANY_RECORDS = 1000
"""To learn from; of fewer few features are made, or what is usual would be fitted too closely."""

_LEARNED_ALONE = 0.075
"""Share of its days from which a series of one value is learned, and again for its cut: 15% in all, as the probation of
the Numenta Anomaly Benchmark."""

_LEARNED, _CALIBRATED = 0.4, 0.1
"""Shares of the days of devices with several values; the other half is judged."""

_SEEN = 0.35
"""Share of the records of devices that have them for a few days only; three quarters of it are learned from."""

_FEW_DAYS = 8
"""Of devices from which on their days are counted, and not their records."""

_HELD = 8
"""Records over which the highest score of a series counts: an alarm that flickers is one."""

_FALSE_ALARMS, _RECORDS_OF_ALARM = 0.1, 3 * _HELD
"""A day of a device, and how long one lasts at the stations of the results, where scores count for `_HELD` records."""

_MANY_DEVICES = 20
"""From which on one of them in alarm, or gone, is nothing that a check of the whole should ask about."""

_ENOUGH_DAYS = 90
"""Of training, embargo and calibration as long as they are where a YAML does not say it."""


def yaml_of(proposal: Proposal, table: str, location: str, source: Mapping[str, str], target: str | None = None) -> str:
    """The text of the `defs.yaml`.

    Args:
        proposal: of its columns.
        table: its name.
        location: where its files lie.
        source: further keys of the source, as YAML.
        target: the file of intervals, and what it holds, as YAML.
    """
    return "\n".join(_lines(proposal, table, location, source, target)) + "\n"


def _lines(
    proposal: Proposal, table: str, location: str, source: Mapping[str, str], target: str | None
) -> Iterator[str]:
    why = proposal.reasons
    yield "# Proposed from a sample: look at each line, then try `ae-assets check " + table + "`."
    for doubt in proposal.unsure:
        yield f"# UNSURE: {doubt}."
    yield from ("type: ae_assets.AnomalyPipeline", "", "attributes:", f"  table: {table}")
    yield from (f"  partitions: {proposal.partitions} # {why['partitions']}", "")
    yield from ("  source:", f"    location: {_text(location)}")
    yield from (f"    {key}: {value}" for key, value in source.items())
    if proposal.decimal_mark == ",":
        yield '    decimal_mark: ","'
    yield from _column_lines(proposal)
    if target is not None:
        yield f"  target: {{file: {target}"
    yield from ("", "  features:", f"    spans: {_spans(proposal)}", "    attributes:")
    cadence = _cadence_of_series(proposal)
    clock = next((value.name for value in proposal.values if value.kind == "age"), None)
    for value in proposal.values:
        kind: Kind = "use" if value.kind == "age" and value.name != clock else value.kind
        meaning = f"meaning: {_text(value.name)}"
        made = _gauge_of_series(proposal, cadence) if cadence is not None and kind == "gauge" else _ATTRIBUTES[kind]
        if cadence is not None and value.name == _alone(proposal):
            made = f"{_GAUGE_ALONE}, excess_of_means: [{written(max(timedelta(hours=2), 4 * cadence))}]"
        yield f"      {_text(value.name)}: {{{made}, {meaning}}} # {value.reason}"
    if cadence is None:
        yield from _REST.splitlines()
    else:
        yield from _rest_of_series(proposal, cadence) if _alone(proposal) is None else _rest_of_one(proposal, cadence)


def _alone(proposal: Proposal) -> str | None:
    """The value of series that have one and go up and down: nothing but its own past says what is usual for it."""
    if proposal.partitions != "daily" or _cadence_of_series(proposal) is None or len(proposal.values) != 1:
        return None  # a week of hourly partitions is long to look back on
    (value,) = proposal.values
    return value.name if value.kind == "gauge" else None


def _past(proposal: Proposal, cadence: timedelta) -> timedelta:
    """How far back a value alone is looked back on: the best of 3 to 14 days where a record comes each 5 minutes."""
    past = max(7 * DAY, 672 * cadence)
    return past if proposal.longest_step is None else max(past, _days_of(2 * _alone_records(proposal), proposal))


def _alone_records(proposal: Proposal) -> int:
    """The records from which a series of one value is learned, where those of some come far more often."""
    return max(int(_LEARNED_ALONE * proposal.records), 20) if proposal.is_mixed else 0


def _days_of(records: int, proposal: Proposal) -> timedelta:
    """Days that hold so many records of the slowest device, with some of them missing."""
    longest = proposal.longest_step or proposal.cadence or DAY
    return whole_days(1.2 * records * longest) * DAY


@dataclass(frozen=True)
class _Parts:
    """What is learned from of each device, skipped, and calibrated on: days, or records."""

    learned: int
    embargo: int
    calibrated: int
    unit: Unit

    def past(self, proposal: Proposal) -> timedelta:
        """A look-back that tells them."""
        every = self.learned + self.embargo + self.calibrated
        return (every + 1) * DAY if self.unit == "days" else _rounded(1.2 * every * (proposal.longest_step or DAY))


def _parts(proposal: Proposal) -> _Parts | None:
    """Of devices with several values, from the first record of each; None: days of the calendar will do."""
    if proposal.days >= _ENOUGH_DAYS and proposal.side_by_side:
        return None
    if proposal.days >= _FEW_DAYS and not proposal.is_mixed:
        days = min(proposal.days, _ENOUGH_DAYS)
        return _Parts(max(round(_LEARNED * days), 1), 1, max(round(_CALIBRATED * days), 1), "days")
    seen = _SEEN * proposal.records
    if proposal.normal_records is not None:
        seen = min(max(seen / 1.5, proposal.normal_records), 1.1 * seen)
    learned = max(int(0.75 * seen), 20)
    return _Parts(learned, _HELD, max(int(0.25 * seen) - _HELD, 10), "records")


def _rounded(length: timedelta) -> timedelta:
    """Up to whole minutes, hours or days."""
    unit = next((unit for unit in (DAY, timedelta(hours=1), timedelta(minutes=1)) if length > 2 * unit), length)
    return -(-length // unit) * unit


def _spans_of_series(proposal: Proposal, cadence: timedelta) -> list[timedelta]:
    """Over which growth and range are measured."""
    parts, longest = _parts(proposal), proposal.longest_step or cadence
    if parts is None:
        return [count * cadence for count in _RECORDS_OF_SPANS]
    learned = parts.learned * DAY if parts.unit == "days" else parts.learned * longest
    fitting = [count for count in _RECORDS_OF_SPANS if _SPANS_LEARNED * count * longest <= learned]
    if parts.unit == "records" and parts.learned < _MANY_RECORDS:
        fitting = fitting[-1:]
    return [count * longest for count in fitting or [1]]


def _gauge_of_series(proposal: Proposal, cadence: timedelta) -> str:
    parts = _parts(proposal)
    if parts is None:
        return "kind: gauge, transforms: [level, growth, range]"
    spans = ", ".join(map(written, _spans_of_series(proposal, cadence)))
    few = parts.unit == "records" and parts.learned < _MANY_RECORDS
    return f"kind: gauge, transforms: [level, {'' if few else 'growth, '}range], spans: [{spans}]"


def _cadence_of_series(proposal: Proposal) -> timedelta | None:
    """The time between the records of a device that has one each hour or more often; None: it has them less often."""
    return proposal.cadence if proposal.cadence is not None and proposal.cadence <= _LARGEST_STEP else None


def _spans(proposal: Proposal) -> str:
    """Lengths of time over which growth says something."""
    cadence = _cadence_of_series(proposal)
    if cadence is None:
        step = proposal.step or DAY
        spans = next((spans for longest, spans in _SPANS.items() if step <= longest), _LONG_SPANS)
        return f"{spans} # over which growth is measured; a number is days"
    if _alone(proposal) is not None:
        spans = f"{written(proposal.longest_step or cadence)}, {written(_past(proposal, cadence))}"
        return f"[{spans}] # the longest is the past that a value is held against"
    if (parts := _parts(proposal)) is not None:
        past = max(parts.past(proposal), _spans_of_series(proposal, cadence)[-1])
        return f"[{written(past)}] # looked back on; it tells the first {parts.unit} of a device"
    lengths = ", ".join(map(written, _spans_of_series(proposal, cadence)))
    return f"[{lengths}] # over which growth and range are measured; the longest is looked back on"


def _rest_of_series(proposal: Proposal, cadence: timedelta) -> Iterator[str]:
    yield ""
    if (parts := _parts(proposal)) is None:
        yield "  training: {horizon_days: 1}"
        yield "  calibration: {embargo_days: 2}"
    else:
        of_all = proposal.days if parts.unit == "days" else proposal.records
        yield f"  # Of each device the first of its {of_all:,} {parts.unit} or so are learned from, and it is judged"
        yield "  # after them. A table that goes on learns again from later days with counted_from: calendar."
        yield f"  training: {{{parts.unit}: {parts.learned}, counted_from: entity}}"
        yield f"  calibration: {{embargo_{parts.unit}: {parts.embargo}, {parts.unit}: {parts.calibrated}}}"
    yield from _DETECTOR_OF_SERIES.format(percentile=_percentile(cadence), budget=_FALSE_ALARMS).splitlines()
    yield f"    aggregation: {{method: max, span: {written(_HELD * cadence)}}} # an alarm that flickers is one alarm"
    yield "    episodes: {clear_after: 4}"
    if proposal.devices < _MANY_DEVICES:
        yield from _CHECKS_OF_FEW.splitlines()
    if proposal.days < _ENOUGH_DAYS:
        if proposal.devices >= _MANY_DEVICES:
            yield from ("", "  checks:")
        yield f"    window_days: {max(proposal.days // 6, 1)} # a model is judged on as many days"


def _percentile(cadence: timedelta) -> float:
    """The cut at which false alarms take no more records than are allowed; of calibrations more cannot be told."""
    share = _FALSE_ALARMS * _RECORDS_OF_ALARM * cadence / DAY
    return round(100 * (1 - min(max(share, 0.005), 0.05)), 1)


def _rest_of_one(proposal: Proposal, cadence: timedelta) -> Iterator[str]:
    value, mean = _alone(proposal), written(max(timedelta(hours=2), 4 * cadence))
    prefix = feature_prefix(str(value))
    unit, learned = "records", _alone_records(proposal)
    if not proposal.is_mixed:  # they must end before the past that the features look back on is full
        unit = "days"
        learned = max(1, min(int(_LEARNED_ALONE * proposal.days), _past(proposal, cadence) // DAY // 2))
    yield ""
    yield f"  training: {{{unit}: {learned}, counted_from: entity}} # the first of each device, wherever they lie"
    yield f"  calibration: {{embargo_{unit}: 0, {unit}: {learned}}} # of each device, after them"
    yield from _DETECTOR_OF_ONE.format(excess=f"{prefix}_excess", of_mean=f"{prefix}_excess_{mean}").splitlines()
    yield f"      hold: {written(max(timedelta(hours=12), 48 * cadence))} # what goes on is told once"
    yield "      clear_after: 12"
    yield from ("", "  checks:", f"    window_days: {min(max(proposal.days // 6, 1), 30)}")
    if proposal.devices < _MANY_DEVICES:
        few = {"max_alarm_share": 0.5, "min_cohort_devices": 1000, "max_open_episodes_gone": max(proposal.devices, 1)}
        yield from (f"    {key}: {limit}" for key, limit in few.items())
        yield from ("    volume_low: 0.01 # series may lie in other weeks each", "    volume_high: 100")


def _column_lines(proposal: Proposal) -> Iterator[str]:
    why = proposal.reasons
    yield "    columns:"
    yield f"      time: # {why['time']}"
    yield f"        column: {_one_or_several(proposal.time)}"
    if proposal.formats:
        yield f"        format: {_one_or_several(proposal.formats)}"
    if any(has_time_of_day(form) and form not in EPOCH for form in proposal.formats):
        yield "        time_zone: UTC # where the clock stood that wrote these times"
    if proposal.cadence is not None:
        yield f"        cadence: {written(proposal.cadence)} # {why['cadence']}"
    if proposal.entity is None:
        reason = why.get("entity", "not found")
        yield f"      entity: # {reason}; name the column of the device, or find it in the file's name"
        key = "file_path" if proposal.entity_in_path else "file_name"
        yield f"        {key}: '{proposal.entity_of_file}'"
    else:
        yield f"      entity: {_text(proposal.entity)} # {why['entity']}"
    for key, name in (("cohort", proposal.cohort), ("label", proposal.label)):
        if name is not None and key == "label":
            yield f"      label: {_label(proposal, name)}"
        elif name is not None:
            yield f"      {key}: {_text(name)} # {why[key]}"
        else:
            marks = proposal.marks if key == "label" else ()
            column = f"{{columns: {_text(list(marks))}}}" if marks else "COLUMN"
            yield f"      # {key}: {column} # {_LEFT_OUT[key]}"
    yield f"      values:{' # ' + why['values'] if 'values' in why else ''}"
    for value in proposal.values:
        yield from _value_lines(value, of_series=_cadence_of_series(proposal) is not None)


def _label(proposal: Proposal, name: str) -> str:
    """A record of a series may be abnormal; a device that has one a day fails."""
    ones = proposal.reasons["label"]
    if proposal.cadence is None:
        return f"{_text(name)} # {ones}; it should say that the device failed on that day"
    return f"{{columns: [{_text(name)}], abnormal: {_text(list(proposal.label_cells))}}} # {ones}"


def _value_lines(value: Measured, *, of_series: bool) -> Iterator[str]:
    yield f"        {_text(value.name)}: # from {value.lowest:g} to {value.highest:g} in the sample"
    yield f"          type: {value.type}"
    if value.missing is not None:
        yield f"          missing: {value.missing:g} # {value.why_missing}"
    if value.lowest >= 0 and not of_series:  # of a series a strange reading is to be judged, not to be set aside
        yield "          at_least: 0 # none is below; a row with less is set aside"
    else:
        yield f"          # at_least: {value.lowest:g} # a row with less would be set aside"
    yield f"          # at_most: {value.highest:g} # a row with more would be set aside"


_LEFT_OUT = {
    "cohort": "the device's kind; left out: all are of one kind",
    "label": "what is known to have gone wrong; left out: nothing is judged by it",
}

_REST = """
  detector:
    type: dense_autoencoder
    units: [64, 32, 16, 32, 64]
    epochs: 500 # at most: training stops where the loss stays
    batch_size: 256 # small, as few devices have few records

  threshold:
    policy: percentile
    percentile: 99.9"""

_DETECTOR_OF_SERIES = """
  detector:
    type: pca
    statistic: t2_and_q # how far a record lies from the usual ones, and how unlike them its values go together
    per: entity # what is usual for one device says little of another
    explained_variance: 0.7
    clip: 20

  threshold:
    policy: percentile
    percentile: {percentile:g} # some {budget:g} false alarms a day of a device, where days are as those of calibration

  decision:"""

_DETECTOR_OF_ONE = """
  detector: # how far a value, and a mean of it, lies outside of the range of its own past
    type: excess_rule
    features: [{excess}, {of_mean}]

  threshold:
    policy: percentile
    percentile: 98.5

  decision:
    episodes:"""

_CHECKS_OF_FEW = """
  checks: # of few devices
    max_alarm_share: 0.5
    max_share_not_judged: 0.5
    min_cohort_devices: 1000 # one that is gone is no cohort
    max_open_episodes_gone: 1
    volume_low: 0.1
    volume_high: 10"""


def _one_or_several(values: Sequence[str]) -> str:
    return _text(values[0]) if len(values) == 1 else _text(list(values))


def _text(value: object) -> str:
    """A text, or a list of them, as YAML reads it back: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
