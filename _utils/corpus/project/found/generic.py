"""Trees that bring their own way: a ``Procfile``, or stages of their own in ``.salt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project import manifests


def look(tree: Path) -> str | None:
    """Return why a tree needs nothing of an installer, or None."""
    return manifests.has(tree, "Procfile") or _own_stage(tree)


def _own_stage(tree: Path) -> str | None:
    """Return an sls in ``.salt`` that is not just what corpus generates there."""
    from corpus.project import dot_salt  # it knows the configuration, which asks us

    for path, generated in dot_salt.missing(tree / ".salt"):
        name = str(path.relative_to(tree))
        if path.suffix == ".sls" and manifests.has(tree, name) and manifests.small_text(tree, name) != generated:
            return name
    return None


def values(tree: Path) -> dict[str, Any]:
    """Return nothing: what such a tree needs stands in it."""
    return {}
