"""One deployment a project at a time: a lock that lives as long as the process that holds it (flock(2))."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from corpus import files, locks
from corpus.errors import Locked
from corpus.project.layout import Layout


@contextmanager
def held(layout: Layout, what: str, who: str, wait: float = 0) -> Iterator[None]:
    """Hold the project's lock while the block runs.

    :param what: what we are about to do, for others to read
    :param who: who asked for it
    :param wait: seconds to wait for another holder
    :raises Locked: another process holds it still; the message says who, since when, and what for
    """
    note = {"what": what, "who": who, "since": now()}
    with locks.held(layout.lock, note, lambda other: _refusal(layout, what, other), wait):
        yield


def holder(layout: Layout) -> dict[str, Any] | None:
    """Return what the living holder wrote (what, who, pid, since), or None when nobody holds the lock."""
    return locks.holder(layout.lock)


def _refusal(layout: Layout, what: str, other: Mapping[str, Any]) -> str:
    return (
        f"Cannot {what} {layout.name!r} now: {other.get('who', 'somebody')} holds it since "
        f"{other.get('since', 'a moment ago')} to {other.get('what', 'deploy')} it (process {other.get('pid', 'unknown')}). "
        "Try again, or wait for it with wait=SECONDS."
    )


def close_for_maintenance(layout: Layout, who: str, reason: str) -> dict[str, Any]:
    """Refuse deployments until :func:`reopen`; return what was written down (who, since, reason)."""
    note = files.read_json(layout.maintenance) or {"who": who, "since": now(), "reason": reason}
    files.write_json(layout.maintenance, note, mode=0o644)
    return dict(note)


def reopen(layout: Layout) -> bool:
    """Allow deployments again; return whether they were refused before."""
    was_closed = layout.maintenance.exists()
    layout.maintenance.unlink(missing_ok=True)
    return was_closed


def check_open(layout: Layout) -> None:
    """Raise when the project is locked for maintenance.

    :raises Locked: the message says by whom, since when, why, and how to unlock
    """
    note = files.read_json(layout.maintenance)
    if note:
        reason = f" ({note['reason']})" if note.get("reason") else ""
        raise Locked(
            f"{layout.name!r} is locked by {note['who']} since {note['since']}{reason}: mc_project.unlock {layout.name} allows deployments again."
        )


def now() -> str:
    """Return the time in UTC as people and machines read it (RFC 3339, whole seconds)."""
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
