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
    return next((name for name in names if _read(tree, name, 0) is not None), None)


def text(tree: Path, name: str) -> str | None:
    """Return the text of a file of the tree; None when there is none, or one that is too large."""
    content = _read(tree, name, LIMIT + 1)
    return (
        None if content is None or len(content) > LIMIT else content.decode("utf-8", "replace").removeprefix("\ufeff")
    )


def mapping(tree: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of the tree; empty when it is none, its installer's tool will say so."""
    try:
        value = json.loads(text(tree, name) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read(tree: Path, name: str, limit: int) -> bytes | None:
    """Return the beginning of a regular file of the tree, or None when it is none.

    The folders on the way are opened one by one, without following links: nobody who changes the tree meanwhile leads
    us out of it, or makes us wait for a pipe.
    """
    try:
        root = tree.resolve()
        *folders, last = (root / name).resolve().relative_to(root).parts
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError, RuntimeError):  # not there, leads out of the tree or in a circle, or is the tree
        return None
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not stat.S_ISREG(os.stat(last, dir_fd=handle, follow_symlinks=False).st_mode):
            return None
        file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    with os.fdopen(file, "rb") as stream:
        return stream.read(limit) if stat.S_ISREG(os.fstat(file).st_mode) else None
