"""The formation of a release: which processes it has, how many of each, their ports and their environment.

It is written down once, when the release is about to start (:func:`specify`), in a file that nobody else reads:
``{"processes": {"web.1": {"type", "number", "argv", "env", "port", "limits"}, …}, "env", "drain", "tree", …}``.
The number is a name and no rank: a process that takes another's place gets one that is free.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.commands import search_path
from corpus.project.found import procfile
from corpus.project.layout import Layout

WEB = "web"
#: that many processes of one type at most
MOST = 100
_PORTS = range(20000, 30000)
_TYPE = re.compile(r"[A-Za-z0-9_-]{1,40}")


def types(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Return the process types that a release keeps running, and their command lines.

    :raises CorpusError: two of them would have the same name in a unit, or one has no name that a file may have
    """
    commands = {kind: str(command) for kind, command in cfg["processes"].items() if command}
    commands.pop(procfile.RELEASE, None)
    spelled: dict[str, str] = {}
    for kind in commands:
        if not _TYPE.fullmatch(str(kind)):
            raise ConfigurationError(f"processes: {str(kind)[:80]!r} is no process type: use letters, digits, - and _.")
        if kind == "access":
            raise ConfigurationError("processes: 'access' is the name of the web front's log: choose another type.")
        other = spelled.setdefault(str(kind).replace("-", "_"), str(kind))
        if other != kind:
            raise ConfigurationError(f"processes: {other!r} and {kind!r} cannot be told apart: rename one of them.")
    return commands


def counts(cfg: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, int]:
    """Return how many processes of each type are wanted: as ``scale`` says, else one.

    :raises ConfigurationError: ``scale`` names a type that there is not, or what is no count
    """
    check_scale(cfg["scale"], kinds)
    return {kind: int(cfg["scale"].get(kind, 1)) for kind in kinds}


def check_scale(scale: Mapping[str, Any], kinds: Mapping[str, Any] | None = None) -> None:
    """Check a ``scale``.

    :param kinds: the types that there are; None: they are not known yet
    :raises ConfigurationError: it names a type that there is not, or what is no count
    """
    for kind, count in scale.items():
        if kinds is not None and kind not in kinds:
            known = ", ".join(sorted(kinds)) or "none"
            raise ConfigurationError(f"scale: there is no process type {str(kind)[:80]!r} (there: {known}).")
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST:
            raise ConfigurationError(f"scale: {kind} must be a whole number from 0 to {MOST}, not {str(count)[:80]!r}.")


_LIMITS = ("memory", "cpu", "tasks")
_MEMORY = re.compile(r"(\d+)([KMG]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def limits(cfg: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return what each process of a type may take: ``memory`` (bytes), ``cpu`` (percent of one processor), ``tasks``.

    In ``limits``, what stands under a type's name beats what stands beside it.

    :raises ConfigurationError: an unknown key, or a value that is no amount
    """
    given = {key: value for key, value in cfg["limits"].items() if not isinstance(value, Mapping)}
    for key, value in cfg["limits"].items():
        if isinstance(value, Mapping) and key == kind:
            given.update(value)
    return {key: _amount(key, value) for key, value in given.items() if value is not None}


def check_limits(given: Mapping[str, Any]) -> None:
    """Check all of ``limits``.

    :raises ConfigurationError: an unknown key, or a value that is no amount
    """
    for key, value in given.items():
        for name, amount in value.items() if isinstance(value, Mapping) else [(key, value)]:
            if amount is not None:
                _amount(name, amount)


def _amount(key: str, value: object) -> float:
    if key not in _LIMITS:
        raise ConfigurationError(f"limits: there is no key {str(key)[:80]!r}: use memory, cpu, tasks.")
    text = "" if isinstance(value, bool) else str(value).strip()
    if key == "memory":
        found = _MEMORY.fullmatch(text.upper().removesuffix("B").removesuffix("I"))
        if found and int(found[1]) * _UNITS[found[2]] >= 1 << 20:
            return int(found[1]) * _UNITS[found[2]]
        raise ConfigurationError(f"limits: memory is an amount such as 512M or 2G, not {text[:80]!r}.")
    if key == "cpu":
        with contextlib.suppress(ValueError):
            if 1 <= float(text.removesuffix("%")) <= 100_000:
                return float(text.removesuffix("%"))
        raise ConfigurationError(f"limits: cpu is a percentage of one processor such as 50%, not {text[:80]!r}.")
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigurationError(f"limits: tasks is a whole number of processes and threads, not {text[:80]!r}.")


def specify(layout: Layout, release: str, cfg: Mapping[str, Any], tree: Path, views: bool) -> dict[str, Any]:
    """Write down the processes of a release, environment and ports included, and return that.

    :param tree: where the release's tree is now
    :param views: whether processes of a tree that stands aside get a private view
    :returns: empty ``processes`` when the project has none
    :raises ConfigurationError: types or counts that cannot be
    """
    specification = specification_of(layout, release, cfg, tree, views)
    write(layout, release, specification)
    return specification


def specification_of(
    layout: Layout,
    release: str,
    cfg: Mapping[str, Any],
    tree: Path,
    views: bool,
    taken: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what :func:`specify` writes down.

    :param taken: processes whose numbers are in use
    """
    commands = types(cfg)
    root = layout.project
    env = {
        "PATH": search_path(cfg),
        "HOME": str(layout.home),
        "LANG": "C.UTF-8",
        "DATA_ROOT": str(cfg["data_root"]),
        "CORPUS_PROJECT": layout.name,
        "CORPUS_RELEASE": release,
        "PYTHONUNBUFFERED": "1",
        **{key: str(value) for key, value in cfg["env"].items()},
    }
    specification: dict[str, Any] = {
        "project_dir": str(layout.folder),
        "cwd": str(root),
        "tree": str(layout.tree(release)),
        "view": str(layout.view) if views else None,
        "logs": str(layout.logs),
        "user": cfg["user"] if os.geteuid() == 0 else None,
        "env": env,
        "drain": cfg["drain"],
        "writable": sorted({str(layout.folder), str(cfg["data_root"])}),
        "limits": {kind: limits(cfg, kind) for kind in commands},
        "commands": commands,
        "processes": {},
    }
    for kind, count in counts(cfg, commands).items():
        add(specification, kind, count, taken or {})
    return specification


def add(specification: dict[str, Any], kind: str, count: int, taken: Mapping[str, Any] | None = None) -> list[str]:
    """Add processes of a type to a specification, under the lowest numbers that are free; return their names.

    :param taken: processes, beside the specification's own, whose numbers are in use
    """
    present: dict[str, Any] = specification["processes"]
    names: list[str] = []
    number = 0
    while len(names) < count:
        number += 1
        name = f"{kind}.{number}"
        if name in present or name in (taken or {}):
            continue
        port = free_port(_ports(present)) if kind == WEB else None
        present[name] = {
            "type": kind,
            "number": number,
            "argv": ["/bin/sh", "-c", procfile.for_shell(specification["commands"][kind])],
            "env": {} if port is None else {"PORT": str(port)},
            "port": port,
            "limits": specification["limits"][kind],
        }
        names.append(name)
    return names


def write(layout: Layout, release: str, specification: Mapping[str, Any]) -> None:
    """Write a specification down for a release."""
    path = layout.processes(release)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files.write_json(path, specification)


def specified(layout: Layout, release: str) -> dict[str, Any]:
    """Return what :func:`specify` wrote down for a release; no processes when it wrote nothing."""
    return dict(files.read_json(layout.processes(release), {"processes": {}}))


def of_type(specification: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of the processes of a type, by number."""
    present = specification["processes"]
    return sorted((name for name in present if present[name]["type"] == kind), key=lambda name: present[name]["number"])


def ports_of(specification: Mapping[str, Any]) -> list[int]:
    """Return the loopback ports of the web processes of a specification."""
    return _ports(specification["processes"])


def ports(layout: Layout, release: str) -> list[int]:
    """Return the loopback ports of the web processes of a release; none when it has no such process."""
    return _ports(specified(layout, release)["processes"])


def _ports(present: Mapping[str, Any]) -> list[int]:
    return sorted(process["port"] for process in present.values() if process["port"] is not None)


def with_new_ports(layout: Layout, release: str) -> dict[str, Any]:
    """Give an earlier release ports that are free now, and return its specification."""
    specification = specified(layout, release)
    chosen: list[int] = []
    for process in specification["processes"].values():
        if process["port"] is not None:
            process["port"] = free_port(chosen)
            process["env"]["PORT"] = str(process["port"])
            chosen.append(process["port"])
    if chosen:
        write(layout, release, specification)
    return specification


def free_port(spare: list[int] | None = None) -> int:
    """Return a loopback port that nobody listens on.

    :param spare: ports that are promised to others
    :raises CorpusError: all 10,000 are taken
    """
    start = int.from_bytes(os.urandom(2), "big") % len(_PORTS)
    for offset in range(len(_PORTS)):
        port = _PORTS[(start + offset) % len(_PORTS)]
        if port in (spare or ()):
            continue
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CorpusError(f"No port is free between {_PORTS.start} and {_PORTS.stop}.")
