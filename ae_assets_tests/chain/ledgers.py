"""What has to be true of the ledger and the lives, whatever happened to raw."""

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.ledger import ledger_of
from ae_assets.chain.lives import failures_in, lives_in
from ae_assets.chain.workspace import RAW
from ae_assets.errors import EvaluationError
from ae_assets_tests.evaluation.fleet import lives_of


def hold_what_raw_says(space: Workspace, cuts: Sequence[date] = ()) -> None:
    """Lives, failures and ledger are what all of raw says, today and as known on some days before."""
    name = space.name(RAW)
    rows = space.tables.read(name, date.min, date.max, ["day", "serial_number", "failure"])
    records = rows.rename({"serial_number": "entity", "failure": "label"}).filter(pl.col("entity").is_not_null())
    for cut in (None, *cuts):
        known = records if cut is None else records.filter(pl.col("day") <= cut)
        failures = known.filter(pl.col("label") == 1).select("entity", "day").unique().sort("day", "entity")
        assert_frame_equal(failures_in(space, cut), failures)
        if known.is_empty():
            with pytest.raises(EvaluationError):
                lives_in(space, cut)
        else:
            assert_frame_equal(lives_in(space, cut).frame, lives_of(known).frame)
            assert lives_in(space, cut).known_until == known["day"].max()
    held = ledger_of(space).filter(pl.col("rows") > 0)
    assert dict(held.select("period", "rows").iter_rows()) == space.days_of(RAW)
    assert dict(held.select("period", "raw_version").iter_rows()) == space.tables.day_versions(name)
    origins = space.tables.read(name, date.min, date.max, ["day", "source_file", "source_fingerprint", "loaded_at"])
    expected = origins.unique().rename({"day": "period", "source_fingerprint": "fingerprint"}).sort("period")
    assert_frame_equal(held.select(expected.columns), expected)
