"""What the person who pushed sees while it happens; the same lines go to the deployment's log. No secret passes."""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from corpus.secrets import Redactor

_RECENT = 60

#: what the line begins with that says how it all ended
ENDING = "=====> "

_MARKS = {True: "ok", False: "FAILED", None: "-"}


class Console:
    """Prints progress to standard error and writes it to a log.

    :param log: the deployment's log file, or None
    :param loud: whether somebody is watching
    """

    def __init__(self, log: Path | None, loud: bool) -> None:
        self.redactor = Redactor()
        self._loud = loud
        self._log = None
        #: the last lines of the log since somebody cleared it
        self.recent: collections.deque[str] = collections.deque(maxlen=_RECENT)
        if log is not None:
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._log = open(log, "a", encoding="utf-8", opener=_private)  # noqa: SIM115 - closed by close()

    def headline(self, text: str) -> None:
        """Say that something new begins."""
        self._print(f"-----> {text}")

    def line(self, text: str) -> None:
        """Pass on a line that a command printed."""
        self._print(f"       {text}")

    def stage(self, name: str, result: bool | None, seconds: float, words: str) -> None:
        """Say how a stage ended; ``result`` None: it was skipped."""
        took = f"{seconds:7.2f} s" if result is not None else "         "
        rows = words.splitlines() or [""]
        self._print(f" {_MARKS[result]:>6} {name:<14} {took}  {rows[0]}".rstrip())
        for row in rows[1:]:
            self._print(" " * 35 + row)

    def ending(self, text: str, notes: Iterable[str] = ()) -> None:
        """Say how it all ended, after what is worth knowing beside that."""
        for note in notes:
            self._print(f"  note: {note}")
        self._print(f"{ENDING}{text}")

    def note(self, text: str) -> None:
        """Write a line to the log alone."""
        self._write(f"       | {text}")

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()

    def _print(self, text: str) -> None:
        text = self.redactor.text(text)
        self._write(text)
        if self._loud:
            # Who pushed may be gone: that is no reason to stop half-way.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

    def _write(self, text: str) -> None:
        text = self.redactor.text(text)
        self.recent.append(text.removeprefix("       "))
        if self._log is not None:
            with contextlib.suppress(OSError):  # a full disk must not stop a rollback
                self._log.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")
                self._log.flush()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
