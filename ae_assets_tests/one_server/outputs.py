"""Outputs of smartctl with the readings of real drives, as people published them; identities are made up.

Readings were taken from public bug reports and from the test data of public exporters, and put into the structure that
smartctl 7 gives them.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ae_assets.one_server.outputs import Report, reports_of

FOLDER = Path(__file__).parent / "smartctl"
NOW = datetime(2025, 11, 24, 17, 0, tzinfo=UTC)
"""An hour after they were taken."""
DAY = 86_400


def content(name: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def report(name: str, **changes: Any) -> Report:
    """The report of an output, of which some keys are other ones."""
    return report_of({**content(name), **changes})


def report_of(value: Any) -> Report:
    [one] = reports_of(json.dumps(value), "here", NOW)
    return one


def raws(name: str, days_later: int = 0, **raw_by_name: int) -> dict[str, Any]:
    """An output on another day, with other raw values by attribute, such as ``smart_5``."""
    value = content(name)
    value["local_time"] = {"time_t": value["local_time"]["time_t"] + days_later * DAY}
    for row in value["ata_smart_attributes"]["table"]:
        row["raw"] = {"value": raw_by_name.get(f"smart_{row['id']}", row["raw"]["value"])}
    return value


def nvme(**counts: int) -> dict[str, Any]:
    """The output of a sound NVMe drive with other counts."""
    value = content("intel_nvme_p4510")
    return {**value, "nvme_smart_health_information_log": {**_log(value), **counts}}


def _log(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(value["nvme_smart_health_information_log"])
