"""Zope and Plone sites built by zc.buildout: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project.found import files


def look(tree: Path) -> str | None:
    """Return why a tree is built by zc.buildout, or None."""
    return files.has(tree, "buildout.cfg")


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a buildout's tree."""
    return {}
