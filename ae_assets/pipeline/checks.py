"""The asset checks: propositions about stored tables, each with the counts that explain its verdict.

Checks on periods name the bad ones in their metadata and are not partitioned, so that one verdict covers a range run.
In names here a period is called a day, as in frames.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from ae_assets.chain.raw_columns import never_delivered
from ae_assets.chain.volume import implausible_volumes
from ae_assets.chain.workspace import ANOMALIES, FEATURES, MODEL, QUARANTINE, RAW, THRESHOLD, Workspace
from ae_assets.features.volume import are_many
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.daily import RATES, REASONS, periods_failed, periods_of_run, recorded_failures
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import Periods
from ae_assets.schemas.records import key_of

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema

    from ae_assets.chain.anomaly_day import AnomalyDay
    from ae_assets.chain.challenger import Promotion
    from ae_assets.chain.champion import Champion
    from ae_assets.chain.features import FeatureDay
    from ae_assets.chain.model import TrainedModel

CHECKS = {
    "day_volume_is_plausible": "Each {period} has about as many rows as the plausible {period}s before it. Not "
    "blocking: in one of partial reports the devices that do report are still watched.",
    "rows_are_conserved": "Every raw row of {one} is a row of features or of quarantine.",
    "rows_set_aside_are_few": "Nearly all rows of {one} can be true; of one of which many cannot nothing is "
    "scored, since its file is not what it seems. `checks.max_share_set_aside` says how many may be set aside.",
    "cohorts_are_there": "Each cohort of the {period} before, or of its own file, has rows of features. Those with "
    "less than `checks.min_cohort_devices` devices are not missed.",
    "entities_are_unique": "A device has one row {each}.",
    "schema_holds": "Stored rows keep the column contract.",
    "training_converged": "The validation loss went down and settled.",
    "alarm_rate_is_plausible": "The share of devices with an alarm is one that people can look at; muted devices "
    "are left out.",
    "open_episodes_have_records": "A device with an open episode has a row in the {period} after, unless it failed or "
    "is muted. `checks.max_open_episodes_gone` says how many of {one} may have none.",
    "devices_are_judged": "Nearly all devices report something that a score rests on; muted devices are left out. The "
    "others are not known to be healthy: they are counted and named by cohort.",
    "detection_rate_is_acceptable": "Among the devices that failed in the pooled window, enough had an alarm before; "
    "of a table with labelled intervals, enough of these had an alarm inside.",
    "false_alarm_rate_is_acceptable": "Among healthy devices of the pooled window, few enough had an alarm; of a table "
    "with labelled intervals, few enough of the records outside of them.",
    "scores_have_not_drifted": "The latest scores are distributed as in calibration, one of each device. Of looks at "
    "scores that are, at most the share `checks.drift_false_alarm_rate` says otherwise.",
    "features_have_not_drifted": "The features of the latest records and the cohort mix are distributed as in "
    "calibration, one record of each device. Of looks at records that are, at most the share "
    "`checks.drift_false_alarm_rate` names any feature.",
    "champion_follows_the_yaml": "The champion was trained and calibrated as the YAML says now; where it was not, a "
    "change waits for the command that the verdict names.",
    "newest_day_is_recent": "The newest {period} that is held ended lately; `freshness` says how lately.",
    "challenger_is_not_worse": "The new version is the champion from now on: on the latest labelled days, which "
    "neither has seen, it does not detect less than the champion before it, or the two cannot be compared, as where "
    "nothing is known to have gone wrong.",
}

CHECKS_OF = {
    RAW: ("day_volume_is_plausible",),
    FEATURES: (
        "rows_are_conserved",
        "rows_set_aside_are_few",
        "cohorts_are_there",
        "entities_are_unique",
        "schema_holds",
    ),
    MODEL: ("training_converged",),
    THRESHOLD: ("challenger_is_not_worse",),
    ANOMALIES: (
        "entities_are_unique",
        "schema_holds",
        "alarm_rate_is_plausible",
        "open_episodes_have_records",
        "devices_are_judged",
        "champion_follows_the_yaml",
    ),
}
"""Those that a step judges with the asset that it makes."""

RATE_CHECKS = ("detection_rate_is_acceptable", "false_alarm_rate_is_acceptable")
DRIFT_CHECKS = ("scores_have_not_drifted", "features_have_not_drifted")
WARNINGS = {
    "day_volume_is_plausible",
    "cohorts_are_there",
    "challenger_is_not_worse",
    "open_episodes_have_records",
    "devices_are_judged",
    "champion_follows_the_yaml",
    *DRIFT_CHECKS,
}
BLOCKING = {"training_converged"}
HOLDS_BACK = {"rows_are_conserved", "rows_set_aside_are_few", "entities_are_unique", "schema_holds"}
"""Checks that judge periods one by one and hold those back that fail: nothing is made of them. Dagster's own blocking
would hold back the others as well."""

MOST_DAYS_NAMED = 20

ROWS_AT_ONCE = 100_000
"""Stored rows of some periods that are validated at once."""

FAILED_DAYS = "failed_days"
"""Metadata of the checks that judge periods one by one: the keys of those that are wrong, with which an alert knows
when they have recovered."""

Results = Iterator[dg.AssetCheckResult]


def spec(name: str, table: WatchedTable, asset: str) -> dg.AssetCheckSpec:
    """The declaration of a check on an asset of a table."""
    noun = table.periods.noun
    each = "at a time" if table.layout.has_several_records else table.periods.one
    return dg.AssetCheckSpec(
        name,
        asset=dg.AssetKey([table.table, asset]),
        description=CHECKS[name].format(period=noun, one=table.periods.one, each=each),
        blocking=name in BLOCKING,
    )


def raw_checks(space: Workspace, days: Sequence[date]) -> Results:
    """Judges the volume of the run's periods against the plausible ones before each."""
    plural = space.table.periods.plural
    bad = [(day.day, day.reason) for day in implausible_volumes(space, days[0], days[-1]) if day.day in set(days)]
    holds = f"all {len(days)} {plural} have a plausible number of rows"
    yield _of_periods(space, RAW, "day_volume_is_plausible", bad, holds, f"of {len(days)} {plural} do not")


def features_checks(space: Workspace, built: Sequence["FeatureDay"]) -> Results:
    """Judges what was stored for the run's days, as it is read back, and what of the raw rows was not."""
    from ae_assets.features.schema import feature_schema

    days, periods = sorted(facts.day for facts in built), space.table.periods
    rows = {name: space.days_of(name) for name in (RAW, FEATURES, QUARANTINE)}
    counts = {day: [of_day.get(day, 0) for of_day in rows.values()] for day in days}
    lost = {day: raw - features - quarantine for day, (raw, features, quarantine) in counts.items()}
    total = {name: sum(of_day.get(day, 0) for day in days) for name, of_day in rows.items()}
    yield _of_periods(
        space,
        FEATURES,
        "rows_are_conserved",
        [(day, f"{rows:+,}") for day, rows in lost.items() if rows],
        f"raw {total[RAW]:,} = features {total[FEATURES]:,} + quarantine {total[QUARANTINE]:,}",
        f"of {len(days)} {periods.plural} differ (raw - features - quarantine)",
        total,
        reason="raw - features - quarantine is {} rows",
    )
    yield _rows_set_aside_are_few(space, built)
    yield _cohorts_are_there(space, built)
    never = list(never_delivered(space).values())  # a year may lack an attribute, so it is said and not judged
    remark = f"; in no file: {', '.join(never)}" if never else ""
    schema = feature_schema(space.table.features, space.table.rhythm)
    yield from _row_checks(space, FEATURES, _stored(space, FEATURES, days, schema), schema, remark)


def _rows_set_aside_are_few(space: Workspace, built: Sequence["FeatureDay"]) -> dg.AssetCheckResult:
    """Judges the share of each period's rows that are in quarantine; a single row does not hold back what is left."""
    periods = space.table.periods
    most = space.table.checks.max_share_set_aside
    mend = "Mend the file or the setting that the rule looks at, or raise checks.max_share_set_aside"
    many = [
        (facts.day, f"{_set_aside(facts)}, at most {most:.1%} may be. {facts.set_aside[0].because}. {mend}")
        for facts in built
        if are_many(facts.quarantine_rows, facts.rows, most)
    ]
    aside, rows = sum(facts.quarantine_rows for facts in built), sum(facts.rows for facts in built)
    worst = max(built, key=lambda facts: facts.share_set_aside)
    where = f"; on {periods.key(worst.day)} {_set_aside(worst)}" if aside else ""
    few, counts = f"{aside:,} of {rows:,} rows are set aside{where}", {"rows": rows, "rows_set_aside": aside}
    of = f"of {len(built)} {periods.plural}"
    return _of_periods(space, FEATURES, "rows_set_aside_are_few", many, few, of, counts)


def _set_aside(facts: "FeatureDay") -> str:
    """What a period's rows were set aside for, with an example, and the cohorts that none are left of."""
    rules = _named([broken.in_words for broken in facts.set_aside])
    cohorts = [one.in_words for one in facts.gone if one.set_aside and facts.feature_rows]
    lost = f", nothing is left of {_named(cohorts)}" if cohorts else ""
    return (
        f"{facts.quarantine_rows:,} of {facts.rows:,} rows ({facts.share_set_aside:.1%}) are set aside, {rules}{lost}"
    )


def _cohorts_are_there(space: Workspace, built: Sequence["FeatureDay"]) -> dg.AssetCheckResult:
    """Names the cohorts of each period that no device is watched of; other checks speak of periods without features."""
    least = space.table.checks.min_cohort_devices
    gone = [(facts.day, one) for facts in built if facts.feature_rows for one in facts.gone if one.devices >= least]
    return _of_periods(
        space,
        FEATURES,
        "cohorts_are_there",
        [(day, one.in_words) for day, one in gone],
        f"no cohort of {least} devices or more is gone",
        f"of {len(built)} {space.table.periods.plural} have no features of cohorts",
        {"cohorts": sorted({one.cohort for _, one in gone})},
    )


def model_checks(space: Workspace, trained: "TrainedModel") -> Results:
    history = trained.detector.history
    losses = history.validation_loss
    if not losses:
        verdict = "this detector trains without epochs"
    elif history.best_epoch < 0:
        verdict = (
            f"none of {len(losses)} epochs came below {history.median_loss:.4g}, the validation loss of the constant "
            f"answer that training starts from (the best had {min(losses):.4g}), so the constant answer was kept: take "
            "more entities or a longer training range"
        )
    else:
        verdict = (
            f"best validation loss {history.kept_loss:.4g} in epoch {history.best_epoch + 1} of {len(losses)}, "
            f"{losses[0]:.4g} after the first; a constant answer gives {history.median_loss:.4g}"
        )
    yield _result(space, MODEL, "training_converged", history.converged, verdict, {"epochs": len(losses)})


def threshold_checks(space: Workspace, promotion: "Promotion") -> Results:
    facts = {"reason": promotion.reason.value, "promotion": promotion.record}
    yield _result(space, THRESHOLD, "challenger_is_not_worse", promotion.promoted, promotion.words, facts)


def anomalies_checks(space: Workspace, champion: "Champion", days: Sequence[date]) -> Results:
    """Judges what was stored for the run's periods, as it is read back, once."""
    from ae_assets.chain.unapplied import unapplied_settings, unapplied_words
    from ae_assets.model.judgement import LEARNED_FROM
    from ae_assets.schemas.anomalies import anomaly_schema

    schema = anomaly_schema(space.table.rhythm)
    alarms: dict[date, float] = {}
    not_judged: dict[date, float] = {}
    unknown: dict[date, pl.DataFrame] = {}

    def counted() -> Iterator[tuple[date, pl.DataFrame]]:
        for day, frame in _stored(space, ANOMALIES, days, schema):
            judgeable = pl.col("not_judged_because").ne_missing(LEARNED_FROM)
            watched = frame.filter(pl.col("muted_until").is_null(), judgeable).select(
                "cohort", "is_anomaly", "not_judged_because"
            )
            if watched.height:
                unknown[day] = watched.filter(pl.col("is_anomaly").is_null())
                not_judged[day] = unknown[day].height / watched.height
            if judged := watched["is_anomaly"].count():
                alarms[day] = int(watched["is_anomaly"].sum()) / judged
            yield day, frame

    yield from _row_checks(space, ANOMALIES, counted(), schema)
    held = space.days_of(ANOMALIES)
    yield _shares_are_low(
        space,
        "alarm_rate_is_plausible",
        alarms,
        space.table.checks.max_alarm_share,
        f"judged {'devices' if space.table.rhythm.cadence is None else 'records'} have an alarm",
        "",
        {"rows": sum(held.get(day, 0) for day in days), "threshold": champion.threshold.cut},
    )
    yield _devices_are_judged(space, not_judged, unknown)
    changes = unapplied_settings(space, champion)
    facts = {"unapplied": [one.words for one in changes], "model_version": champion.version}
    words = unapplied_words(space, champion)
    yield _result(space, ANOMALIES, "champion_follows_the_yaml", not changes, words, facts)


def episode_checks(space: Workspace, found: Sequence["AnomalyDay"]) -> Results:
    """Names the devices of each period that had an open episode in the one before and are gone."""
    periods = space.table.periods
    many = [facts.day for facts in found if len(facts.gone) > space.table.checks.max_open_episodes_gone]
    gone = [f"{periods.key(facts.day)} {device}" for facts in found for device in facts.gone]
    verdict = f"{len(gone)} devices with an open episode are gone" + (f": {_named(gone)}" if gone else "")
    facts = {"devices_gone": len(gone), FAILED_DAYS: _keys(periods, many)}
    yield _result(space, ANOMALIES, "open_episodes_have_records", not many, verdict, facts)


def _devices_are_judged(
    space: Workspace, shares: Mapping[date, float], unknown: Mapping[date, pl.DataFrame]
) -> dg.AssetCheckResult:
    """Judges the share of devices of each period without a score, whose cohorts and reasons are in ``unknown``."""
    from ae_assets.model.judgement import not_judged

    worst = max(shares, key=lambda day: shares[day], default=None)
    groups = () if worst is None else not_judged(unknown[worst])
    named = [f"{g.devices:,} of {g.cohort} ({g.because})" for g in groups]
    where = "" if worst is None or not named else f"; on {space.table.periods.key(worst)} {_named(named)}"
    return _shares_are_low(
        space,
        "devices_are_judged",
        shares,
        space.table.checks.max_share_not_judged,
        "devices are not judged",
        " of devices that are not judged",
        {
            "devices_not_judged": sum(group.devices for group in groups),
            "cohorts_not_judged": sorted({group.cohort for group in groups}),
        },
        where,
    )


def _shares_are_low(
    space: Workspace,
    name: str,
    shares: Mapping[date, float],
    most: float,
    subject: str,
    subject_of_many: str,
    facts: Mapping[str, Any],
    remark: str = "",
) -> dg.AssetCheckResult:
    """The result of a check that no period has more than a share of what its verdict names."""
    periods = space.table.periods
    high = [(day, f"{share:.2%}") for day, share in shares.items() if share > most]
    low = f"at most {max(shares.values(), default=0.0):.3%} of {periods.one}'s {subject} (allowed {most:.1%})"
    many = f"of {len(shares)} {periods.plural} have more than {most:.1%}{subject_of_many}"
    return _of_periods(space, ANOMALIES, name, high, low, many, facts, remark=remark)


def _stored(
    space: Workspace, asset: str, days: Sequence[date], schema: "DataFrameSchema"
) -> Iterator[tuple[date, pl.DataFrame]]:
    """The rows of the periods as they are read back, one at a time; columns of a former YAML are left aside."""
    stored = space.schema(asset)
    columns = [column for column in schema.columns if column in stored]
    for first, last in space.table.periods.stretches(days):
        yield from space.iter_days(asset, first, last, columns)


def _row_checks(
    space: Workspace,
    asset: str,
    stored: Iterable[tuple[date, pl.DataFrame]],
    schema: "DataFrameSchema",
    remark: str = "",
) -> Results:
    """Uniqueness and schema of the stored rows of each period."""
    table, rows = space.table, 0
    repeated: list[tuple[date, str]] = []
    broken: list[tuple[date, str]] = []
    for frames in _together(stored):
        together = pl.concat(frames.values())
        rows += together.height
        distinct = together.select(key_of(together.columns)).n_unique()
        if distinct == together.height and not _violations(together, schema):
            continue
        for day, frame in frames.items():
            if repeats := frame.height - frame.select(key_of(frame.columns)).n_unique():
                repeated.append((day, f"{repeats:,} rows"))
            broken += [(day, violation) for violation in _violations(frame, schema)[:1]]
    plural, each = table.periods.plural, "time" if table.layout.has_several_records else table.periods.noun
    unique, counts = f"{rows:,} rows, one for each device and {each}", {"rows": rows}
    repeat, reason = f"{plural} repeat devices", "{} repeat devices"
    yield _of_periods(space, asset, "entities_are_unique", repeated, unique, repeat, counts, reason=reason)
    keep, are_broken = f"{rows:,} rows keep the contract{remark}", f"{plural} break it"
    yield _of_periods(space, asset, "schema_holds", broken, keep, are_broken, counts)


def _together(stored: Iterable[tuple[date, pl.DataFrame]]) -> Iterator[dict[date, pl.DataFrame]]:
    """The periods in groups of some rows: to validate one takes Pandera as long, whatever is in it."""
    frames: dict[date, pl.DataFrame] = {}
    for day, frame in stored:
        frames[day] = frame
        if sum(one.height for one in frames.values()) >= ROWS_AT_ONCE:
            yield frames
            frames = {}
    if frames:
        yield frames


def _violations(frame: pl.DataFrame, schema: "DataFrameSchema") -> list[str]:
    """Every way in which a frame breaks its schema, in words."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        return [
            f"{case['column']} {case['check']}: {case['failure_case']}"
            for case in errors.failure_cases.iter_rows(named=True)
        ]
    return []


def build_pooled_checks(table: WatchedTable) -> dg.AssetChecksDefinition:
    """The checks that pool a window of days: one day has too few failures to say anything.

    Where nothing is known to have gone wrong there are no rates to judge.
    """
    key = dg.AssetKey([table.table, ANOMALIES])
    names = DRIFT_CHECKS if table.target_kind is None else (*RATE_CHECKS, *DRIFT_CHECKS)

    @dg.multi_asset_check(
        name=f"{table.table}__{RATES}", specs=[spec(name, table, ANOMALIES) for name in names], can_subset=True
    )
    def rates(context: dg.AssetCheckExecutionContext, lakehouse: LakehouseResource) -> Results:
        from ae_assets.chain.rates import judge_rates

        space = lakehouse.workspace(table)
        selected = {check.name for check in context.selected_asset_check_keys}
        for name, verdict in judge_rates(space).items():
            if name in selected:
                yield _result(space, ANOMALIES, name, verdict.passed, verdict.text, verdict.facts)
        days = periods_of_run(context.run.tags, table.periods)
        if failures := recorded_failures(context.instance, table.periods, key, days):
            raise periods_failed(table.periods, failures.values(), len(days))

    return rates


def _of_periods(
    space: Workspace,
    asset: str,
    name: str,
    bad: Sequence[tuple[date, str]],
    right: str,
    wrong: str,
    facts: Mapping[str, Any] | None = None,
    *,
    reason: str = "{}",
    remark: str = "",
) -> dg.AssetCheckResult:
    """The result of a check that judges periods one by one, of which the ``bad`` ones come with what is wrong of each.

    The verdict is ``right`` where none is bad, else it goes on after their number with ``wrong``; ``remark`` ends both.
    What holds a period back is a ``reason`` with a place for what is wrong of it.
    """
    periods, why = space.table.periods, dict(bad)
    named = _named([f"{periods.key(day)} {words}" for day, words in bad])
    by_period: dict[str, Any] = {FAILED_DAYS: _keys(periods, why)}
    if name in HOLDS_BACK:
        by_period[REASONS] = {periods.key(day): reason.format(words) for day, words in sorted(why.items())}
    verdict = (f"{len(why)} {wrong}: {named}" if bad else right) + remark
    return _result(space, asset, name, not bad, verdict, {**(facts or {}), **by_period})


def _result(
    space: Workspace, asset: str, name: str, passed: bool, verdict: str, facts: Mapping[str, Any]
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=dg.AssetKey([space.table.table, asset]),
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN if name in WARNINGS else dg.AssetCheckSeverity.ERROR,
        description=verdict,
        metadata={"verdict": verdict, **facts},
    )


def _keys(periods: Periods, days: Iterable[date]) -> list[str]:
    return [periods.key(day) for day in sorted(days)]


def _named(items: Sequence[str]) -> str:
    more = len(items) - MOST_DAYS_NAMED
    return "; ".join(items[:MOST_DAYS_NAMED]) + (f" and {more} more" if more > 0 else "")
