"""A proposal as the text of a ``defs.yaml``, a reason beside each line."""

import json
from collections.abc import Iterator, Mapping

from ae_assets.model.proposal import Kind, Measured, Proposal, span_in_words

_ATTRIBUTES: Mapping[Kind, str] = {
    "counter": "kind: counter",
    "use": "kind: counter, transforms: [growth]",
    "gauge": "kind: gauge",
    "age": "kind: age, transforms: [drift]",
}


def yaml_of(proposal: Proposal, table: str, location: str, source: Mapping[str, str]) -> str:
    """The text of the `defs.yaml`.

    Args:
        proposal: of its columns.
        table: its name.
        location: where its files lie.
        source: further keys of the source, as YAML.
    """
    return "\n".join(_lines(proposal, table, location, source)) + "\n"


def _lines(proposal: Proposal, table: str, location: str, source: Mapping[str, str]) -> Iterator[str]:
    why = proposal.reasons
    yield "# Proposed from a sample: look at each line, then try `ae-assets check " + table + "`."
    for doubt in proposal.unsure:
        yield f"# UNSURE: {doubt}."
    yield from ("type: ae_assets.AnomalyPipeline", "", "attributes:", f"  table: {table}", "")
    yield from ("  source:", f"    location: {_text(location)}")
    yield from (f"    {key}: {value}" for key, value in source.items())
    if proposal.decimal_mark == ",":
        yield '    decimal_mark: ","'
    columns, form = proposal.time
    yield "    columns:"
    cadence = f"; a device has one every {span_in_words(proposal.cadence)}" if proposal.cadence else ""
    yield f"      time: # {why['time']}{cadence}"
    yield f"        column: {_text(columns[0]) if len(columns) == 1 else _text(list(columns))}"
    if form:
        yield f"        format: {_text(form)}"
    if "%H" in form:
        yield "        time_zone: UTC # where the clock stood that wrote these times"
    if proposal.entity is None:
        reason = why.get("entity", "not found")
        yield f"      entity: # {reason}; name the column of the device, or find it in the file's name"
        yield r"        file_name: '^(.+)\.[^.]+$'"
    else:
        yield f"      entity: {_text(proposal.entity)} # {why['entity']}"
    for key, name in (("cohort", proposal.cohort), ("label", proposal.label)):
        if name is not None:
            yield f"      {key}: {_text(name)} # {why[key]}"
        else:
            yield f"      # {key}: COLUMN # {_LEFT_OUT[key]}"
    yield f"      values:{' # ' + why['values'] if 'values' in why else ''}"
    for value in proposal.values:
        yield from _value_lines(value)
    yield from ("", "  features:", "    spans: [1, 7, 28] # days over which growth is measured", "    attributes:")
    clock = next((value.name for value in proposal.values if value.kind == "age"), None)
    for value in proposal.values:
        kind: Kind = "use" if value.kind == "age" and value.name != clock else value.kind
        meaning = f"meaning: {_text(value.name)}"
        yield f"      {_text(value.name)}: {{{_ATTRIBUTES[kind]}, {meaning}}} # {value.reason}"
    yield from _REST.splitlines()


def _value_lines(value: Measured) -> Iterator[str]:
    yield f"        {_text(value.name)}: # from {value.lowest:g} to {value.highest:g} in the sample"
    yield f"          type: {value.type}"
    if value.missing is not None:
        yield f"          missing: {value.missing:g} # stands far from all others"
    if value.lowest >= 0:
        yield "          at_least: 0 # none is below; a row with less is set aside"
    else:
        yield f"          # at_least: {value.lowest:g} # a row with less would be set aside"
    yield f"          # at_most: {value.highest:g} # a row with more would be set aside"


_LEFT_OUT = {
    "cohort": "the device's kind; left out: all are of one kind",
    "label": "1 where the device failed on that day; left out: nothing is judged by failures",
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


def _text(value: object) -> str:
    """A text, or a list of them, as YAML reads it back: JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
