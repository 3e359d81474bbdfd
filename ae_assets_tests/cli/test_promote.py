"""``promote``: a version is put into use by hand, and nothing else is."""

from pathlib import Path

import dagster as dg
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.model import train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets_tests.cli.conftest import command
from ae_assets_tests.cli.fleet import TRAINED, Fleet


@pytest.fixture
def trained_twice(fleet: Fleet) -> tuple[Workspace, Path, list[str]]:
    """A small table with a champion and a newer version without a threshold: storage, home and the two versions."""
    champion = fleet.space.models.champion("fleet")
    assert champion is not None
    return fleet.space, fleet.home, [champion, train(fleet.space, TRAINED).version]


def test_a_version_is_put_into_use_and_seen_in_the_ui(trained_twice: tuple[Workspace, Path, list[str]]) -> None:
    space, home, (champion, _) = trained_twice
    calibrate_latest(space)
    said = command(home, "promote", "fleet", champion)
    assert said.code == 0, said.error
    assert space.models.champion("fleet") == champion
    with dg.DagsterInstance.from_config(str(home / "dagster")) as recorded:
        (record,) = recorded.fetch_observations(dg.AssetKey(["fleet", "threshold"]), limit=5).records
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["Champion"].value == champion
    assert record.asset_observation.metadata["Verdict"].value == "promoted by hand"


def test_a_version_that_cannot_be_used_is_refused_and_the_champion_stays(
    trained_twice: tuple[Workspace, Path, list[str]],
) -> None:
    space, home, (champion, other) = trained_twice
    for version, says in (
        (other, "has no threshold yet: materialise fleet/threshold first"),
        ("20240101T000000000Z-00000000", "has no version 20240101T000000000Z-00000000; it has"),
        ("latest", "'latest' is not a model version"),
        (champion, f"{champion} is the champion of fleet already; name another version"),
    ):
        said = command(home, "promote", "fleet", version)
        assert said.code == 2
        assert says in said.error
    assert space.models.champion("fleet") == champion


def test_models_that_are_kept_elsewhere_are_those_that_commands_see(
    trained_twice: tuple[Workspace, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, home, (champion, _) = trained_twice
    calibrate_latest(space)
    elsewhere = tmp_path / "elsewhere"
    (home / "models").rename(elsewhere)
    monkeypatch.setenv("AE_ASSETS_MODELS", str(elsewhere))
    said = command(home, "promote", "fleet", champion)
    assert said.code == 0, said.error
    assert not (home / "models").exists()
