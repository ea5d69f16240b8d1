"""The processes of two releases: types, commands and how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Service:
    """Processes of one type.

    :param command: their command line
    :param count: how many run
    """

    command: str
    count: int


@dataclass(frozen=True)
class ServiceChange:
    """A process type that came, went, or is not what it was.

    :param type: ``web``, ``worker`` …
    :param old: before; None: there was none
    :param new: now; None: there is none any more
    """

    type: str
    old: Service | None
    new: Service | None


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ServiceChange]:
    """Return the process types that differ.

    :param before: specification of the release before (:meth:`corpus.project.layout.Layout.processes`)
    :param after: that of the new one
    """
    old, new = _services(before), _services(after)
    return [
        ServiceChange(kind, old.get(kind), new.get(kind))
        for kind in sorted(old.keys() | new.keys())
        if old.get(kind) != new.get(kind)
    ]


def _services(specification: Mapping[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = {}
    for name, process in specification.get("processes", {}).items():
        kind = str(process.get("type", name))
        command = str(process["argv"][-1]).removeprefix("exec ")
        found[kind] = Service(command, found[kind].count + 1 if kind in found else 1)
    return found
