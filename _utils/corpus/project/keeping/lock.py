"""One deployment a project at a time: a lock that lives as long as the process that holds it (flock(2))."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from corpus import files
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
    with layout.lock.open("a+") as stream:
        layout.lock.chmod(0o600)
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                other = holder(layout)
                if other is None:  # somebody only looked who holds it
                    time.sleep(0.001)
                    continue
                if time.monotonic() >= deadline:
                    raise Locked(_refusal(layout, what, other)) from None
                time.sleep(0.05)
        _held.add(stream.fileno())
        stream.truncate(0)
        json.dump({"what": what, "who": who, "pid": os.getpid(), "since": now()}, stream)
        stream.flush()
        try:
            yield
        finally:
            _held.discard(stream.fileno())
            stream.truncate(0)
            stream.flush()
            fcntl.flock(stream, fcntl.LOCK_UN)


_held: set[int] = set()


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and must be free in the moment in which that one dies."""
    if _held:
        null = os.open(os.devnull, os.O_RDWR)
        for handle in _held:
            os.dup2(null, handle, inheritable=False)
        os.close(null)
        _held.clear()


os.register_at_fork(after_in_child=_let_go)


def holder(layout: Layout) -> dict[str, Any] | None:
    """Return what the living holder wrote (what, who, pid, since), or None when nobody holds the lock."""
    try:
        with layout.lock.open("r") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    return dict(json.loads(stream.read() or "{}"))
                except ValueError:
                    return {}
            return None
    except FileNotFoundError:
        return None


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
