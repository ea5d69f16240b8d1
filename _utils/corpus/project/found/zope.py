"""Zope and Plone sites built by zc.buildout: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import buildout, manifests
from corpus.project.found import procfile


def look(tree: Path) -> str | None:
    """Return why a tree is built by zc.buildout, or None."""
    return manifests.has(tree, "buildout.cfg")


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a buildout's tree: its web process; whether two versions may have its database at once."""
    try:
        processes = {"web": f"venv/bin/python {buildout.FOLDER}/serve.py", **procfile.read(tree)}
        found = buildout.read(tree)
    except CorpusError:  # said by the stages, to whoever pushed
        return {}
    return {"processes": processes, "services_during_build": "keep" if found.shared else "stop"}
