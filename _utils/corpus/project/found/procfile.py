"""``Procfile``: which process types a tree has, one line each (``<type>: <command>``), as Heroku reads it."""

from __future__ import annotations

import re
from pathlib import Path

from corpus.errors import CorpusError
from corpus.project.found import files

_TYPE = re.compile(r"[A-Za-z0-9_-]{1,40}")


def read(tree: Path) -> dict[str, str]:
    """Return the process types and command lines of a tree's ``Procfile``; empty when there is none.

    :raises CorpusError: a line is not ``<type>: <command>``
    """
    found = {}
    for number, line in enumerate((files.text(tree, "Procfile") or "").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kind, colon, command = line.partition(":")
        if not colon or not command.strip() or not _TYPE.fullmatch(kind.strip()):
            raise CorpusError(f"Procfile, line {number}: expected '<type>: <command>'.")
        found[kind.strip()] = command.strip()
    return found


def web(tree: Path) -> str:
    """Return the command line of the type ``web``; empty when there is none, or the file cannot be read."""
    try:
        return read(tree).get("web", "")
    except CorpusError:
        return ""
