"""Reads files of a tree that nobody vouches for: whole small files inside of it, and nothing else."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

#: bytes; a file that is larger is no description of a project
LIMIT = 1 << 20


def has(tree: Path, *names: str) -> str | None:
    """Return the first of ``names`` that is a regular file of the tree, or None; links may not lead out of it."""
    return next((name for name in names if _regular(tree, name)), None)


def text(tree: Path, name: str) -> str | None:
    """Return the text of a file of the tree; None when there is none, or one that is too large."""
    if not _regular(tree, name):
        return None
    try:
        with open(tree / name, "rb", opener=_unblocked) as stream:
            content = stream.read(LIMIT + 1)
    except OSError:
        return None
    return None if len(content) > LIMIT else content.decode("utf-8", "replace").removeprefix("\ufeff")


def mapping(tree: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of the tree; empty when it is none, its installer's tool will say so."""
    try:
        value = json.loads(text(tree, name) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _regular(tree: Path, name: str) -> bool:
    path = tree / name
    try:
        return stat.S_ISREG(path.stat().st_mode) and path.resolve().is_relative_to(tree.resolve())
    except (OSError, RuntimeError, ValueError):
        return False


def _unblocked(path: str, flags: int) -> int:
    """Open without waiting, should a pipe have taken the file's place meanwhile."""
    return os.open(path, flags | os.O_NONBLOCK)
