"""Python applications: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project.found import files

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


def look(tree: Path) -> str | None:
    """Return why a tree is a Python application, or None."""
    return files.has(tree, *_DESCRIBED)


def serves(tree: Path) -> bool:
    """Tell whether a tree has what is likely the application itself, and not only tools in Python."""
    return bool(files.has(tree, "app.py", "main.py", "wsgi.py", "asgi.py", "application.py", "manage.py"))


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a Python tree."""
    return {}
