"""What an application's own files say (``pyproject.toml``, ``package.json`` …), read without trusting them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMIT = 32 << 20


def present(tree: Path, name: str) -> bool:
    """Tell whether ``name`` is a file of the tree, links that lead out of it excepted."""
    path = tree / name
    return path.is_file() and path.resolve().is_relative_to(tree.resolve())


def text(tree: Path, name: str) -> str:
    """Return the text of a file of the tree; empty when there is none, or when it leads out of the tree."""
    if not present(tree, name) or (tree / name).stat().st_size > _LIMIT:
        return ""
    return (tree / name).read_text(encoding="utf-8-sig", errors="replace")


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
    except ValueError as err:
        raise CorpusError(f"{name} is not JSON: {err}.") from err
    if not isinstance(found, dict):
        raise CorpusError(f"{name} must hold a JSON object.")
    return found


def mapping(tree: Any, *keys: str) -> Mapping[str, Any]:
    """Return the mapping that stands at ``keys``; empty when there is none, whatever stands there instead."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree if isinstance(tree, Mapping) else {}
