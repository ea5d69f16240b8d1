"""Python applications: which tools this machine has for their users, what a tree asks for."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from corpus import processes
from corpus.errors import CorpusError


def uv(user: str | None) -> str:
    """Return the path of a ``uv`` that ``user`` may run, or an empty text."""
    return next((program for program in _candidates("uv") if _runs(program, user)), "")


def interpreter(wanted: str, user: str | None) -> str:
    """Return the path of a Python that ``user`` may run.

    :param wanted: a command (``python3.12``) or an absolute path
    :raises CorpusError: there is none
    """
    for program in _candidates(wanted):
        if _runs(program, user):
            return program
    raise CorpusError(
        f"There is no {wanted!r} on this machine that {user or 'we'} may run: install it, or set data.python.interpreter."
    )


def _candidates(program: str) -> Iterator[str]:
    """Where a program may be: the system's own first, every user can reach those."""
    if "/" in program:
        yield program
        return
    for folder in (
        "/usr/local/bin",
        "/usr/bin",
        *os.environ.get("PATH", "").split(os.pathsep),
        str(Path(sys.executable).parent),
    ):
        found = shutil.which(program, path=folder)
        if found:
            yield found


def _runs(program: str, user: str | None) -> bool:
    try:
        return processes.run([program, "--version"], user=user, cwd="/", timeout=20, check=False).status == 0
    except (OSError, CorpusError):
        return False


def requirements(tree: str, names: list[str]) -> list[str]:
    """Return those of ``names`` that are files of the tree."""
    root = Path(tree).resolve()
    return [name for name in names if (root / name).is_file() and (root / name).resolve().is_relative_to(root)]


def is_package(tree: str) -> bool:
    """Tell whether the tree can be installed as a Python package (PEP 517)."""
    root = Path(tree)
    if (root / "setup.py").is_file():
        return True
    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return "[build-system]" in text or "[project]" in text
