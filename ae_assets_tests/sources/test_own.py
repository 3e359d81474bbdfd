"""Kinds of locations that other packages bring, by dotted path or by entry point."""

import sys
from pathlib import Path

import pytest

from ae_assets.chain.raw import load_raw
from ae_assets.errors import SourceError
from ae_assets.schemas.reading import Reading
from ae_assets.sources import ENTRY_POINTS, open_source
from ae_assets_tests.chain.tables import storage_of, watched_table
from ae_assets_tests.sources.own import FIRST, Store

DOTTED = "ae_assets_tests.sources.own:Store://bucket"


def test_a_dotted_path_opens_a_source_that_raw_loads_like_any_other(tmp_path: Path) -> None:
    source = open_source(DOTTED, Reading(missing_markers=("x",)))
    assert isinstance(source, Store)
    assert source.reading.missing_markers == ("x",)
    space = storage_of(watched_table(DOTTED, start=str(FIRST)), tmp_path)
    loaded = list(load_raw(space, source, sorted(source.days())))
    assert [day.rows for day in loaded] == [2, 2, 2]
    assert set(space.days_of("raw").values()) == {2}


def test_an_installed_package_registers_a_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "store-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: store\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nstore = ae_assets_tests.sources.own:Store\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    source = open_source("store://bucket/days")
    assert isinstance(source, Store)
    assert source.location == "store://bucket/days"


def test_what_cannot_be_imported_or_is_not_registered_is_named() -> None:
    with pytest.raises(SourceError, match=r"no_such_package\.stores:open_it, which opens .* cannot be imported"):
        open_source("no_such_package.stores:open_it://x")
    with pytest.raises(SourceError, match="kind store:// is not known"):
        open_source("store://bucket")
