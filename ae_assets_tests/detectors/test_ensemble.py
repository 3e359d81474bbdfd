"""An ensemble adds up how improbable each member finds a record, whatever the units of their scores."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.stats import genpareto

from ae_assets.detectors import TrainingData, Windows, fit, windows_of
from ae_assets.detectors.config import CounterRuleConfig, DetectorConfig, EcodConfig, EnsembleConfig, PcaConfig
from ae_assets.detectors.ensemble import ENTITIES_HELD_OUT, FittedEnsemble
from ae_assets.detectors.networks.convolutional import ConvolutionalAutoencoderConfig
from ae_assets.detectors.tail import ScoreTail
from ae_assets.schemas.durations import DAY
from ae_assets_tests.detectors.fleets import NAMES, fleet, split, with_values

RULE = CounterRuleConfig(features=NAMES[:1])
CONFIG = EnsembleConfig(members=(PcaConfig(), RULE))


def ensemble(config: EnsembleConfig, **of_fleet: int) -> FittedEnsemble:
    fitted = fit(config, split(config, fleet(**of_fleet)))
    assert isinstance(fitted, FittedEnsemble)
    return fitted


@pytest.mark.parametrize("shape", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e5])
def test_a_tail_goes_on_beyond_the_highest_score_as_the_distribution_does(shape: float, unit: float) -> None:
    drawn = unit * genpareto.rvs(shape, size=200_000, random_state=1)
    tail = ScoreTail.of(drawn.astype(np.float32))
    for rate in (0.5, 1e-3, 1e-7):
        score = np.array([unit * genpareto.isf(rate, shape)], np.float32)
        assert tail(score)[0] == pytest.approx(-np.log(rate), rel=0.2)


@pytest.mark.parametrize(
    "scores", [[0.0], [0.0] * 99 + [5.0], [2.0] * 50, [1.0] * 400 + [2.0] * 20, [*range(100)], [0, 0, 1e30]]
)
def test_surprise_never_falls_and_is_0_at_the_lowest_score(scores: list[float]) -> None:
    tail = ScoreTail.of(np.array(scores, np.float32))
    asked = np.array([min(scores), *sorted(scores), max(scores) + 1, 2 * max(scores) + 9], np.float32)
    surprise = tail(asked)
    assert surprise[0] == 0
    assert np.isfinite(surprise).all()
    assert (np.diff(surprise) >= 0).all()
    assert surprise[-1] > surprise[-3]


def test_the_score_is_the_sum_of_surprises_and_each_is_shared_out_as_its_member_does() -> None:
    fitted, windows = ensemble(CONFIG), windows_of(fleet(seed=5, missing=0), NAMES)
    scores = fitted.explain(windows)
    members = [one.explain(windows) for one in fitted.members]
    surprises = [tail(one.score) for tail, one in zip(fitted.tails, members, strict=True)]
    np.testing.assert_allclose(scores.score, np.sum(surprises, axis=0), rtol=1e-5)
    of_rule = np.flatnonzero(surprises[1] > 0)
    first = NAMES.index(RULE.features[0])
    of_pca = members[0].contributions * (surprises[0] / np.maximum(members[0].score, 1e-30))[:, None]
    expected = of_pca[of_rule, first] + surprises[1][of_rule]
    np.testing.assert_allclose(scores.contributions[of_rule, first], expected, rtol=1e-4)
    assert len(of_rule) > 10


def test_the_unit_of_a_member_changes_no_order() -> None:
    fitted, windows = ensemble(CONFIG), windows_of(fleet(seed=5, missing=0), NAMES)
    data = split(CONFIG, fleet())
    for member in fitted.members:
        before = ScoreTail.of(member.score(data.train))
        after = ScoreTail.of(1000 * member.score(data.train))
        score = member.score(windows)
        np.testing.assert_allclose(before(score), after(1000 * score), rtol=1e-3, atol=1e-4)


def test_a_member_that_does_not_judge_a_record_says_nothing_of_it() -> None:
    fitted, windows = ensemble(CONFIG), windows_of(fleet(seed=5, missing=0), NAMES)
    unknown = windows.values.copy()
    unknown[windows.last_row, NAMES.index(NAMES[0])] = np.nan
    blind = with_values(windows, unknown)
    assert fitted.judges(blind).all()
    pca = fitted.members[0].score(blind)
    np.testing.assert_allclose(fitted.score(blind), fitted.tails[0](pca), rtol=1e-5)


def test_members_see_windows_of_their_own_length() -> None:
    short = ConvolutionalAutoencoderConfig(window=3 * DAY, filters=(4,), kernel=3, epochs=1)
    config = EnsembleConfig(members=(PcaConfig(), short, short.model_copy(update={"window": 6 * DAY})))
    assert config.window == 6 * DAY
    assert CONFIG.window is None
    fitted = ensemble(config)
    assert [one.window for one in fitted.members] == [None, 3 * DAY, 6 * DAY]
    table = fleet(seed=5)
    long, alone = windows_of(table, NAMES, 6 * DAY), windows_of(table, NAMES, 3 * DAY)
    assert_equal_windows(long.shortened(3 * DAY), alone)
    member = fitted.members[1]
    assert np.array_equal(member.score(long.shortened(3 * DAY)), member.score(alone))
    assert fitted.score(long).shape == (len(long),)


def assert_equal_windows(first: Windows, second: Windows) -> None:
    assert first.window == second.window
    assert np.array_equal(first.last_row, second.last_row)
    assert np.array_equal(first.length, second.length)


def test_rarity_is_told_by_entities_that_no_member_learned_from_where_they_are_many() -> None:
    windows = windows_of(fleet(entities=200), NAMES)
    held_out = (windows.keys()["entity"] >= "E080").to_numpy()
    target = np.zeros(len(windows), np.bool_)
    for kept, where in ((held_out, held_out), (windows.keys()["entity"] >= f"E{200 - ENTITIES_HELD_OUT + 1}", None)):
        fitted = fit(CONFIG, TrainingData(windows, target, np.asarray(kept)))
        assert isinstance(fitted, FittedEnsemble)
        own = windows if where is None else windows.take(np.flatnonzero(where))
        expected = ScoreTail.of(fitted.members[0].score(own))
        assert fitted.tails[0] == expected


def test_a_yaml_names_members_as_detectors_and_what_is_written_is_read_again() -> None:
    adapter = TypeAdapter[DetectorConfig](DetectorConfig)
    written = {"type": "ensemble", "members": [{"type": "pca", "explained_variance": 0.9}, {"type": "ecod"}]}
    config = adapter.validate_python(written)
    assert config == EnsembleConfig(members=(PcaConfig(explained_variance=0.9), EcodConfig()))
    assert {"type": "ensemble"} | config.model_dump(mode="json", exclude_defaults=True) == written
    assert adapter.validate_python(config.model_dump(mode="json")) == config
    for wrong, where in (([{"type": "pca"}], "members"), ([{"type": "pca"}, written], "members.1.type")):
        with pytest.raises(ValidationError) as raised:
            adapter.validate_python({"type": "ensemble", "members": wrong})
        assert ".".join(map(str, raised.value.errors()[0]["loc"])) == where


def test_an_ensemble_for_each_entity_is_told_in_units_of_its_high_sums(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"per": "entity"})
    table = fleet(entities=3, days=300, gaps=0, missing=0)
    fitted = fit(config, split(config, table))
    fitted.save(tmp_path)
    score = fitted.score(windows_of(table, NAMES))
    assert 0.9 < np.mean(score <= 1) < 1
    assert fitted.window is None
    assert fitted.step == timedelta(days=1)
