"""What an application's own files say (``pyproject.toml``, ``package.json`` …), read without trusting them."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: bytes; a file that is larger is no manifest, nor a lock
LIMIT = 32 << 20
#: bytes; a file that is larger is not looked at to recognize a project
SMALL = 1 << 20


def present(tree: Path, name: str) -> bool:
    """Tell whether ``name`` is a regular file of the tree; links may not lead out of it."""
    return _read(tree, name, 0) is not None


def has(tree: Path, *names: str) -> str | None:
    """Return the first of ``names`` that is :func:`present`, or None."""
    return next((name for name in names if present(tree, name)), None)


def text(tree: Path, name: str) -> str:
    """Return the text of a file of the tree, its lines ended by newlines; empty when there is none, or it is too large."""
    return (_decoded(tree, name, LIMIT) or "").replace("\r\n", "\n").replace("\r", "\n")


def small_text(tree: Path, name: str) -> str | None:
    """Return the text of a small file of the tree as it is; None when there is none, or it is not small."""
    return _decoded(tree, name, SMALL)


def toml(tree: Path, name: str) -> dict[str, Any]:
    """Return what a TOML file of the tree holds; empty when there is none.

    :raises CorpusError: it is not TOML
    """
    try:
        return dict(tomllib.loads(text(tree, name)))
    except tomllib.TOMLDecodeError as err:
        raise CorpusError(f"{name} is not TOML: {err}.") from err


def json_mapping(tree: Path, name: str) -> dict[str, Any]:
    """Return what a JSON file of the tree holds; empty when there is none.

    :raises CorpusError: it is not a JSON object
    """
    content = text(tree, name)
    if not content:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as err:
        raise CorpusError(f"{name} is not JSON: {err}.") from err
    if not isinstance(found, dict):
        raise CorpusError(f"{name} must hold a JSON object.")
    return found


def json_mapping_or_empty(tree: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a small file of the tree; empty when it is none, its installer's tool will say so."""
    try:
        value = json.loads(small_text(tree, name) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def mapping(tree: Any, *keys: str) -> Mapping[str, Any]:
    """Return the mapping that stands at ``keys``; empty when there is none, whatever stands there instead."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}


def _decoded(tree: Path, name: str, limit: int) -> str | None:
    content = _read(tree, name, limit + 1)
    if content is None or len(content) > limit:
        return None
    return content.decode("utf-8", "replace").removeprefix("\ufeff")


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
