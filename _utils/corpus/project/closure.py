"""The closure of a release: the installers and macros of the pack that staging had, kept in its ``.salt``.

So production renders the same sls although its own pack may be of another version. It lies in the tree, as
``.salt/.closure``, and goes wherever the tree goes: to an archive, and back by a rollback.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpus
from corpus import files
from corpus.errors import ConfigurationError
from corpus.project import installers
from corpus.project.keeping import trees

FOLDER = ".closure"
_ABOUT = "pack.json"
#: where an installer that is not of the pack lies in the closure, beside those that are
_FOREIGN = "installer"


@dataclass(frozen=True)
class Closure:
    """What a release brings of the pack that it was made with.

    :param folder: its place now, absolute
    :param installer: the name staging knew the installer by
    :param api_version: version of the project API
    :param version: of the pack
    :param digest: SHA-256 over the installers and macros
    :param own: whether the installer lies in the project's ``.salt`` itself
    :param values: configuration keys that staging found in the tree
    """

    folder: Path
    installer: str
    api_version: int
    version: str
    digest: str
    own: bool
    values: Mapping[str, Any]

    @property
    def place(self) -> Path:
        """The folder of the installer."""
        if self.own:
            return self.folder.parent / self.installer
        named = self.folder / str(self.api_version) / self.installer
        return named if "/" not in self.installer else self.folder / str(self.api_version) / _FOREIGN

    @property
    def pack(self) -> dict[str, str]:
        """Version and digest, for a manifest."""
        return {"version": self.version, "digest": self.digest}


def enclose(salt_root: Path, installer: Path, cfg: Mapping[str, Any], told: Mapping[str, Any]) -> Closure:
    """Put the installers and macros that a project uses into its ``.salt``.

    :param salt_root: ``.salt`` of the tree that becomes a release
    :param installer: folder of the installer
    :param told: configuration keys that were found in the tree
    """
    api_version = int(cfg["api_version"])
    folder = salt_root / FOLDER
    trees.remove(folder)
    pack = folder / str(api_version)
    shutil.copytree(installers.official_root() / str(api_version), pack, ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere = str(cfg["installer"]).startswith("/")
    own = not elsewhere and installer.parent != installers.official_root() / str(api_version)
    if elsewhere:
        shutil.copytree(installer, pack / _FOREIGN, symlinks=True)
    for path in (folder, *trees.walk(folder)):
        path.chmod(0o755 if path.is_dir() else 0o644)
    made = Closure(folder, str(cfg["installer"]), api_version, corpus.__version__, _digest(pack), own, dict(told))
    about = {"installer": made.installer, "api_version": api_version, "own": own, "values": dict(told), **made.pack}
    files.write_json(folder / _ABOUT, about, 0o644)
    return made


def within(salt_root: Path) -> Closure | None:
    """Return the closure that a tree brings in its ``.salt``, or None.

    :raises ConfigurationError: it is not whole
    """
    folder = salt_root / FOLDER
    about = files.read_json(folder / _ABOUT)
    if about is None:
        return None
    try:
        found = Closure(
            folder=folder,
            installer=str(about["installer"]),
            api_version=int(about["api_version"]),
            version=str(about["version"]),
            digest=str(about["digest"]),
            own=bool(about["own"]),
            values=dict(about["values"]),
        )
    except (KeyError, TypeError, ValueError) as err:
        raise ConfigurationError(f"{folder}/{_ABOUT} is damaged: deploy the release again.") from err
    if not found.place.resolve().is_relative_to(salt_root.resolve()) or not found.place.is_dir():
        raise ConfigurationError(f"The release does not have its installer {found.installer!r}: bundle it again.")
    return found


def checked(found: Closure, installer: str, source: str) -> str:
    """Return the installer's name when a configuration wants the one that the release was made with, or none.

    :param source: where the name in the configuration comes from
    :raises ConfigurationError: it wants another
    """
    if source == "default" or installer in (installers.AUTO, found.installer):
        return found.installer
    raise ConfigurationError(
        f"installer: the release was made with {found.installer!r}, not {installer!r} ({source}): take that out."
    )


def _digest(folder: Path) -> str:
    """Return one SHA-256 over names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in trees.walk(folder):
        if path.is_file() and not path.is_symlink():
            digest.update(f"{path.relative_to(folder)}\0{trees.sha256(path)}\n".encode())
    return digest.hexdigest()
