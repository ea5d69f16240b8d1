"""What the processes of a project print: one file for each type, of all its numbers and releases."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from corpus.errors import UsageError
from corpus.project.layout import Layout

_BLOCK = 1 << 16


def chosen(layout: Layout, known: Sequence[str], kind: str | None) -> list[Path]:
    """Return the logs of one type, or of all that ever printed.

    :param known: types of the running release
    :raises UsageError: there is no such type
    """
    there = {path.stem for path in layout.logs.glob("*.log") if not path.is_symlink()}  # the access log is one
    if kind is None:
        return [layout.log(one) for one in sorted(there)]
    if kind not in {*there, *known}:
        names = ", ".join(sorted({*there, *known})) or "none"
        raise UsageError(f"{layout.name!r} has no process type {str(kind)[:80]!r} (there: {names}).")
    return [layout.log(kind)]


def tail(logs: Sequence[Path], lines: int) -> list[str]:
    """Return the last lines of each log; with several, each line says whose it is."""
    found = []
    for log in logs:
        found += [_told(log, line, logs) for line in _last(log, lines)]
    return found


def follow(logs: Sequence[Path], say: Callable[[str], None]) -> None:
    """Hand every line that is printed from now on to ``say``, until we are interrupted."""
    places = {log: _size(log) for log in logs}
    rests = dict.fromkeys(logs, b"")
    while True:
        for log in logs:
            size = _size(log)
            if size < places[log]:  # it was rotated
                places[log], rests[log] = 0, b""
            if size > places[log]:
                with _opened(log) as stream:
                    stream.seek(places[log])
                    block = stream.read(_BLOCK)
                places[log] += len(block)
                *whole, rests[log] = (rests[log] + block).split(b"\n")
                for line in whole:
                    say(_told(log, line.decode("utf-8", "replace"), logs))
        time.sleep(0.1)


def _told(log: Path, line: str, logs: Sequence[Path]) -> str:
    line = line.rstrip("\r")
    return f"{log.stem} | {line}" if len(logs) > 1 else line


def _last(log: Path, lines: int) -> list[str]:
    """Return the last lines of a log, read from its end."""
    if not lines or not log.exists():
        return []
    with _opened(log) as stream:
        place = stream.seek(0, os.SEEK_END)
        text = b""
        while place > 0 and text.count(b"\n") <= lines:
            step = min(_BLOCK, place)
            place = stream.seek(place - step)
            text = stream.read(step) + text
    return text.decode("utf-8", "replace").splitlines()[-lines:]


def _opened(log: Path) -> BinaryIO:
    """Open a log, not a link that its owner put there for us to read."""
    return open(os.open(log, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _size(log: Path) -> int:
    try:
        return log.lstat().st_size
    except FileNotFoundError:
        return 0
