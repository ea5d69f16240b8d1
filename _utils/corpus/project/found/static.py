"""Trees that are served as files: what says so, and which folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.project.found import files, procfile

_FOLDERS = ("public", "dist", "build", "_site", "site", "www", "html", "docs", ".")


def look(tree: Path) -> str | None:
    """Return why a tree is served as files, or None."""
    return None if files.has(tree, "Procfile") and procfile.web(tree) else _index(tree)


def values(tree: Path) -> dict[str, Any]:
    """Return the folder that is served, when it can be told."""
    index = _index(tree)
    return {"document_root": str(Path(index).parent)} if index else {}


def _index(tree: Path) -> str | None:
    return files.has(tree, *(str(Path(folder, "index.html")) for folder in _FOLDERS))
