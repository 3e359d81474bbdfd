"""What a person does in the UI: look at the lineage, materialise a day, backfill a range."""

import re
from datetime import date, timedelta

import pytest

from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.browser.conftest import PREPARED_DAYS, Ui

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

ASSETS = ("raw", "features", "quarantine", "model", "threshold", "anomalies", "evaluation")
DAILY_ASSETS = ("raw", "features", "quarantine", "anomalies")
RUN_TIMEOUT_MS = 300_000
NEXT_DAY = date.fromisoformat(PREPARED_DAYS[1]) + timedelta(days=1)
BACKFILLED_DAYS = tuple(NEXT_DAY + timedelta(days=offset) for offset in (1, 2, 3))


def test_the_lineage_shows_every_asset_of_the_table(page, ui: Ui) -> None:
    open_lineage(page, ui)

    for name in ASSETS:
        assert node(page, name).is_visible()


def test_a_day_is_materialised_in_the_ui(page, ui: Ui) -> None:
    from playwright.sync_api import expect

    launch(page, ui, NEXT_DAY.isoformat())

    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    finished = page.get_by_text(re.compile(r"^(Success|Failure|Canceled)$")).first
    finished.wait_for(timeout=RUN_TIMEOUT_MS)
    expect(finished).to_have_text("Success")
    assert rows_of_days(ui, (NEXT_DAY,)) > 0


def test_a_backfill_of_three_days_in_the_ui_writes_each_day(page, ui: Ui) -> None:
    from playwright.sync_api import expect

    launch(page, ui, f"[{BACKFILLED_DAYS[0]}...{BACKFILLED_DAYS[-1]}]")

    page.wait_for_url(re.compile(r"/runs/b/\w+"))
    status = page.get_by_text("Status", exact=True).locator("xpath=..")
    expect(status).to_have_text(re.compile("Succeeded|Fail|Cancel"), timeout=RUN_TIMEOUT_MS)
    expect(status).to_contain_text("Succeeded")
    assert rows_of_days(ui, BACKFILLED_DAYS) > 0


def node(page, name: str):
    """The node of an asset in the lineage graph."""
    return page.get_by_text(name, exact=True).first


def open_lineage(page, ui: Ui) -> None:
    page.goto(f"{ui.url}/locations/ae_assets/asset-groups/drive_stats")
    node(page, "anomalies").wait_for()


def launch(page, ui: Ui, partitions: str) -> None:
    """Selects the daily assets in the lineage, names the days, launches, and follows the link to what was launched."""
    open_lineage(page, ui)
    page.locator(".CodeMirror").first.click()
    page.keyboard.type(" or ".join(f'key:"drive_stats/{name}"' for name in DAILY_ASSETS))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("lineage~"))
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(f"{len(DAILY_ASSETS)} assets").wait_for()
    days = dialog.get_by_placeholder("ex:")
    days.fill(partitions)
    days.press("Enter")
    dialog.get_by_role("button", name="Launch").click()
    page.get_by_role("link", name="View", exact=True).click()


def rows_of_days(ui: Ui, days: tuple[date, ...]) -> int:
    """The smallest number of rows that the raw, features or anomalies table holds on one of the days."""
    tables = Lakehouse.open(ui.home, None)
    names = [f"drive_stats.{name}" for name in ("raw", "features", "anomalies")]
    return min(tables.day_rows(name).get(day, 0) for name in names for day in days)
