"""Following a log that can only be asked for its end: it is asked again and again, and what is new is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from corpus.errors import CorpusError
from corpus.web.problems import Refused

#: Seconds between two looks: at least, and at most when nothing comes.
SHORTEST, LONGEST = 2.0, 6.0
#: Seconds after which whoever follows comes again.
ENDS = 600.0
#: How many may follow at once: each look is a call to a guest.
MOST = 20
_seats = {"taken": 0}


def tail(first: Sequence[str], read: Callable[[], list[str]], mixed: bool) -> AsyncIterator[bytes]:
    """Return the events of a log, as they are sent.

    :param first: its last lines
    :param read: returns them as they are now; it may take seconds
    :param mixed: the lines of several logs, one after the other, each line with its log's name before `` | ``
    :raises Refused: too many follow already
    """
    if _seats["taken"] >= MOST:
        raise Refused(429, "Too many follow logs already: try again in a minute.", {"Retry-After": "60"})
    return _tail(first, read, mixed)


async def _tail(first: Sequence[str], read: Callable[[], list[str]], mixed: bool) -> AsyncIterator[bytes]:
    _seats["taken"] += 1
    try:
        end, pause, seen = time.monotonic() + ENDS, SHORTEST, list(first)
        yield _event("log.line", *seen)
        while time.monotonic() < end:
            await asyncio.sleep(pause)
            try:
                found = await run_in_threadpool(read)
            except CorpusError as err:
                yield format_sse_event(event="log.problem", data_str=json.dumps({"detail": str(err)}))
                break
            new = behind(seen, found, mixed)
            pause = SHORTEST if new else min(LONGEST, pause * 1.3)
            seen = found
            yield _event("log.line", *new) if new else format_sse_event(comment="nothing new")
        yield format_sse_event(event="log.end", data_str="{}")
    finally:
        _seats["taken"] -= 1


def _event(kind: str, *lines: str) -> bytes:
    return b"".join(format_sse_event(event=kind, data_str=json.dumps({"line": line})) for line in lines)


def behind(seen: Sequence[str], found: Sequence[str], mixed: bool = False) -> list[str]:
    """Return the lines that came since.

    >>> behind(["a", "b", "c"], ["b", "c", "d"])
    ['d']

    :param seen: a log's last lines as they were
    :param found: and as they are
    :param mixed: see :func:`tail`
    """
    if mixed:
        before, after = _by_log(seen), _by_log(found)
        return [line for log, lines in after.items() for line in behind(before.get(log, ()), lines)]
    for same in range(min(len(seen), len(found)), 0, -1):
        if list(found[:same]) == list(seen[-same:]):
            return list(found[same:])
    return list(found)


def _by_log(lines: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.partition(" | ")[0] if " | " in line else "", []).append(line)
    return found
