"""Processes killed with SIGKILL while they write; a few trials, of which ``benchmarks/kills.py`` makes hundreds."""

import random
from pathlib import Path

import pytest

from ae_assets_tests.integration.kills.places import POSTGRES, REST, SQLITE, TABLE_ASSETS, places
from ae_assets_tests.integration.kills.rounds import ASSETS, first_writes, rounds
from ae_assets_tests.integration.postgres import Postgres
from ae_assets_tests.integration.seaweed import Seaweed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "trials", "assets", "first"),
    [(SQLITE, 10, ASSETS, 3), (POSTGRES, 6, ASSETS, 2), (REST, 4, TABLE_ASSETS, 1)],
)
def test_a_killed_write_leaves_the_old_or_the_new_day_and_a_rerun_completes_it(
    aws: Seaweed, postgres: Postgres, tmp_path: Path, kind: str, trials: int, assets: tuple[str, ...], first: int
) -> None:
    chance = random.Random(5)  # noqa: S311 - moments, no secrets
    empty = places(tmp_path, postgres, aws)[kind]
    found = [*rounds(empty(), trials, chance, assets), *first_writes(empty, first, chance)]
    assert not [one for one in found if one.faults]
    assert {one.phase for one in found} - {"began", "done"}, "no process was killed in the middle of a write"
