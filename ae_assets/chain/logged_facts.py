"""What is logged of a training, a calibration, a promotion by hand and an evaluation."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ae_assets.lakehouse.run_log import Facts

if TYPE_CHECKING:
    from ae_assets.chain.results import Evaluation
    from ae_assets.thresholds.threshold import Threshold

VERSION = "ae_assets.version"
_NAME, _IN_WORDS = "mlflow.runName", "mlflow.note.content"
"""The tags that MLflow shows as the name of a run and as its description."""


def training_facts(version: str, card: Mapping[str, Any]) -> Facts:
    """What is logged of a training: settings, data, losses by epoch, and by which code; the card has all of it."""
    history = card["history"]
    settings = {"detector": card["detector"], "training": card["training"], "horizon_days": card["horizon_days"]}
    return Facts(
        params=dict(_flat({**settings, "features": len(card["features"])})),
        metrics={
            **{name: float(count) for name, count in card["data"].items()},
            "training_seconds": history["seconds"],
            "epochs": float(len(history["train_loss"])),
            "best_epoch": float(history["best_epoch"]),
            "converged": float(history["converged"]),
        },
        series={name: history[name] for name in ("train_loss", "validation_loss")},
        tags={
            _NAME: version,
            VERSION: version,
            "ae_assets.features_snapshot": card["features_snapshot"] or "none",
            "ae_assets.code": code_version(),
        },
        files={"card.json": json.dumps(card, indent=2)},
    )


def threshold_facts(threshold: "Threshold", promotion: Mapping[str, Any]) -> Facts:
    """What is logged of a calibration: cut, days, and of the verdict on the version its `Promotion.record`."""
    scores = threshold.calibration
    compared = {
        **{f"{side}_detection": rate["value"] for side, rate in promotion.get("detection", {}).items()},
        **{f"detection_difference_{key}": value for key, value in promotion.get("difference", {}).items()},
        "compared_at_false_alarm_rate": promotion.get("false_alarm_rate"),
    }
    return Facts(
        metrics={
            "threshold": threshold.cut,
            "calibration_rows": float(scores.rows),
            **{name: value for name, value in compared.items() if value is not None},
        },
        tags={
            "ae_assets.calibrated_on": f"{scores.first_day.isoformat()} to {scores.last_day.isoformat()}",
            "ae_assets.verdict": promotion["reason"],
            "ae_assets.promoted": str(promotion["promoted"]).lower(),
            _IN_WORDS: promotion["words"],
        },
        files={
            "threshold.json": threshold.to_json(),
            "promotion.json": json.dumps(promotion, indent=2),
        },
    )


def promoted_by_hand(words: str) -> Facts:
    """What is logged of a promotion without a comparison."""
    tags = {"ae_assets.verdict": "promoted by hand", "ae_assets.promoted": "true", _IN_WORDS: words}
    return Facts(tags=tags)


def evaluation_facts(evaluation: "Evaluation") -> Facts:
    """What is logged of an evaluation: the figures of its answer, and everything as JSON."""
    return Facts(
        metrics={
            f"evaluation/{name}": float(value) for name, value in evaluation.headline.items() if value is not None
        },
        tags={"ae_assets.evaluated_on": f"{evaluation.start.isoformat()} to {evaluation.end.isoformat()}"},
        files={"evaluation.json": json.dumps(evaluation.record, indent=2), "evaluation.txt": evaluation.text},
    )


@cache
def code_version() -> str:
    """By which release of this package, and where it is a git checkout by which commit of it."""
    try:
        release = version_of("ae-assets")
    except PackageNotFoundError:
        release = "not installed"
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return release
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603 - no input
    except (OSError, subprocess.SubprocessError):
        return release
    return f"{release}, commit {commit}"


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value)
