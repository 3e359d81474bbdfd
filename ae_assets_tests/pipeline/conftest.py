"""A small fleet in Dagster that tests may write to."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ae_assets_tests.pipeline.short_fleet import ShortFleet


@pytest.fixture
def short_fleet(tmp_path: Path) -> Iterator[ShortFleet]:
    """Six days of eight drives with a champion, and files of three more days that wait to be made."""
    with dg.instance_for_test() as instance:
        yield ShortFleet(tmp_path, instance)
