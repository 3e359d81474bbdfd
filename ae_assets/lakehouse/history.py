"""Former states of a table: which one it was in at a time, and which ones may be forgotten."""

from datetime import UTC, datetime

from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from ae_assets.errors import LakehouseError


def state_at(table: Table, as_of: datetime | int | None) -> Snapshot | None:
    """The state that the table was in at a time; None for as it is now.

    Args:
        table: as of its loaded metadata.
        as_of: a time, in UTC where it names no zone; or the number of a snapshot, such as one that a tag names.

    Raises:
        LakehouseError: that state is not held: it was forgotten, or there was none yet.
    """
    if as_of is None:
        return None
    line = list(ancestors_of(table.current_snapshot(), table.metadata))
    if isinstance(as_of, int):
        state = table.snapshot_by_id(as_of)
        asked = f"in its state {as_of}"
    else:
        moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
        state = next((one for one in line if one.timestamp_ms <= moment.timestamp() * 1000), None)
        asked = f"as it was at {_written(moment)}"
    if state is None:
        raise LakehouseError(f"{'.'.join(table.name())} cannot be read {asked}: {_oldest_in_words(line)}")
    return state


def expirable(table: Table, cutoff: datetime, keep_snapshots: int) -> list[int]:
    """Snapshots that nothing keeps.

    Kept are the states that the table, or a branch of it, was in at the cutoff or later, at least the last
    `keep_snapshots` of them, and what a tag names. No state is left out in between, so that a time is either answered
    rightly or not at all. Snapshots that led nowhere, such as those that were rolled back, are kept until the cutoff.

    Args:
        table: as of its loaded metadata.
        cutoff: a state that was replaced before may go.
        keep_snapshots: 1 or more; 1 is the current state alone.
    """
    retained: set[int] = set()
    reached: set[int] = set()
    for reference in table.refs().values():
        line = list(ancestors_of(table.snapshot_by_id(reference.snapshot_id), table.metadata))
        if reference.snapshot_ref_type == SnapshotRefType.BRANCH:
            reached.update(state.snapshot_id for state in line)
            line = _recent(line, cutoff, keep_snapshots)
        else:
            line = line[:1]
        retained.update(state.snapshot_id for state in line)
    return [
        state.snapshot_id
        for state in table.snapshots()
        if state.snapshot_id not in retained
        and (state.snapshot_id in reached or state.timestamp_ms < _milliseconds(cutoff))
    ]


def _recent(line: list[Snapshot], cutoff: datetime, least: int) -> list[Snapshot]:
    """The newest states up to the oldest that was in use at the cutoff; a clock that went back makes it more."""
    replaced = [later.timestamp_ms for later in line[:-1]]
    in_use = [position for position, at in enumerate(replaced, start=1) if at >= _milliseconds(cutoff)]
    return line[: max(least, max(in_use, default=0) + 1)]


def _oldest_in_words(line: list[Snapshot]) -> str:
    if not line:
        return "nothing has been written to it yet"
    oldest = line[-1]
    since = _written(datetime.fromtimestamp(oldest.timestamp_ms / 1000, UTC))
    words = f"the oldest state held is of {since} (snapshot {oldest.snapshot_id})"
    if (oldest.sequence_number or 0) <= 1:
        return f"{words}, and it is the first."
    return (
        f"{words}; maintenance forgot the earlier ones. attributes.maintenance.keep_days and keep_snapshots say how "
        "long replaced states stay."
    )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(moment: datetime) -> float:
    return moment.timestamp() * 1000
