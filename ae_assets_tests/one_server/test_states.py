"""How drives stand: by the model where it judges, by rule elsewhere, and since when."""

import hashlib
import json
from datetime import date
from typing import Any

import pytest

from ae_assets.errors import AeAssetsError
from ae_assets.one_server.starter import FOLDER, readings_of, starter_model
from ae_assets.one_server.states import BY_MODEL, BY_RULE, Standing, State, standings
from ae_assets.one_server.text import WIDTH, lines_of
from ae_assets_tests.one_server.outputs import content, nvme, raws, report, report_of


def stand(*values: Any, records: Any = ()) -> list[Standing]:
    return standings([report_of(value) for value in values], list(records))[0]


def one(*values: Any, records: Any = ()) -> Standing:
    [only] = stand(*values, records=records)
    return only


@pytest.mark.parametrize(
    ("name", "state", "by"),
    [
        ("seagate_exos_packed_timeouts", State.HEALTHY, BY_MODEL),
        ("wd_red", State.HEALTHY, BY_MODEL),
        ("hgst_ultrastar", State.HEALTHY, BY_MODEL),
        ("toshiba_mg08", State.HEALTHY, BY_MODEL),
        ("hitachi_failed", State.FAILING, BY_RULE),
        ("samsung_ssd_840", State.HEALTHY, BY_RULE),
        ("crucial_micron_5300", State.HEALTHY, BY_RULE),
        ("intel_nvme_p4510", State.HEALTHY, BY_RULE),
        ("samsung_nvme_media_errors", State.WATCH, BY_RULE),
        ("samsung_nvme_backup_failed", State.FAILING, BY_RULE),
        ("hitachi_sas", State.HEALTHY, BY_RULE),
        ("seagate_sas_grown_defects", State.WATCH, BY_RULE),
    ],
)
def test_real_drives(name: str, state: State, by: str) -> None:
    standing = one(content(name))
    assert (standing.state, standing.by) == (state, by)


def test_a_disk_whose_counters_are_high_is_watched_by_the_model_and_says_by_which() -> None:
    standing = one(raws("toshiba_mg08", smart_5=2000, smart_197=900))
    assert (standing.state, standing.by) == (State.WATCH, BY_MODEL)
    assert "reallocated sectors 2,000" in " ".join(standing.why)
    assert standing.decision is not None
    assert not standing.decision.with_growth


def test_a_sound_disk_that_has_a_raised_counter_says_so() -> None:
    standing = one(raws("toshiba_mg08", smart_5=3))
    assert standing.state == State.HEALTHY
    assert standing.why == ("reallocated sectors 3 (below the model's alarm)",)


def test_growth_is_seen_with_a_history_and_alarms_where_the_level_alone_does_not() -> None:
    days = [raws("toshiba_mg08", day, smart_5=0 if day < 0 else 40) for day in (-40, -20, -7, -1, 0)]
    alone = one(days[-1])
    _, records = standings([report_of(value) for value in days[:-1]], [])
    together = one(days[-1], records=records)
    assert alone.decision is not None
    assert together.decision is not None
    assert (alone.decision.with_growth, together.decision.with_growth) == (False, True)
    assert (alone.decision.score or 0) < (together.decision.score or 0)
    assert (alone.state, together.state) == (State.HEALTHY, State.WATCH)
    assert (together.since, alone.since) == (date(2025, 11, 24), None)


def test_a_disk_with_old_damage_is_watched_at_first_and_no_more_once_a_week_says_that_it_does_not_grow() -> None:
    days = [raws("seagate_barracuda_reallocated", day) for day in (-8, -4, 0)]
    records: list[Any] = []
    states = []
    for day in days:
        [standing], seen = standings([report_of(day)], records)
        records += seen
        states.append((standing.state, standing.decision is not None and standing.decision.with_growth))
    assert states == [(State.WATCH, False), (State.WATCH, False), (State.HEALTHY, True)]


@pytest.mark.parametrize("days_of", [(-30, -20, -10, -7, -1, 0), (-3, -2, -1, 0)])
def test_a_history_says_the_same_as_all_days_at_once(days_of: tuple[int, ...]) -> None:
    days = [report_of(raws("wd_red", day, smart_5=max(0, day + 10) * 8)) for day in days_of]
    [at_once], seen = standings(days, [])
    records: list[Any] = []
    for day in days:
        [by_day], new = standings([day], records)
        records = [*records, *new]
    assert by_day == at_once
    assert records == seen


def test_a_state_is_told_since_its_first_day_and_goes_over_days_without_a_run() -> None:
    days = {-9: 0, -8: 2, -3: 2, 0: 2}
    _, records = standings([report_of({**nvme(media_errors=errors), **at(day)}) for day, errors in days.items()], [])
    assert [record.since.day for record in records] == [15, 16, 16, 16]
    standing = one(nvme(media_errors=5), records=records[:-1])
    assert standing.since == date(2025, 11, 16)
    assert standing.why == ("media and data integrity errors 5, +5 since 2025-11-15",)


def at(days: int) -> dict[str, Any]:
    return {"local_time": {"time_t": 1_764_000_000 + days * 86_400}}


def test_a_disk_that_reports_none_of_the_counters_is_not_judged() -> None:
    value = content("wd_red")
    value["ata_smart_attributes"]["table"] = [
        row for row in value["ata_smart_attributes"]["table"] if row["id"] not in (5, 187, 197, 198)
    ]
    standing = one(value)
    assert (standing.state, standing.by) == (State.NOT_JUDGED, None)
    assert "not reported" in standing.why[0]


def test_a_reading_that_cannot_be_is_not_judged_and_spoils_no_other_drive() -> None:
    garbled = raws("wd_red", smart_5=2**50)
    sound, bad = content("hgst_ultrastar"), stand(garbled, content("hgst_ultrastar"))
    assert [(one.state, one.report.model) for one in bad] == [
        (State.WATCH, "WDC WD20EFRX-68EUZN0"), (State.HEALTHY, sound["model_name"]),
    ]  # fmt: skip
    assert "smart_5_raw" in " ".join(bad[0].why)
    assert bad[0].by == BY_RULE


def test_a_disk_without_a_serial_number_is_judged_by_rule() -> None:
    standing = one({**raws("wd_red", smart_197=4), "serial_number": " "})
    assert (standing.state, standing.by) == (State.WATCH, BY_RULE)


def test_a_drive_on_two_paths_is_one_drive() -> None:
    twin = {**content("hitachi_sas"), "device": {"name": "/dev/sdq", "protocol": "SCSI"}}
    standing = one(content("hitachi_sas"), twin)
    assert standing.also == ("/dev/sdq",)


def test_two_drives_to_which_a_case_gives_one_serial_number_are_two() -> None:
    twins = stand(
        {**content("hitachi_failed"), "serial_number": "0123"}, {**content("wd_red"), "serial_number": "0123"}
    )
    assert sorted(one.state for one in twins) == [State.FAILING, State.HEALTHY]
    alike = {**raws("wd_red", smart_197=300), "device": {"name": "/dev/sdy", "protocol": "ATA"}}
    alike["power_on_time"] = {"hours": 7}
    assert sorted(one.state for one in stand(content("wd_red"), alike)) == [State.HEALTHY, State.WATCH]


def test_hours_are_those_that_smartctl_makes_of_a_raw_value_with_minutes_in_it() -> None:
    packed = raws("wd_red", smart_9=167_031_278_144_165)
    assert readings_of(report_of(packed))["smart_9_raw"] == packed["power_on_time"]["hours"]


def test_the_table_keeps_to_its_width_and_names_every_drive() -> None:
    stands = stand(content("wd_red"), content("seagate_scsi_uncorrected"), content("standby"), nvme(media_errors=1))
    lines = list(lines_of(stands))
    assert max(map(len, lines)) <= WIDTH
    assert all(any(one.report.device in line for line in lines) for one in stands)
    assert "4 drives: 1 healthy, 2 watch, 1 not judged" in lines


def test_the_model_of_the_package_says_on_what_it_was_made_and_holds_arrays_and_json_alone() -> None:
    card = json.loads((FOLDER / "version.json").read_text())["card"]
    assert "Backblaze" in card["source"]
    assert "57.4% [53.0, 61.7]" in card["judged"]
    assert card["training"] == {"start": "2014-07-01", "end": "2014-12-31", "known_until": "2015-01-30"}
    assert {path.suffix for path in FOLDER.iterdir()} == {".json", ".npz"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 50_000
    model = starter_model()
    assert (model.version, model.limits.most_set_aside) == ("starter-1", 1.0)


def test_a_model_of_the_package_that_was_changed_is_refused(tmp_path: Any) -> None:
    import shutil

    from ae_assets.model.model import load_model

    folder = shutil.copytree(FOLDER, tmp_path / "model")
    arrays = folder / "arrays.npz"
    digest = json.loads((folder / "preprocessing.json").read_text())["digest"]
    assert hashlib.sha256(arrays.read_bytes()).hexdigest() == digest
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(AeAssetsError, match=r"arrays\.npz"):
        load_model(folder)


def test_scsi_of_which_nothing_is_counted_is_not_judged() -> None:
    assert one({**content("hitachi_sas"), "scsi_grown_defect_list": None, "scsi_error_counter_log": {}}).state == (
        State.NOT_JUDGED
    )
    assert report("hitachi_sas").passed is True
