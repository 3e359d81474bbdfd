"""The asset checks: propositions about stored tables, each with the counts that explain its verdict.

Checks on periods name the bad ones in their metadata and are not partitioned, so that one verdict covers a range run.
In names here a period is called a day, as in frames.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import dagster as dg
import polars as pl

from ae_assets.chain.raw_columns import never_delivered
from ae_assets.chain.volume import implausible_volumes
from ae_assets.chain.workspace import ANOMALIES, FEATURES, QUARANTINE, RAW, THRESHOLD, FailedPeriod, Workspace
from ae_assets.features.volume import are_many
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.daily import RATES, days_failed, days_of_run, recorded_failures
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

BLOCKING = {"training_converged"}
HOLDS_BACK = {"rows_are_conserved", "rows_set_aside_are_few", "entities_are_unique", "schema_holds"}
"""Checks that judge periods one by one and hold those back that fail: nothing is made of them. Dagster's own blocking
would hold back the others as well."""

RAW_CHECKS = ("day_volume_is_plausible",)
FEATURES_CHECKS = (
    "rows_are_conserved",
    "rows_set_aside_are_few",
    "cohorts_are_there",
    "entities_are_unique",
    "schema_holds",
)
MODEL_CHECKS = ("training_converged",)
ANOMALIES_CHECKS = (
    "entities_are_unique",
    "schema_holds",
    "alarm_rate_is_plausible",
    "open_episodes_have_records",
    "devices_are_judged",
    "champion_follows_the_yaml",
)
THRESHOLD_CHECKS = ("challenger_is_not_worse",)
DRIFT_CHECKS = ("scores_have_not_drifted", "features_have_not_drifted")
RATE_CHECKS = ("detection_rate_is_acceptable", "false_alarm_rate_is_acceptable")
POOLED_CHECKS = (*RATE_CHECKS, *DRIFT_CHECKS)

MOST_DAYS_NAMED = 20

FAILED_DAYS = "failed_days"
"""Metadata of the checks that judge periods one by one: the keys of those that are wrong."""


REASONS = "reasons"
"""Metadata of the checks that hold periods back: why, by key."""


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


def raw_checks(space: Workspace, days: Sequence[date]) -> list[dg.AssetCheckResult]:
    """Judges the volume of the run's periods against the plausible ones before each."""
    periods = space.table.periods
    bad = [day for day in implausible_volumes(space, days[0], days[-1]) if day.day in set(days)]
    verdict = (
        f"all {len(days)} {periods.plural} have a plausible number of rows"
        if not bad
        else f"{len(bad)} of {len(days)} {periods.plural} do not: "
        + _named([f"{periods.key(day.day)} {day.reason}" for day in bad])
    )
    return [
        _result(
            "day_volume_is_plausible",
            space,
            RAW,
            not bad,
            verdict,
            failed_days(periods, (day.day for day in bad)),
            severity=dg.AssetCheckSeverity.WARN,
        )
    ]


def features_checks(space: Workspace, built: Sequence["FeatureDay"]) -> list[dg.AssetCheckResult]:
    """Judges what was stored for the run's days, as it is read back, and what of the raw rows was not."""
    from ae_assets.features.schema import feature_schema

    days, periods = sorted(facts.day for facts in built), space.table.periods
    schema = feature_schema(space.table.features, space.table.rhythm)
    raw, features, quarantine = (space.days_of(name) for name in (RAW, FEATURES, QUARANTINE))
    lost = {
        day: raw.get(day, 0) - features.get(day, 0) - quarantine.get(day, 0)
        for day in days
        if raw.get(day, 0) != features.get(day, 0) + quarantine.get(day, 0)
    }
    total = {
        name: sum(rows.get(day, 0) for day in days)
        for name, rows in (("raw", raw), ("features", features), ("quarantine", quarantine))
    }
    conserved = f"raw {total['raw']:,} = features {total['features']:,} + quarantine {total['quarantine']:,}"
    if lost:
        conserved = f"{len(lost)} of {len(days)} {periods.plural} differ (raw - features - quarantine): " + _named(
            [f"{periods.key(day)} {rows:+,}" for day, rows in lost.items()]
        )
    reasons = {day: f"raw - features - quarantine is {rows:+,} rows" for day, rows in lost.items()}
    facts = {**total, **days_held_back(periods, reasons)}
    return [
        _result("rows_are_conserved", space, FEATURES, not lost, conserved, facts),
        _rows_set_aside_are_few(space, built),
        _cohorts_are_there(space, built),
        *_row_checks(space, FEATURES, _stored(space, FEATURES, days, schema), schema, _never_delivered(space)),
    ]


def _rows_set_aside_are_few(space: Workspace, built: Sequence["FeatureDay"]) -> dg.AssetCheckResult:
    """Judges the share of each period's rows that are in quarantine; a single row does not hold back what is left."""
    periods = space.table.periods
    most = space.table.checks.max_share_set_aside
    many = {
        facts.day: f"{_set_aside(facts)}, at most {most:.1%} may be. {facts.set_aside[0].because}. Mend the file or "
        "the setting that the rule looks at, or raise checks.max_share_set_aside"
        for facts in built
        if are_many(facts.quarantine_rows, facts.rows, most)
    }
    aside, rows = sum(facts.quarantine_rows for facts in built), sum(facts.rows for facts in built)
    worst = max(built, key=lambda facts: facts.share_set_aside)
    verdict = f"{aside:,} of {rows:,} rows are set aside"
    if aside:
        verdict += f"; on {periods.key(worst.day)} {_set_aside(worst)}"
    if many:
        reasons = [f"{periods.key(day)} {reason}" for day, reason in many.items()]
        verdict = f"{len(many)} of {len(built)} {periods.plural}: {_named(reasons)}"
    metadata = {"rows": rows, "rows_set_aside": aside, **days_held_back(periods, many)}
    return _result("rows_set_aside_are_few", space, FEATURES, not many, verdict, metadata)


def _set_aside(facts: "FeatureDay") -> str:
    """What a period's rows were set aside for, with an example, and the cohorts that none are left of."""
    rules = _named([broken.in_words for broken in facts.set_aside])
    cohorts = [one.in_words for one in facts.gone if one.set_aside and facts.feature_rows]
    lost = f", nothing is left of {_named(cohorts)}" if cohorts else ""
    return (
        f"{facts.quarantine_rows:,} of {facts.rows:,} rows ({facts.share_set_aside:.1%}) are set aside, {rules}{lost}"
    )


def _cohorts_are_there(space: Workspace, built: Sequence["FeatureDay"]) -> dg.AssetCheckResult:
    """Names the cohorts of each period that no device is watched of."""
    periods = space.table.periods
    least = space.table.checks.min_cohort_devices
    watched = [facts for facts in built if facts.feature_rows]  # of the others other checks say all
    missed = {facts.day: [one for one in facts.gone if one.devices >= least] for facts in watched}
    missed = {day: cohorts for day, cohorts in missed.items() if cohorts}
    verdict = (
        f"no cohort of {least} devices or more is gone"
        if not missed
        else f"{len(missed)} of {len(built)} {periods.plural} have no features of cohorts: "
        + _named([f"{periods.key(day)} {one.in_words}" for day, cohorts in missed.items() for one in cohorts])
    )
    names = sorted({one.cohort for cohorts in missed.values() for one in cohorts})
    metadata = {"cohorts": names, **failed_days(periods, missed)}
    return _result("cohorts_are_there", space, FEATURES, not missed, verdict, metadata, dg.AssetCheckSeverity.WARN)


def model_checks(space: Workspace, trained: "TrainedModel") -> list[dg.AssetCheckResult]:
    """Judges the training curve."""
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
    return [_result("training_converged", space, "model", history.converged, verdict, {"epochs": len(losses)})]


def threshold_checks(space: Workspace, promotion: "Promotion") -> list[dg.AssetCheckResult]:
    """Says whether the newly calibrated version became the champion, and why."""
    facts = {"reason": promotion.reason.value, "promotion": promotion.record}
    return [
        _result(
            "challenger_is_not_worse",
            space,
            THRESHOLD,
            promotion.promoted,
            promotion.words,
            facts,
            dg.AssetCheckSeverity.WARN,
        )
    ]


def anomalies_checks(space: Workspace, champion: "Champion", days: Sequence[date]) -> list[dg.AssetCheckResult]:
    """Judges what was stored for the run's periods, as it is read back, once."""
    from ae_assets.schemas.anomalies import anomaly_schema

    periods, schema = space.table.periods, anomaly_schema(space.table.rhythm)
    held = space.days_of(ANOMALIES)
    judged_rows = "devices" if space.table.rhythm.cadence is None else "records"
    shares: dict[date, float] = {}
    unknown: dict[date, pl.DataFrame] = {}
    watched_rows: dict[date, int] = {}

    def counted() -> Iterator[tuple[date, pl.DataFrame]]:
        for day, frame in _stored(space, ANOMALIES, days, schema):
            watched = frame.filter(pl.col("muted_until").is_null()).select("cohort", "is_anomaly", "not_judged_because")
            judged = watched["is_anomaly"].drop_nulls()
            if watched.height:
                watched_rows[day] = watched.height
                unknown[day] = watched.filter(pl.col("is_anomaly").is_null())
            if len(judged):
                shares[day] = int(judged.sum()) / len(judged)
            yield day, frame

    of_rows = list(_row_checks(space, ANOMALIES, counted(), schema))
    most = space.table.checks.max_alarm_share
    high = {day: share for day, share in shares.items() if share > most}
    verdict = (
        f"at most {max(shares.values(), default=0.0):.3%} of {periods.one}'s judged {judged_rows} have an alarm "
        f"(allowed {most:.1%})"
        if not high
        else f"{len(high)} of {len(shares)} {periods.plural} have more than {most:.1%}: "
        + _named([f"{periods.key(day)} {share:.2%}" for day, share in high.items()])
    )
    rows = sum(held.get(day, 0) for day in days)
    return [
        *of_rows,
        _result(
            "alarm_rate_is_plausible",
            space,
            ANOMALIES,
            not high,
            verdict,
            {"rows": rows, "threshold": champion.threshold.cut, **failed_days(periods, high)},
        ),
        _devices_are_judged(space, watched_rows, unknown),
        _champion_follows_the_yaml(space, champion),
    ]


def episode_checks(space: Workspace, found: Sequence["AnomalyDay"]) -> list[dg.AssetCheckResult]:
    """Names the devices of each period that had an open episode in the one before and are gone."""
    periods = space.table.periods
    most = space.table.checks.max_open_episodes_gone
    many = {facts.day: facts.gone for facts in found if len(facts.gone) > most}
    gone = [f"{periods.key(facts.day)} {device}" for facts in found for device in facts.gone]
    verdict = f"{len(gone)} devices with an open episode are gone" + (f": {_named(gone)}" if gone else "")
    metadata = {"devices_gone": len(gone), **failed_days(periods, many)}
    return [
        _result("open_episodes_have_records", space, ANOMALIES, not many, verdict, metadata, dg.AssetCheckSeverity.WARN)
    ]


def _devices_are_judged(
    space: Workspace, watched: Mapping[date, int], unknown: Mapping[date, pl.DataFrame]
) -> dg.AssetCheckResult:
    """Judges the share of devices without a score.

    Args:
        space: the table.
        watched: devices of each period that are not muted.
        unknown: those of them without a score, with ``cohort, not_judged_because``.
    """
    from ae_assets.model.judgement import not_judged

    periods = space.table.periods
    most = space.table.checks.max_share_not_judged
    shares = {day: unknown[day].height / watched[day] for day in watched}
    high = {day: share for day, share in shares.items() if share > most}
    worst = max(shares, key=lambda day: shares[day], default=None)
    groups = () if worst is None else not_judged(unknown[worst])
    verdict = (
        f"at most {max(shares.values(), default=0.0):.3%} of {periods.one}'s devices are not judged "
        f"(allowed {most:.1%})"
        if not high
        else f"{len(high)} of {len(shares)} {periods.plural} have more than {most:.1%} of devices that are not judged: "
        + _named([f"{periods.key(day)} {share:.2%}" for day, share in high.items()])
    )
    if worst is not None and groups:
        verdict += f"; on {periods.key(worst)} " + _named(
            [f"{g.devices:,} of {g.cohort} ({g.because})" for g in groups]
        )
    return _result(
        "devices_are_judged",
        space,
        ANOMALIES,
        not high,
        verdict,
        {
            "devices_not_judged": sum(group.devices for group in groups),
            "cohorts_not_judged": sorted({group.cohort for group in groups}),
            **failed_days(periods, high),
        },
        dg.AssetCheckSeverity.WARN,
    )


def _champion_follows_the_yaml(space: Workspace, champion: "Champion") -> dg.AssetCheckResult:
    from ae_assets.chain.unapplied import unapplied_settings, unapplied_words

    found = unapplied_settings(space, champion)
    return _result(
        "champion_follows_the_yaml",
        space,
        ANOMALIES,
        not found,
        unapplied_words(space, champion),
        {"unapplied": [one.words for one in found], "model_version": champion.version},
        dg.AssetCheckSeverity.WARN,
    )


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
) -> Iterator[dg.AssetCheckResult]:
    """Uniqueness and schema of the stored rows of each period."""
    periods = space.table.periods
    repeated, broken = {}, {}
    rows = 0
    for day, frame in stored:
        rows += frame.height
        if repeats := frame.height - frame.select(key_of(frame.columns)).n_unique():
            repeated[day] = repeats
        if found := _violations(frame, schema):
            broken[day] = found
    yield _result(
        "entities_are_unique",
        space,
        asset,
        not repeated,
        f"{rows:,} rows, one for each device and {'time' if space.table.layout.has_several_records else periods.noun}"
        if not repeated
        else f"{len(repeated)} {periods.plural} repeat devices: "
        + _named([f"{periods.key(day)} {rows} rows" for day, rows in repeated.items()]),
        {
            "rows": rows,
            **days_held_back(periods, {day: f"{rows:,} rows repeat devices" for day, rows in repeated.items()}),
        },
    )
    yield _result(
        "schema_holds",
        space,
        asset,
        not broken,
        f"{rows:,} rows keep the contract{remark}"
        if not broken
        else f"{len(broken)} {periods.plural} break it: "
        + _named([f"{periods.key(day)} {reasons[0]}" for day, reasons in broken.items()]),
        {"rows": rows, **days_held_back(periods, {day: reasons[0] for day, reasons in broken.items()})},
    )


def _never_delivered(space: Workspace) -> str:
    """What the YAML asks for and no file had: a year may lack an attribute, so it is said and not judged."""
    never = list(never_delivered(space).values())
    return f"; in no file: {', '.join(never)}" if never else ""


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
    names = DRIFT_CHECKS if table.target_kind is None else POOLED_CHECKS

    @dg.multi_asset_check(
        name=f"{table.table}__{RATES}", specs=[spec(name, table, ANOMALIES) for name in names], can_subset=True
    )
    def rates(context: dg.AssetCheckExecutionContext, lakehouse: LakehouseResource) -> Iterator[dg.AssetCheckResult]:
        from ae_assets.chain.rates import judge_rates

        space = Workspace(table, lakehouse.tables, lakehouse.models)
        wanted = {check.name for check in context.selected_asset_check_keys}
        for name, verdict in judge_rates(space).items():
            if name not in wanted:
                continue
            severity = dg.AssetCheckSeverity.WARN if name in DRIFT_CHECKS else dg.AssetCheckSeverity.ERROR
            yield _result(name, space, ANOMALIES, verdict.passed, verdict.text, verdict.facts, severity)
        days = days_of_run(context.run.tags, table.periods)
        if failures := recorded_failures(context.instance, table.periods, key, days):
            raise days_failed(table.periods, failures.values(), len(days))

    return rates


def held_back(periods: Periods, results: Iterable[dg.AssetCheckResult]) -> Iterator[FailedPeriod]:
    """The periods that failed a check which holds them back."""
    for result in results:
        if not result.passed and result.check_name in HOLDS_BACK and result.asset_key is not None:
            for partition, reason in cast("dict[str, str]", result.metadata[REASONS].value).items():
                asset, words = result.asset_key.path[-1], f"{result.check_name}: {reason}"
                yield FailedPeriod(periods.parse(partition), asset, words, result.check_name)


def failed_days(periods: Periods, days: Iterable[date]) -> dict[str, Any]:
    """What a check that judges periods one by one says of them: with it an alert knows when they have recovered."""
    return {FAILED_DAYS: [periods.key(day) for day in sorted(days)]}


def days_held_back(periods: Periods, reasons: Mapping[date, str]) -> dict[str, Any]:
    """What a check that holds periods back says of them: which, and for each of them why."""
    return {**failed_days(periods, reasons), REASONS: {periods.key(day): reasons[day] for day in sorted(reasons)}}


def _result(
    name: str,
    space: Workspace,
    asset: str,
    passed: bool,
    verdict: str,
    facts: Mapping[str, Any],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=dg.AssetKey([space.table.table, asset]),
        passed=passed,
        severity=severity,
        description=verdict,
        metadata={"verdict": verdict, **facts},
    )


def _named(items: Sequence[str]) -> str:
    more = len(items) - MOST_DAYS_NAMED
    return "; ".join(items[:MOST_DAYS_NAMED]) + (f" and {more} more" if more > 0 else "")
