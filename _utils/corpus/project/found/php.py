"""PHP applications: what says that a tree is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import manifests, php
from corpus.project.found import procfile

_FRONT = ("index.php", "public/index.php", "web/index.php", "html/index.php", "docroot/index.php", "htdocs/index.php")


def look(tree: Path) -> str | None:
    """Return why a tree is a PHP application, or None."""
    return manifests.has(tree, "composer.json", *_FRONT)


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a PHP tree: its document root, and its processes with the launcher in them."""
    try:
        processes = {"web": php.COMMANDS[0], **procfile.read(tree)}
        root = php.shape(tree).document_root
    except CorpusError:  # said by the stages, to whoever pushed
        return {}
    return {
        "document_root": root,
        "processes": {kind: php.command(line) for kind, line in processes.items()},
        "env": {"PHP_INI_SCAN_DIR": f":{{project_root}}/{php.FOLDER}/conf.d"},
    }
