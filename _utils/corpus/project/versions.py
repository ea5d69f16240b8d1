"""API versions: the modules ``mc_project_<N>`` that Salt can load, and which of them serves a project."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from corpus import files, identifiers
from corpus.errors import UsageError
from corpus.project.keys import KEYS
from corpus.project.layout import Layout, Roots

_MODULE = re.compile(r"mc_project_([0-9]{1,4})\.")


def loaded(functions: Iterable[str]) -> list[int]:
    """Return the API versions that execution modules exist for, lowest first."""
    return sorted({int(match[1]) for name in functions if (match := _MODULE.match(name))})


def serving(functions: Collection[str], roots: Roots, name: str | None, asked: Any = None) -> int:
    """Return the API version that serves a call.

    :param functions: names of all execution functions
    :param name: of the project, or None when the call is about no single one
    :param asked: explicitly; beats the project's saved one, which beats the default
    :raises UsageError: no module serves that version; the message lists those that exist
    """
    version = asked if asked is not None else _saved(roots, name)
    if version is None:
        version = KEYS["api_version"].default
    # Asking for one name loads one module; listing the names loads them all, so that is only done for the message.
    if (
        isinstance(version, int)
        and not isinstance(version, bool)
        and f"mc_project_{version}.deploy_project" in functions
    ):
        return version
    known = ", ".join(map(str, loaded(functions)))
    raise UsageError(f"There is no project API version {identifiers.shown(version)}: this machine has {known}.")


def _saved(roots: Roots, name: str | None) -> Any:
    if name is None:
        return None
    layout = Layout(roots, name)
    return (files.read_json(layout.settings) or {}).get("api_version")
