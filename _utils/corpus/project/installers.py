"""Installers: folders with one sls a stage and a ``defaults.yaml``, found by name, by path, or in the project."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

import corpus
from corpus import files
from corpus.errors import ConfigurationError
from corpus.project import workflow
from corpus.project.layout import LINKS

#: no installer, but the wish that one be chosen by what is found in the tree
AUTO = "auto"
#: the installer that does nothing by itself
PLAIN = "generic"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def official_root() -> Path:
    """Return the folder ``projects`` of this pack: beside the package (pip), or at the top of the checkout.

    :raises ConfigurationError: the pack was installed without it
    """
    package = Path(corpus.__file__).resolve().parent
    places = [package / "projects", package.parent.parent / "projects"]
    # saltutil.sync_all puts _utils/corpus alone into the minion's extension modules
    places += [Path(root) / "projects" for root in _configured_roots]
    for place in places:
        if (place / "2").is_dir():
            return place
    raise ConfigurationError(
        "The installers of corpus (its folder 'projects') were not found: set corpus.installers_root in Salt's "
        "configuration to the folder that holds it."
    )


_configured_roots: list[str] = []


def also_look_in(roots: Iterable[str | None]) -> None:
    """Look for the pack's ``projects`` folder in these folders too (Salt's file roots, when the pack is synced)."""
    _configured_roots[:] = [root for root in roots if root]


def official(api_version: int) -> list[str]:
    """Return the names of the installers that this pack brings for an API version."""
    folder = official_root() / str(api_version)
    return sorted(entry.name for entry in folder.iterdir() if (entry / "defaults.yaml").is_file())


def find(installer: str, api_version: int, salt_root: Path) -> Path:
    """Return the folder of an installer.

    :param installer: an official name, an absolute path, or a path inside the project's ``.salt``
    :param salt_root: the project's ``.salt`` folder, absolute
    :raises ConfigurationError: there is none, it leads out of ``.salt``, or it lacks a stage
    """
    if "\0" in installer:
        raise ConfigurationError(f"installer: {installer!r} is no path.")
    if installer.startswith("/"):
        folder = Path(installer)
        if not folder.is_dir():
            raise ConfigurationError(f"installer: there is no folder {installer}.")
    elif _NAME.fullmatch(installer) and (official_root() / str(api_version) / installer).is_dir():
        folder = official_root() / str(api_version) / installer
    else:
        folder = salt_root / installer
        if salt_root.resolve() not in folder.resolve().parents:
            raise ConfigurationError(f"installer: {installer!r} leads out of the project's .salt folder.")
        if not folder.is_dir():
            raise ConfigurationError(
                f"installer: {installer!r} is neither official ({', '.join(official(api_version))}), "
                "nor an absolute path, nor a folder in the project's .salt."
            )
    missing = [f"{sls}.sls" for sls in workflow.SLS if not (folder / f"{sls}.sls").is_file()]
    if missing:
        raise ConfigurationError(
            f"installer {installer!r} has no {', '.join(missing)}: an installer carries every stage's sls, even if empty."
        )
    return folder


def defaults(folder: Path) -> dict[str, Any]:
    """Return what an installer sets when nobody else does: its ``defaults.yaml``, or nothing.

    :raises ConfigurationError: the file is not a YAML mapping
    """
    path = folder / "defaults.yaml"
    if not path.is_file():
        return {}
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as err:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(err).split())}") from err
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} must hold a mapping of configuration keys.")
    return value


def wire(root: Path, folder: Path, pack: Path, name: str, salt_root: Path) -> None:
    """Make ``root`` a file root in which the installer is ``installer`` and the project ``makina-projects.<name>``.

    :param pack: what holds ``<API version>/…``, the installers and macros that sls name by their paths
    """
    (root / LINKS).mkdir(parents=True, exist_ok=True)
    for version in official_root().iterdir():
        if version.name.isdigit():
            files.link(root / version.name, pack / version.name)
    files.link(root / "installer", folder)
    files.link(root / LINKS / name, salt_root)


def includes() -> dict[str, list[str]]:
    """Return ``cfg.sls_includes``: for each of a project's sls, the installer's sls it includes."""
    return {name: [f"installer.{sls}"] for sls in workflow.SLS for name in {sls, sls.replace("-", "_")}}
