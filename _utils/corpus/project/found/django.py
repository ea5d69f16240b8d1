"""Django sites: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project.found import files, python


def look(tree: Path) -> str | None:
    """Return why a tree is a Django site, or None."""
    if "django" not in (files.text(tree, "manage.py") or "").lower():
        return None
    described = python.look(tree)
    return f"manage.py and {described}" if described else None


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a Django tree."""
    return {}
