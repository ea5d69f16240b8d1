"""What production asks of a release before anything of it is fetched or unpacked: could it run here at all?"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from corpus.errors import ReleaseRefused
from corpus.project import system_packages
from corpus.project.layout import Layout
from corpus.project.minion import Minion


def check(minion: Minion, layout: Layout, cfg: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """Check that a release can run as this project on this machine, and see that its system packages are installed.

    :param manifest: of the release; empty when there is none, then nothing can be told
    :returns: what was done, in words
    :raises ReleaseRefused: another name or place, another kind of machine
    :raises CorpusError: a system package is missing
    """
    check_fit(minion, layout, manifest)
    system = manifest.get("system") or {}
    return system_packages.ensure(minion, system.get("packages") or {}, cfg["system_packages_install"])


def check_fit(minion: Minion, layout: Layout, manifest: Mapping[str, Any]) -> None:
    """Check that a release can run at this place and on this kind of machine; change nothing.

    :raises ReleaseRefused: it cannot
    """
    if not manifest.get("format"):
        return
    release = f"{manifest['name']}-{manifest['release']}"
    _check_place(layout, manifest, release)
    _check_machine(minion, manifest.get("system") or {}, release)


def machine(minion: Minion, packages: Mapping[str, str], native: bool) -> dict[str, Any]:
    """Return what a manifest says of the machine that a release was built on.

    :param packages: that it needs: ``{name: version}``
    :param native: whether it holds machine code
    """
    return {
        "os_family": minion.grains.get("os_family"),
        "os": minion.grains.get("osfinger") or minion.grains.get("os"),
        "machine": platform.machine() if native else None,
        "packages": dict(packages),
    }


def _check_place(layout: Layout, manifest: Mapping[str, Any], release: str) -> None:
    if manifest.get("relocatable") or manifest.get("project_root") == str(layout.project):
        return
    why = ", ".join(manifest.get("bound_by") or []) or "its configuration"
    raise ReleaseRefused(
        f"{release} works at {manifest.get('project_root')} alone ({why} names that path), and this project is at "
        f"{layout.project}: give it the same name and the same corpus.projects_root."
    )


def _check_machine(minion: Minion, system: Mapping[str, Any], release: str) -> None:
    built = system.get("machine")
    if built and built != platform.machine():
        raise ReleaseRefused(f"{release} was built for {built}, and this machine is {platform.machine()}.")
    family = minion.grains.get("os_family")
    if system.get("packages") and system.get("os_family") != family:
        raise ReleaseRefused(f"{release} needs packages of {system.get('os')}, and this machine is {family}.")
