"""The write-ahead journal of a deployment: each step is on disk before it is taken.

The file exists only while a deployment is under way. Found without a living holder of the lock, it tells the next
caller what to finish or to undo.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from corpus import files
from corpus.project.layout import Layout

_RESERVE = 1 << 20


class Journal:
    """An open journal.

    :param layout: of the project
    :param entries: what was recorded so far, oldest first
    """

    def __init__(self, layout: Layout, entries: list[dict[str, Any]] | None = None) -> None:
        self._layout = layout
        self.entries = entries or []
        self._found: bytes | None = None

    @classmethod
    def begin(cls, layout: Layout, **facts: Any) -> Journal:
        """Open the journal with the first entry, ``begin``, and put the disk reserve in place."""
        _put_reserve(layout.reserve)
        journal = cls(layout)
        journal.record("begin", **facts)
        files.flush_folder(layout.own)
        return journal

    @classmethod
    def left_behind(cls, layout: Layout) -> Journal | None:
        """Return the journal of a deployment that died, or None. A torn last line counts as not written."""
        try:
            written = layout.journal.read_bytes()
        except FileNotFoundError:
            return None
        entries, whole = [], b""
        for line in written.splitlines(keepends=True):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not isinstance(entry, dict):
                break
            entries.append(entry)
            whole += line
        journal = cls(layout, entries)
        journal._found = whole
        return journal

    def record(self, step: str, **facts: Any) -> None:
        """Write down what is about to be done; returns when it is on disk."""
        entry = {"step": step, **facts}
        line = json.dumps(entry, default=str) + "\n"
        with self._layout.journal.open("a", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            if self._found is not None:  # what the dead left torn is cut off: a line of ours starts on its own
                os.ftruncate(stream.fileno(), len(self._found))
                line = line if self._found.endswith(b"\n") or not self._found else "\n" + line
                self._found = None
            stream.write(line)
            stream.flush()
            os.fdatasync(stream.fileno())
        self.entries.append(entry)

    def last(self, step: str) -> dict[str, Any] | None:
        """Return the newest entry of that step, or None."""
        return next((entry for entry in reversed(self.entries) if entry["step"] == step), None)

    def stands(self, step: str) -> bool:
        """Tell whether ``step`` was recorded and no rollback begun after it."""
        steps = [entry["step"] for entry in self.entries]
        return step in steps and "rollback" not in steps[steps.index(step) :]

    def close(self) -> None:
        """The deployment is over, one way or the other: remove the journal."""
        self._layout.journal.unlink(missing_ok=True)
        files.flush_folder(self._layout.own)

    def free_reserve(self) -> None:
        """Give the reserved disk space back, so that there is room to write down a rollback."""
        self._layout.reserve.unlink(missing_ok=True)


def _put_reserve(path: Path) -> None:
    if path.exists() and path.stat().st_size == _RESERVE:
        return
    with path.open("wb") as stream:
        stream.write(b"\0" * _RESERVE)
