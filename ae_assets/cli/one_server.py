"""``score --smartctl``: how the drives of one server stand."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ae_assets.cli.exit_codes import CHECK_FAILED, DONE, RUN_FAILED
from ae_assets.cli.screen import say_json, say_lines
from ae_assets.errors import SourceError
from ae_assets.one_server.history import History, Listed
from ae_assets.one_server.outputs import MOST_CHARACTERS, Problem, Report, reports_of, unread
from ae_assets.one_server.states import ALARMS, Standing, State, gone, standings
from ae_assets.one_server.webhook import DeliveryError, changes, deliver, require_address


def score_drives(files: Sequence[str], history: Path | None, webhook: str | None, *, as_json: bool) -> int:
    """Says how drives stand, and keeps what was seen of them.

    Args:
        files: outputs of smartctl, - for standard input; none: the drives of this machine are asked.
        history: where records are kept; None: nowhere.
        webhook: whom to tell of changes, a secret.
        as_json: whether the answer is JSON.

    Returns:
        ``CHECK_FAILED`` where a drive is to be watched or fails; else ``RUN_FAILED`` where one was not judged, or
        history or webhook failed; ``DONE`` where all drives are judged and sound.

    Raises:
        ConfigError: the webhook's address is none that may be used, or smartctl is missing.
    """
    from ae_assets.one_server.text import lines_of

    if webhook is not None:
        require_address(webhook)
    now = datetime.now(UTC)
    failures: list[str] = []
    try:
        reports = _reports(files, now)
    except SourceError as error:
        _warn(error)
        return RUN_FAILED
    store = None if history is None else History(history)
    try:
        records = [] if store is None else store.records(sorted({one.drive for one in reports if one.drive}))
    except SourceError as error:
        failures.append(str(error))
        records, store = [], None
    stand, seen = standings(reports, records)
    if store is not None:
        try:
            stand += [] if files else _missed(store, reports, now)
            # A clock that is ahead would push all other records out.
            store.keep(one for one in seen if one.day <= now.date() + timedelta(days=1))
            if webhook is not None:
                _tell(store, webhook, stand, now)
        except (SourceError, DeliveryError) as error:
            failures.append(str(error))
    if as_json:
        from ae_assets.one_server.starter import starter_model

        drives = [one.record for one in stand]
        say_json({"at": now.isoformat(), "model": starter_model().version, "drives": drives, "failures": failures})
    else:
        say_lines(lines_of(stand))
    for failure in failures:
        _warn(failure)
    if any(one.state in ALARMS for one in stand):
        return CHECK_FAILED
    return RUN_FAILED if failures or any(one.state == State.NOT_JUDGED for one in stand) else DONE


def _missed(store: History, reports: Sequence[Report], now: datetime) -> list[Standing]:
    """The drives that this machine has no more; those that it has are remembered."""
    missed = gone(store.listed(), reports, now.date())
    here = (Listed(one.drive, now.date(), one.device, one.model, one.serial) for one in reports if one.drive)
    store.keep_listed(here)
    return missed


def _tell(store: History, webhook: str, stand: Sequence[Standing], now: datetime) -> None:
    found = changes(stand, store.told())
    if found:
        deliver(webhook, found, now)
        told = {one.report.drive: str(one.state) for one in stand if one.state != State.NOT_JUDGED}
        store.tell({drive: state for drive, state in told.items() if drive is not None})


def _reports(files: Sequence[str], now: datetime) -> list[Report]:
    if not files:
        from ae_assets.one_server.local import local_reports

        return local_reports(now)
    return [report for name in files for report in _of_file(name, now)]


def _of_file(name: str, now: datetime) -> list[Report]:
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MOST_CHARACTERS + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        return [unread(name, now, Problem.NO_OUTPUT, f"the file cannot be read: {error.strerror}")]
    return reports_of(content.decode("utf-8", "replace"), "standard input" if name == "-" else name, now)


def _warn(problem: object) -> None:
    click.echo(f"error: {problem}", err=True)
