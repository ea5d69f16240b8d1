"""A file that one process holds at a time, for as long as it lives (flock(2)): there are no stale locks."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpus.errors import Locked


@contextmanager
def held(
    path: Path, note: Mapping[str, Any], refusal: Callable[[Mapping[str, Any]], str], wait: float = 0
) -> Iterator[None]:
    """Hold the lock while the block runs.

    :param path: the lock's file; made if need be, in a folder that exists, and never removed
    :param note: who holds it and what for, for others to read
    :param refusal: makes the sentence for who comes second, from the holder's note
    :param wait: seconds to wait for another holder
    :raises Locked: another process holds it still
    """
    with path.open("a+") as stream:
        path.chmod(0o600)
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                other = holder(path)
                if other is None:  # somebody only looked who holds it
                    time.sleep(0.001)
                    continue
                if time.monotonic() >= deadline:
                    raise Locked(refusal(other)) from None
                time.sleep(0.05)
        _held.add(stream.fileno())
        stream.truncate(0)
        json.dump({**note, "pid": os.getpid()}, stream)
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


def holder(path: Path) -> dict[str, Any] | None:
    """Return the note of the living holder, or None when nobody holds the lock."""
    try:
        with path.open("r") as stream:
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
