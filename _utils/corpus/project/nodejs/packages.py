"""Package managers of Node.js: npm, yarn and pnpm, chosen by lock file and ``packageManager``, and their commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import manifests

_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
_NAMED = re.compile(r"(npm|yarn|pnpm)@(\d+\.\d+\.\d+(?:-[\w.]+)?)(?:\+.*)?")
#: what is taken when a tree has a lock and does not say which version wrote it
_VERSIONS = {"yarn": "1.22.22", "berry": "4.9.1", "pnpm": "9.15.9"}
_PNPM_BY_LOCK = {"5": "7.33.7", "6": "8.15.9"}
_BERRY_BY_LOCK = {"4": "2.4.3", "5": "3.1.1", "6": "3.8.7"}


@dataclass(frozen=True)
class Packager:
    """Who installs the packages of a tree.

    :param name: npm, yarn (1), berry (yarn from 2 on) or pnpm
    :param version: exact; empty: the npm that comes with Node
    :param lock: name of the lock file; empty when there is none
    :param program: a copy that the tree brings (``yarnPath``), relative to the tree; empty: from the registry
    """

    name: str
    version: str
    lock: str
    program: str = ""

    @property
    def package(self) -> str:
        """The package of the registry that holds it, with its version."""
        return f"{'@yarnpkg/cli-dist' if self.name == 'berry' else self.name}@{self.version}"

    @property
    def command(self) -> str:
        """The name of its program."""
        return "yarn" if self.name == "berry" else self.name

    def install(self, development: bool) -> list[str]:
        """Return the command that installs exactly what the lock says.

        :param development: with what is needed to build, too
        """
        if self.name == "npm":
            what = ["ci"] if self.lock else ["install", "--no-package-lock"]
            return ["npm", *what, "--include=dev" if development else "--omit=dev", "--no-audit", "--no-fund"]
        if self.name == "yarn":
            frozen = ["--frozen-lockfile"] if self.lock else ["--no-lockfile"]
            return ["yarn", "install", *frozen, "--non-interactive", f"--production={_word(not development)}"]
        if self.name == "berry":
            return ["yarn", "install", "--immutable"]
        frozen = ["--frozen-lockfile"] if self.lock else ["--no-lockfile"]
        return ["pnpm", "install", *frozen, f"--prod={_word(not development)}"]

    def prune(self) -> list[str]:
        """Return the command that removes what was only needed to build; empty when it has none."""
        if self.name == "npm":
            return ["npm", "prune", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        if self.name == "yarn":
            frozen = "--frozen-lockfile" if self.lock else "--no-lockfile"
            return [
                "yarn",
                "install",
                frozen,
                "--production=true",
                "--ignore-scripts",
                "--prefer-offline",
                "--non-interactive",
            ]
        if self.name == "berry":
            return (
                ["yarn", "workspaces", "focus", "--all", "--production"] if int(self.version.split(".")[0]) >= 4 else []
            )
        return ["pnpm", "prune", "--prod", "--ignore-scripts"]


def _word(value: bool) -> str:
    return "true" if value else "false"


def packager(tree: Path) -> Packager:
    """Return who installs the packages of a tree.

    :raises CorpusError: ``packageManager`` names something else, or disagrees with the lock file
    """
    package = manifests.json_mapping(tree, "package.json")
    locks = [lock for lock in _LOCKS if manifests.present(tree, lock)]
    named = package.get("packageManager")
    if named is not None:
        found = _NAMED.fullmatch(named) if isinstance(named, str) else None
        if not found:
            raise CorpusError(
                f"package.json: packageManager is npm, yarn or pnpm with an exact version, not {str(named)[:60]!r}."
            )
        name, version = found[1], found[2]
        lock = next((lock for lock in locks if _LOCKS[lock] == name), "")
        if locks and not lock:
            raise CorpusError(
                f"package.json names {name} as its packageManager, but the tree has {locks[0]}: commit the lock of {name}."
            )
        if name == "yarn" and not version.startswith("1."):
            name = "berry"
        return Packager(name, version, lock, _brought(tree) if name == "berry" else "")
    if not locks:
        return Packager("npm", "", "")
    lock = locks[0]
    name = _LOCKS[lock]
    if name == "npm":
        manifests.json_mapping(tree, lock)  # npm would not say what is wrong with it
        return Packager("npm", "", lock)
    text = manifests.text(tree, lock)
    if name == "pnpm":
        found = re.search(r"^lockfileVersion:\s*['\"]?(\d+)", text, re.MULTILINE)
        return Packager("pnpm", _PNPM_BY_LOCK.get(found[1] if found else "", _VERSIONS["pnpm"]), lock)
    if "__metadata:" in text:
        found = re.search(r"^__metadata:\s+version:\s*(\d+)", text, re.MULTILINE)
        version = _BERRY_BY_LOCK.get(found[1] if found else "", _VERSIONS["berry"])
        return Packager("berry", version, lock, _brought(tree))
    return Packager("yarn", _VERSIONS["yarn"], lock)


def _brought(tree: Path) -> str:
    found = re.search(r"^yarnPath:\s*[\"']?([^\s\"']+)", manifests.text(tree, ".yarnrc.yml"), re.MULTILINE)
    return found[1] if found and manifests.present(tree, found[1]) else ""


def scripts(package: Mapping[str, Any]) -> dict[str, str]:
    """Return the scripts of a ``package.json``."""
    return {
        name: line for name, line in manifests.mapping(package, "scripts").items() if isinstance(line, str) and line
    }
