"""Interpreters: which Python an application asks for, and which of this machine's its user may run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from corpus import processes
from corpus.errors import CorpusError
from corpus.project import manifests

_VERSION = re.compile(r"(?:c?python-?)?(\d+(?:\.\d+){0,2})")
_CARET = re.compile(r"\^\s*(\d+)((?:\.\d+)*)")
_TILDE = re.compile(r"(?<![=!<>])~\s*(\d+(?:\.\d+)?)(?:\.\d+)*")


@dataclass(frozen=True)
class Wish:
    """What a tree says of its Python.

    :param versions: that are right
    :param where: the file that says so
    :param text: as it says it
    """

    versions: SpecifierSet
    where: str
    text: str


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine.

    :param path: absolute
    :param version: ``3.11.2``
    """

    path: str
    version: str


def uv(user: str | None) -> str:
    """Return the path of a ``uv`` that ``user`` may run, or an empty text."""
    return next((program for program in _candidates("uv") if _version(program, user)), "")


def interpreter(wanted: str, user: str | None) -> Interpreter:
    """Return a Python that ``user`` may run.

    :param wanted: a command (``python3.12``) or an absolute path
    :raises CorpusError: there is none
    """
    for program in _candidates(wanted):
        version = _version(program, user)
        if version:
            return Interpreter(program, version)
    raise CorpusError(
        f"There is no {wanted!r} on this machine that {user or 'we'} may run: install it, or set data.python.interpreter."
    )


def suitable(tree: Path, user: str | None) -> Interpreter:
    """Return the Python that a tree asks for, or the system's ``python3`` when it does not ask.

    :raises CorpusError: no interpreter here is right; the message names those that are here
    """
    wish = wished(tree)
    there: dict[str, str] = {}
    for name in ("python3", *(f"python3.{minor}" for minor in range(20, 7, -1))):
        for program in _candidates(name):
            version = _version(program, user)
            if version and wish is None:
                return Interpreter(program, version)
            if wish and version and wish.versions.contains(version, prereleases=True):
                return Interpreter(program, version)
            if version:
                there.setdefault(version, program)
    if wish is None:
        raise CorpusError(f"There is no Python on this machine that {user or 'we'} may run: apt-get install python3.")
    known = ", ".join(f"{version} ({program})" for version, program in sorted(there.items())) or "none"
    raise CorpusError(
        f"{wish.where} asks for Python {wish.text}, and this machine has {known}: install one that is right, change "
        f"{wish.where}, or set data.python.download to let uv fetch it."
    )


def wished(tree: Path) -> Wish | None:
    """Return what a tree says of its Python; None when it says nothing. The most explicit place counts.

    A patch version counts as its minor version: that is what a distribution has, one of each.

    :raises CorpusError: it says something that is no version
    """
    for where, text in _said(tree):
        versions = _specifiers(text)
        if versions is None:
            raise CorpusError(f"{where}: {text[:60]!r} is no version of Python that we know: write 3.12, say.")
        return Wish(versions, where, text)
    return None


def _said(tree: Path) -> Iterator[tuple[str, str]]:
    for name in (".python-version", "runtime.txt"):
        lines = [line.strip() for line in manifests.text(tree, name).splitlines()]
        said = next((line for line in lines if line and not line.startswith("#")), "")
        if said:
            yield name, said
    project = manifests.toml(tree, "pyproject.toml")
    requires = manifests.mapping(project, "project").get("requires-python")
    if isinstance(requires, str):
        yield "pyproject.toml (requires-python)", requires
    poetry = manifests.mapping(project, "tool", "poetry", "dependencies").get("python")
    if isinstance(poetry, str):
        yield "pyproject.toml (tool.poetry)", poetry
    try:
        locked = json.loads(manifests.text(tree, "Pipfile.lock") or "{}")
    except ValueError:
        locked = {}
    version = manifests.mapping(locked, "_meta", "requires").get("python_version")
    if isinstance(version, str):
        yield "Pipfile.lock", version


def _specifiers(text: str) -> SpecifierSet | None:
    """Versions as people write them: ``3.12``, ``python-3.12.4``, ``>=3.10,<4``, ``^3.10``, ``~3.11``."""
    plain = _VERSION.fullmatch(text)
    if plain:
        parts = plain[1].split(".")[:2]
        return SpecifierSet(f"=={'.'.join(parts)}.*")
    text = _CARET.sub(lambda found: f">={found[1]}{found[2]},<{int(found[1]) + 1}", text)
    text = _TILDE.sub(lambda found: f"=={found[1]}.*", text)
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def _candidates(program: str) -> Iterator[str]:
    """Where a program may be: the system's own first, every user can reach those."""
    if "/" in program:
        yield program
        return
    seen = set()
    for folder in (
        "/usr/local/bin",
        "/usr/bin",
        *os.environ.get("PATH", "").split(os.pathsep),
        str(Path(sys.executable).parent),
    ):
        found = shutil.which(program, path=folder)
        if found and found not in seen:
            seen.add(found)
            yield found


def _version(program: str, user: str | None) -> str:
    """Return the version that a program says it has, or an empty text when ``user`` cannot run it."""
    try:
        said = processes.run([program, "--version"], user=user, cwd="/", timeout=20, check=False)
    except (OSError, CorpusError):
        return ""
    words = (said.output or said.errors).split()
    return words[1] if said.status == 0 and len(words) > 1 else ""


def configured(cfg: Mapping[str, Any]) -> Interpreter | None:
    """Return the Python that a project's configuration, or its tree, chooses; None: uv shall fetch one.

    :raises CorpusError: there is none
    """
    python = cfg["data"]["python"]
    if python.get("interpreter"):
        return interpreter(str(python["interpreter"]), cfg.get("user"))
    try:
        return suitable(Path(cfg["project_root"]), cfg.get("user"))
    except CorpusError:
        if python.get("download"):
            return None
        raise
