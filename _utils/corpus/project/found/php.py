"""PHP applications: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project.found import files

_FRONT = ("index.php", "public/index.php", "web/index.php", "html/index.php", "docroot/index.php", "htdocs/index.php")


def look(tree: Path) -> str | None:
    """Return why a tree is a PHP application, or None."""
    return files.has(tree, "composer.json", *_FRONT)


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a PHP tree."""
    return {}
