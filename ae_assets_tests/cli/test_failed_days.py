"""What a run says of days that failed and of those that did not."""

from ae_assets_tests.cli.fleet import DAYS, NEWEST, Fleet


def test_the_list_is_that_of_the_newest_day_that_did_not_fail(fleet: Fleet) -> None:
    said = fleet.says("run", "fleet", *NEWEST)
    assert said.code == 0, said.out
    assert f"fleet on {DAYS[-1]}: " in said.out
    (fleet.home / "source" / f"{DAYS[-1]}.csv").write_bytes(b"")
    said = fleet.says("run", "fleet", *NEWEST)
    assert said.code == 1
    assert f"{DAYS[-1]} at raw: " in said.out
    assert f"fleet on {DAYS[-2]}: " in said.out
    assert f"fleet on {DAYS[-1]}: " not in said.out
    assert DAYS[-1] in fleet.space.days_of("anomalies"), "a day that cannot be read keeps what was made of it before"
