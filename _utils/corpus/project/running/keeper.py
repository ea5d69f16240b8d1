"""Keeps a one-off process: ends it with everything that it started when whoever asked for it is gone.

Run as a program, outside of the package and by the standard library alone: ``python -S keeper.py <asker's pid> <words>``.
The words are handed to this Python. The exit status is the process' own, 128 + n when a signal n ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class _Ended(BaseException):
    """We were told to end."""


def _end(number: int, _: object) -> None:
    raise _Ended(number)


def descendants() -> list[int]:
    """Return the pids of everything that we started and that lives, however far down: orphans become our children."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stream:
                    parent = int(stream.read().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def end_all() -> None:
    """Kill everything that we started, and see it gone."""
    while True:
        for pid in descendants():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(argv: list[str]) -> int:
    """Run what the words say and return its exit status."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    status = 128 + signal.SIGTERM
    try:
        if os.getppid() == int(argv[1]):
            status = _run([sys.executable, "-S", *argv[2:]])
    except _Ended as end:
        status = 128 + int(end.args[0])
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        end_all()
    return status


def _run(words: list[str]) -> int:
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.execv(words[0], words)
    while True:
        pid, waited = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(waited)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
