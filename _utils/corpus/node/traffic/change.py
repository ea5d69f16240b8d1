"""From the traffic that a node has to the one that it shall have: wholly, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.node import bridge
from corpus.node.traffic import haproxy, kernel, ports, proxy, table
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted


@dataclass(frozen=True)
class Plan:
    """What has to change on this node.

    :param guests: for a person: guests added, removed and changed since the last time, by name
    :param table: text of the table when the kernel has another, else None
    :param configuration: haproxy's when it runs with another or not at all, else None
    :param maps: those of haproxy's maps that differ, whole
    :param starts: whether haproxy has to be started
    :param walled: whether the bridge has to be told to show the kernel what it passes from guest to guest
    """

    guests: Mapping[str, list[str]]
    table: str | None
    configuration: str | None
    maps: Mapping[str, Mapping[str, str]]
    starts: bool
    walled: bool

    def changes(self) -> dict[str, Any]:
        """Return what changes, for a report; empty when nothing does."""
        told: dict[str, Any] = {kind: names for kind, names in self.guests.items() if names}
        if self.table is not None:
            told["table"] = f"{table.NAME} is replaced"
        if self.starts:
            told["proxy"] = "haproxy is started"
        elif self.configuration is not None:
            told["proxy"] = "haproxy is reloaded"
        if self.maps:
            told["maps"] = sorted(self.maps)
        if self.walled:
            told["bridge"] = "what passes from guest to guest is filtered"
        return told


def plan(wanted: Wanted, places: Places) -> Plan:
    """Return what has to change; nothing does.

    :raises CorpusError: nft or haproxy cannot be asked
    """
    settled = _settled(places)
    text = table.text(wanted, ports.of(wanted.guests, places.containers))
    listed = kernel.digest(kernel.listing())
    same_table = _read(places.table) == text and listed == settled.get("listing") and listed
    configuration = proxy.text(wanted, places, Path("/proc/net/if_inet6").exists())
    runs = haproxy.running(places)
    same_proxy = runs and _read(places.proxy) == configuration and settled.get("proxy") == _digest(configuration)
    return Plan(
        _guests(settled.get("wanted"), wanted),
        None if same_table else text,
        None if same_proxy else configuration,
        {
            name: entries
            for name, entries in proxy.maps(wanted).items()
            if _read(places.maps / f"{name}.map") != proxy.map_text(entries)
            or (runs and haproxy.live_map(places, name) != entries)
        },
        not runs,
        not bridge.walled(wanted.bridge),
    )


def settle(wanted: Wanted, places: Places) -> Plan:
    """Make the node's traffic what it shall be, and return what was changed.

    What can be tried is tried first. When a later step fails, the earlier ones are taken back.

    :raises CorpusError: something refused; the node is as it was
    """
    with _turn(places.made()), ExitStack() as undo:
        todo = plan(wanted, places)
        if not todo.changes() and _settled(places).get("wanted") == _plain(wanted):
            return todo
        for name in proxy.MAPS:  # haproxy tries its configuration with its maps
            if not (places.maps / f"{name}.map").exists():
                files.write(places.maps / f"{name}.map", "")
        if todo.table is not None:
            kernel.check(todo.table)
        if todo.configuration is not None:
            haproxy.check(todo.configuration, places)
            has = proxy.ports(_read(places.proxy) or "") if not todo.starts else set()
            for port in sorted({wanted.http_port, wanted.https_port} - has):
                haproxy.check_port(port)
        if todo.table is not None:
            undo.callback(_table_back, _read(places.table), places)
            kernel.replace(todo.table)
            files.write(places.table, todo.table)
        if todo.walled:
            bridge.wall(wanted.bridge)
        _settle_proxy(todo, places, undo)
        files.write_json(
            places.settled,
            {
                "wanted": _plain(wanted),
                "listing": kernel.digest(kernel.listing()),
                "proxy": _digest(_read(places.proxy) or ""),
            },
        )
        undo.pop_all()
        return todo


def served(places: Places) -> dict[str, Any]:
    """Return what the node does with traffic at this moment, as the kernel and haproxy have it.

    :returns: ``{table: whether it is there, ssh_ports: {port: [address]}, proxy: whether it answers,
        http: {host name: address|port}, https: ...}``; wildcards with their ``*``
    """
    listed = kernel.listing()
    runs = haproxy.running(places)
    answer: dict[str, Any] = {"table": bool(listed), "ssh_ports": kernel.ssh_ports(listed), "proxy": runs}
    for scheme in ("http", "https"):
        exact = haproxy.live_map(places, scheme) if runs else {}
        wild = haproxy.live_map(places, f"{scheme}-wildcards") if runs else {}
        answer[scheme] = {**exact, **{f"*{name}": target for name, target in wild.items()}}
    return answer


def _settle_proxy(todo: Plan, places: Places, undo: ExitStack) -> None:
    """Let haproxy know; a running one gets its maps at once, whatever happens to its configuration."""
    for name, entries in todo.maps.items():
        path = places.maps / f"{name}.map"
        undo.callback(_map_back, name, _read(path) or "", places)
        files.write(path, proxy.map_text(entries))
        if not todo.starts:
            haproxy.commit_map(places, name, entries)
    if todo.configuration is not None:
        before = _read(places.proxy)
        undo.callback(_configuration_back, before, places)
        files.write(places.proxy, todo.configuration)
    if todo.starts:
        haproxy.start(places)
    elif todo.configuration is not None:
        haproxy.reload(places)


def _table_back(text: str | None, places: Places) -> None:
    with suppress(CorpusError):
        if text is None:
            kernel.remove()
            places.table.unlink(missing_ok=True)
            return
        files.write(places.table, text)
        kernel.replace(text)


def _map_back(name: str, text: str, places: Places) -> None:
    files.write(places.maps / f"{name}.map", text)
    with suppress(CorpusError, OSError):
        haproxy.commit_map(places, name, proxy.parsed_map(text))


def _configuration_back(text: str | None, places: Places) -> None:
    if text is None:
        places.proxy.unlink(missing_ok=True)
        return
    files.write(places.proxy, text)


def _guests(before: Mapping[str, Any] | None, wanted: Wanted) -> dict[str, list[str]]:
    """Return the names of guests that were added, removed, changed."""
    old = {guest["name"]: guest for guest in (before or {}).get("guests", ())}
    new = {guest["name"]: guest for guest in _plain(wanted)["guests"]}
    return {
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changed": sorted(name for name in set(old) & set(new) if old[name] != new[name]),
    }


def _plain(wanted: Wanted) -> dict[str, Any]:
    """As JSON gives it back."""
    plain = wanted.plain()
    plain["guests"] = [
        {key: list(value) if isinstance(value, tuple) else value for key, value in guest.items()}
        for guest in plain["guests"]
    ]
    return plain


def _settled(places: Places) -> dict[str, Any]:
    found = files.read_json(places.settled, {})
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _turn(places: Places) -> Iterator[None]:
    """Wait for our turn: one call at a time changes the traffic of a node."""
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
