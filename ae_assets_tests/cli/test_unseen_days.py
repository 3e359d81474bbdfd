"""``evaluate`` without days, and wrong use of them."""

from datetime import timedelta
from pathlib import Path

import pytest

from ae_assets.cli import instance
from ae_assets_tests.chain.tables import FIRST, watched_table, write_day
from ae_assets_tests.cli.conftest import command
from ae_assets_tests.pipeline.runs import definitions_of

ALL = ("--start", str(FIRST), "--end", str(FIRST + timedelta(days=29)))


@pytest.mark.slow
def test_an_evaluation_without_days_says_what_it_judged_or_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        rows = [(f"D{drive:02}", 0, drive) for drive in range(20)]
        write_day(tmp_path / "source", FIRST + timedelta(days=number), rows)
    rule = {"type": "counter_rule", "features": ["smart_5_level"]}
    table = watched_table(str(tmp_path / "source"), detector=rule)
    monkeypatch.setattr(instance, "load_table", lambda _: instance.Loaded(definitions_of(table, tmp_path), table))
    training = ("--train-start", str(FIRST), "--train-end", str(FIRST + timedelta(days=9)))
    assert command(tmp_path, "run", "fleet", *ALL, *training).code in {0, 3}
    judged = command(tmp_path, "evaluate", "fleet", "--compare", "none")
    assert judged.code == 0, judged.out
    assert f"{FIRST + timedelta(days=20)} to {FIRST + timedelta(days=29)}" in judged.out
    assert "nothing is known of detection" in judged.out

    later = ("--train-start", str(FIRST), "--train-end", str(FIRST + timedelta(days=14)))
    assert command(tmp_path, "run", "fleet", *ALL, *later).code in {0, 3}
    lacks = command(tmp_path, "evaluate", "fleet")
    assert lacks.code == 0
    assert "too few days to judge yet" in lacks.out

    wrong = command(tmp_path, "evaluate", "fleet", "--start", str(FIRST))
    assert wrong.code == 2
    assert "--start and --end go together; give both or neither" in wrong.error
