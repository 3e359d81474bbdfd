"""Features of a day: validating it and looking back on four weeks, beside Pandera's own validation and a hash join.

On the simulated fleet, all attributes filled: real days of 2013 fill five of thirteen and cost less.
"""

import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import yaml

from ae_assets.features.block import features_of_block
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.features.validation import validate_day
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.sources import open_source
from benchmarks.row import Row

DEFINITION = Path(__file__).parent.parent / "ae_assets" / "defs" / "drive_stats" / "defs.yaml"
FLEET, MODERN_FLEET = 22_700, 300_000
REPEATS = 7


def run() -> list[Row]:
    """Times of a day of the 2013 size with its look-back, and of a modern day without one."""
    config = FeatureConfig.model_validate(yaml.safe_load(DEFINITION.read_text())["attributes"]["features"])
    return [*_day_with_look_back(config), *_modern_day(config)]


def _day_with_look_back(config: FeatureConfig) -> list[Row]:
    source = open_source(f"simulated://?drives={FLEET}&days={config.look_back_days + 1}&seed=7")
    contract = contract_of(DRIVE_STATS, tuple(config.attributes), config.low_bits)
    look_back = LookBack(config)
    listed = source.days()
    last = max(listed)
    for day in sorted(listed):
        look_back.push(validate_day(source.read(listed[day]), day, contract).valid)
    raw = source.read(listed[last])
    valid = validate_day(raw, last, contract).valid
    rules, widened = contract.rules(last, raw.columns), contract.widened(raw)
    checks = [rule.check.all().alias(str(number)) for number, rule in enumerate(rules)]
    history = look_back.history(last)
    today = history.filter(pl.col("day") == last).select("entity").with_row_index("position")
    past = history.filter(pl.col("day") < last).select("entity")
    on = f"{raw.height:,} rows, {len(contract.attributes_in(raw.columns))} attributes"
    behind = f"{history.height:,} rows of {config.look_back_days + 1} days"
    return [
        _milliseconds("validate a day", lambda: validate_day(raw, last, contract), 40, on),
        _milliseconds("the same rules without Pandera", lambda: widened.select(checks), None, on),
        _milliseconds("push a day and take the history", lambda: _pushed(look_back, valid), None, behind),
        _milliseconds("features of a day", lambda: features_of_block(history, last, config), 250, behind),
        _milliseconds(
            "one hash join of the look-back",
            lambda: past.join(today, on="entity", how="inner"),
            None,
            "the least it needs",
        ),
        Row("memory of the look-back", history.estimated_size() / 2**20, "MiB", note=behind),
    ]


def _modern_day(config: FeatureConfig) -> list[Row]:
    source = open_source(f"simulated://?drives={MODERN_FLEET}&days=1&seed=7")
    contract = contract_of(DRIVE_STATS, tuple(config.attributes), config.low_bits)
    day, listed = next(iter(source.days().items()))
    raw = source.read(listed)
    valid = validate_day(raw, day, contract).valid
    on = f"{raw.height:,} rows, no earlier day"
    before = _peak_mebibytes()
    rows = [
        _milliseconds("validate a modern day", lambda: validate_day(raw, day, contract), 400, on),
        _milliseconds(
            "set a whole modern day aside",
            lambda: validate_day(raw, day + timedelta(days=1), contract),
            None,
            on,
            repeats=1,
        ),
        _milliseconds("features of a modern day", lambda: features_of_block(valid, day, config), 2000, on),
    ]
    return [*rows, Row("memory added by a modern day", _peak_mebibytes() - before, "MiB", note="rise of the peak")]


def _pushed(look_back: LookBack, valid: pl.DataFrame) -> pl.DataFrame:
    look_back.push(valid)
    return look_back.history(valid["day"][0])


def _milliseconds(
    name: str, work: Callable[[], object], at_most: float | None, note: str, repeats: int = REPEATS
) -> Row:
    wall = processor = float("inf")
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall = min(wall, 1000 * (time.perf_counter() - started))
        processor = min(processor, 1000 * (time.process_time() - used))
    note = f"{note}; best of {repeats}, {processor:.0f} ms of processor time"
    if at_most is None:
        return Row(name, wall, "ms", note=note)
    return Row(name, wall, "ms", f"at most {at_most:g}", wall <= at_most, note)


def _peak_mebibytes() -> float:
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
