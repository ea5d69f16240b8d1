"""Python applications: what says that a tree is one, and how it is served when it has no Procfile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import manifests
from corpus.project.found import procfile
from corpus.project.python import application, dependencies, servers
from corpus.project.python.application import Application

#: any of these describes the packages that the application needs
_DESCRIBED = (
    "requirements.txt",
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "Pipfile.lock",
    "Pipfile",
    "pyproject.toml",
    "setup.py",
)
_LISTED = ["requirements.txt"]


def look(tree: Path) -> str | None:
    """Return why a tree is a Python application, or None."""
    return manifests.has(tree, *_DESCRIBED)


def serves(tree: Path) -> bool:
    """Tell whether a tree has what is likely the application itself, and not only tools in Python."""
    return bool(manifests.has(tree, "app.py", "main.py", "wsgi.py", "asgi.py", "application.py", "manage.py"))


def packages(tree: Path) -> set[str]:
    """Return the names of the packages that a tree asks for; what cannot be read is told when it is installed."""
    try:
        return dependencies.names(tree, _LISTED)
    except CorpusError:
        return set()


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a Python tree: the web process, when it is not told, and how many work in it."""
    asked = packages(tree)
    found = None if procfile.web(tree) else application.found(tree, asked)
    return served(tree, found, asked)


def served(tree: Path, found: Application | None, asked: set[str]) -> dict[str, Any]:
    """Return the keys by which an application is served, its server included; the Procfile's other types stay."""
    told: dict[str, Any] = {"env": {"WEB_CONCURRENCY": str(min(4, max(2, os.cpu_count() or 1)))}}
    if found is not None:
        serving = servers.serving(found, asked)
        told["processes"] = {**_others(tree), "web": serving.command}
        if serving.install:
            told["data"] = {"python": {"server": serving.install}}
    return told


def _others(tree: Path) -> dict[str, str]:
    try:
        return procfile.read(tree)
    except CorpusError:
        return {}
