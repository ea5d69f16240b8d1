"""Where guests are plugged in: the port of the bridge that each one has, as its container's own configuration says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus.node.traffic.wanted import Guest

_LINE = re.compile(r"^\s*lxc\.net\.0\.(veth\.pair|hwaddr)\s*=\s*(\S+)\s*$", re.MULTILINE)
_PORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_HARDWARE = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Port:
    """A port of the bridge.

    :param guest: the one behind it
    :param name: of the interface, on the node's side
    :param hardware: the guest's address on the bridge (MAC), lower case
    """

    guest: Guest
    name: str
    hardware: str


def named(pool: Path, container: str) -> str:
    """Return how the port of a container is to be called: the same at every start, and another in every pool."""
    return "cg" + hashlib.sha256(f"{pool}/{container}".encode()).hexdigest()[:12]


def of(guests: Iterable[Guest], containers: Path) -> list[Port]:
    """Return the ports of those guests whose containers have a port with a name; others are bound to none.

    :param containers: folder of the containers, absolute
    """
    found = []
    for guest in guests:
        try:
            text = (containers / guest.name / "config").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        said = dict(_LINE.findall(text))
        name, hardware = said.get("veth.pair", ""), said.get("hwaddr", "").lower()
        if _PORT.fullmatch(name) and _HARDWARE.fullmatch(hardware):
            found.append(Port(guest, name, hardware))
    return found
