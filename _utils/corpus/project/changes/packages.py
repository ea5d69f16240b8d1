"""The packages that came, went, or have another version: Python's, npm's and Composer's of a tree, Debian's of the system."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corpus.project.changes.tree import plain_content

_STATUS = Path("/var/lib/dpkg/status")
_LISTING = 32 << 20  # bytes that a package manager's own list may have
_SCANNED = 1500  # folders of node_modules that are looked into when there is no list

#: the packages of a tree: versions by kind and name
Packages = dict[tuple[str, str], str]


@dataclass(frozen=True)
class PackageChange:
    """A package that changed.

    :param kind: ``python``, ``npm``, ``composer`` or ``debian``
    :param name: of the package
    :param old: its version before; None: it was not there
    :param new: its version now; None: it is gone
    """

    kind: str
    name: str
    old: str | None
    new: str | None


def between(before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]) -> list[PackageChange]:
    """Return the packages that differ, by kind and name."""
    return [
        PackageChange(kind, name, before.get((kind, name)), after.get((kind, name)))
        for kind, name in sorted(before.keys() | after.keys())
        if before.get((kind, name)) != after.get((kind, name))
    ]


def of_tree(tree: Path) -> Packages:
    """Return what package managers installed in a tree. They keep lists, so this takes milliseconds."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, name, version in (*_python(tree), *_npm(tree), *_composer(tree)):
        found.setdefault((kind, name), set()).add(version)
    return {key: ", ".join(sorted(versions)) for key, versions in found.items()}


def _python(tree: Path) -> Iterator[tuple[str, str, str]]:
    folders = [site for venv in ("venv", ".venv") for site in (tree / venv).glob("lib/python3*/site-packages")]
    for folder in (*folders, tree / "eggs"):
        for entry in _names(folder):
            stem, dot, kind = entry.rpartition(".")
            if not dot or kind not in ("dist-info", "egg-info", "egg"):
                continue
            name, dash, version = re.sub(r"-py3(\.\d+)?(-[a-z].*)?$", "", stem).rpartition("-")
            if dash:
                yield "python", re.sub(r"[-_.]+", "-", name).lower(), version


def _npm(tree: Path) -> Iterator[tuple[str, str, str]]:
    folder = tree / "node_modules"
    listed = _json(folder / ".package-lock.json")
    if listed is not None:
        packages = listed.get("packages")
        for path, about in packages.items() if isinstance(packages, dict) else ():
            if isinstance(about, dict) and about.get("version") and not about.get("link"):
                yield "npm", str(path).rpartition("node_modules/")[2], str(about["version"])
        return
    stored = _names(folder / ".pnpm")
    for entry in stored:
        name, at, version = entry.split("(")[0].split("_")[0].rpartition("@")
        if at and name:
            yield "npm", name.replace("+", "/"), version
    if not stored:
        yield from _scanned(folder)


def _scanned(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Look into each package: yarn keeps no list of what it installed."""
    names = []
    for name in _names(folder)[:_SCANNED]:
        names += [f"{name}/{inner}" for inner in _names(folder / name)] if name.startswith("@") else [name]
    for name in names[:_SCANNED]:
        about = _json(folder / name / "package.json")
        if about and about.get("version"):
            yield "npm", name, str(about["version"])


def _composer(tree: Path) -> Iterator[tuple[str, str, str]]:
    installed = _json(tree / "vendor/composer/installed.json") or {}
    packages = installed.get("packages")
    for about in packages if isinstance(packages, list) else ():
        if isinstance(about, dict) and about.get("name") and about.get("version"):
            yield "composer", str(about["name"]), str(about["version"])


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _json(path: Path) -> dict[str, object] | None:
    with suppress(ValueError):
        value = json.loads(plain_content(path, _LISTING) or b"null")
        return value if isinstance(value, dict) else None
    return None


class System:
    """Debian's packages as they are when this is made; empty elsewhere.

    :param status: the list that dpkg keeps. It is compared whole: a log may be rotated or switched off
    """

    def __init__(self, status: Path = _STATUS) -> None:
        self._path = status
        self._before, self._stamp = self._read()

    def changes(self) -> list[PackageChange]:
        """Return what was installed, upgraded or removed since then, by whomever."""
        if self._stamp == self._stamped():
            return []
        return between(_debian(self._before), _debian(self._read()[0]))

    def _read(self) -> tuple[bytes, tuple[int, int, int] | None]:
        stamp = self._stamped()
        try:
            return self._path.read_bytes(), stamp
        except OSError:
            return b"", None

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _debian(status: bytes) -> Packages:
    found: dict[tuple[str, str], set[str]] = {}
    for stanza in status.decode("utf-8", "replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed") and "Package" in fields:
            found.setdefault(("debian", fields["Package"]), set()).add(fields.get("Version", "?"))
    return {key: ", ".join(sorted(versions)) for key, versions in found.items()}
