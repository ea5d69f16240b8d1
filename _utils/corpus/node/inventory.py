"""What a compute node has, and what it lacks to be one.

What the kernel can do is tried, in a network namespace that is thrown away, where the programs are there to try it;
otherwise it is unknown until they are installed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus import processes
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown
from corpus.node.storage import Pool
from corpus.node.traffic import haproxy, table
from corpus.node.traffic.places import Places
from corpus.node.traffic.ports import Port
from corpus.node.traffic.wanted import Guest, Wanted

GIB = 1 << 30
#: what a node cannot do without, and below what it is tight (bytes)
MEMORY = (GIB // 2, 2 * GIB)
DISK = (2 * GIB, 20 * GIB)
#: the oldest that are known to work
SYSTEMS = {"debian": (12,), "ubuntu": (22, 4)}
#: programs that every node runs, with Debian's package for each
PROGRAMS = {"nft": "nftables", "haproxy": "haproxy", "ip": "iproute2", "sshd": "openssh-server", "rsync": "rsync"}
#: further ones by type of guest
GUEST_TYPES = {"lxc": {"lxc-start": "lxc", "mkfs.btrfs": "btrfs-progs", "zstd": "zstd"}}
PORTS = (80, 443)

_CLONE_NEWNET = 0x40000000
_NAMESPACES = ("mnt", "uts", "ipc", "pid", "net", "cgroup", "user")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param subject: what, in one or two words
    :param result: True: good; None: tight or unknown, guests can live with it; False: it cannot be a node
    :param comment: what was found, and what to do where that is not good
    """

    subject: str
    result: bool | None
    comment: str


def inventory(places: Places) -> dict[str, Any]:
    """Return what this machine is and has; sizes in bytes, nothing that is secret."""
    memory = _numbers("/proc/meminfo", 1024)
    return {
        "system": _system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "init": _read("/proc/1/comm"),
        "cpus": len(os.sched_getaffinity(0)),
        "load": list(os.getloadavg()),
        "memory": {
            "total": memory.get("MemTotal", 0),
            "available": memory.get("MemAvailable", 0),
            "swap": memory.get("SwapTotal", 0),
        },
        "storage": _storage(places.pool),
        "unprivileged": _unprivileged(places.pool),
        "ipv6": Path("/proc/net/if_inet6").exists(),
        "namespaces": [name for name in _NAMESPACES if Path("/proc/self/ns", name).exists()],
        "cgroups": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "programs": {name: _where(name) for name in sorted({*PROGRAMS, *GUEST_TYPES["lxc"]})},
        "features": features(),
        "ports": {str(port): _listener(port, places) for port in PORTS},
    }


def check(facts: Mapping[str, Any], guest_types: Iterable[str] = ("lxc",)) -> list[Finding]:
    """Return what speaks for and against this machine as a compute node.

    :param facts: what :func:`inventory` returned
    :raises UsageError: there is no such type of guest
    """
    types = [guest_types] if isinstance(guest_types, str) else list(guest_types)
    for kind in types:
        if kind not in GUEST_TYPES:
            raise UsageError(f"There is no guest type {shown(kind)}: corpus has {', '.join(sorted(GUEST_TYPES))}.")
    programs = dict(PROGRAMS)
    for kind in types:
        programs.update(GUEST_TYPES[kind])
    return [
        _check_system(facts["system"]),
        _check_init(facts["init"]),
        _check_size("memory", facts["memory"]["total"], MEMORY, "of memory"),
        _check_size("disk", facts["storage"]["free"], DISK, f"free at {facts['storage']['path']}"),
        _check_namespaces(facts["namespaces"]),
        *(_check_feature(name, able) for name, able in facts["features"].items()),
        Finding("IPv6", True if facts["ipv6"] else None, "there" if facts["ipv6"] else "off: guests get IPv4 alone"),
        *(_check_program(name, package, facts["programs"][name]) for name, package in programs.items()),
        *(_check_port(port, listener) for port, listener in facts["ports"].items()),
    ]


def pool_size(pool: Path) -> int | None:
    """Return how large a pool's file shall be when nobody said so: four fifths of what is free, in whole GiB.

    None where the pool needs no file, or has one.
    """
    if Path(f"{pool}.btrfs").exists():
        return None
    storage = _storage(pool)
    return None if storage["type"] == "btrfs" else max(storage["free"] * 4 // 5 // GIB, 1) * GIB


def features() -> dict[str, bool | None]:
    """Return what the kernel is able to; None: it cannot be known yet."""
    return {
        "overlayfs": _filesystem("overlay"),
        "btrfs": _filesystem("btrfs"),
        "bridge filter": _tried(_try_bridge),
        "nftables": _tried(_try_table),
        "user namespaces": _read("/proc/sys/user/max_user_namespaces") not in ("", "0"),
    }


def _try_bridge() -> bool | None:
    steps = (
        ["link", "add", "name", "trial0", "type", "bridge"],
        ["link", "set", "dev", "trial0", "type", "bridge", "nf_call_iptables", "1", "nf_call_ip6tables", "1"],
    )
    return all(processes.run(["ip", *step], check=False).status == 0 for step in steps)


def _try_table() -> bool | None:
    guest = Guest("trial", "10.64.1.2", "fd00:64:1::2")
    wish = Wanted(network="10.64.1.0/24", network6="fd00:64:1::/64", guests=(guest,))
    text = table.text(wish, [Port(guest, "trial0", "02:00:00:00:00:01")])
    return processes.run(["nft", "--file", "-"], stdin=text, check=False).status == 0


def _tried(attempt: Callable[[], bool | None]) -> bool | None:
    """Return what an attempt says in a network namespace of its own; None without root or without the program."""
    if os.geteuid() != 0 or not (_where("ip") and _where("nft")):
        return None
    child = os.fork()
    if child == 0:
        status = 2
        try:
            if ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
                status = 0 if attempt() else 1
        finally:
            os._exit(status)
    return {0: True, 1: False}.get(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _check_system(system: Mapping[str, str]) -> Finding:
    name, version = system["id"], system["version"]
    oldest = SYSTEMS.get(name)
    text = system["name"] or "an unknown system"
    if oldest is None:
        known = {"debian", "ubuntu"} & set(system["like"].split())
        advice = "is like Debian, which is what corpus knows" if known else "is not Debian or Ubuntu"
        return Finding("system", None if known else False, f"{text} {advice}")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if not numbers:  # testing has no number
        return Finding("system", None, f"{text} does not say its version")
    if numbers >= oldest:
        return Finding("system", True, text)
    return Finding("system", False, f"{text} is too old: {name} {'.'.join(map(str, oldest))} or newer is needed")


def _check_init(init: str) -> Finding:
    if init == "systemd":
        return Finding("init", True, init)
    return Finding("init", False, f"{init or 'process 1'} is not systemd: nothing would bring the guests back at boot")


def _check_size(subject: str, found: int, limits: tuple[int, int], what: str) -> Finding:
    least, good = limits
    text = f"{found / GIB:.1f} GiB {what}"
    if found < least:
        return Finding(subject, False, f"{text}: at least {least / GIB:g} GiB are needed")
    return Finding(subject, True if found >= good else None, text if found >= good else f"{text}: that is tight")


def _check_namespaces(found: Iterable[str]) -> Finding:
    lacking = sorted(set(_NAMESPACES) - set(found))
    return Finding(
        "namespaces", not lacking, f"missing in the kernel: {', '.join(lacking)}" if lacking else "all there"
    )


_NEEDED = {
    "bridge filter": "the kernel's module br_netfilter is missing: guests would not be kept apart",
    "nftables": "the kernel does not take the table: it lacks a part of nf_tables (nat, fib, masquerade, the family bridge)",
}
_WANTED = {
    "overlayfs": "missing: a pool cannot use the driver overlay",
    "btrfs": "missing: a pool cannot use the driver btrfs, and what guests store cannot be limited",
    "user namespaces": "off: guests cannot be unprivileged",
}


def _check_feature(name: str, able: bool | None) -> Finding:
    if able:
        return Finding(name, True, "there")
    if able is None:
        return Finding(name, None, "unknown until nftables and iproute2 are installed, and without root")
    return Finding(name, False if name in _NEEDED else None, _NEEDED.get(name) or _WANTED[name])


def _check_program(name: str, package: str, where: str) -> Finding:
    return Finding(name, True, where) if where else Finding(name, None, f"not installed yet: the package {package}")


def _check_port(port: str, listener: str) -> Finding:
    if listener == "another":
        return Finding(f"port {port}", False, "another program listens there: the proxy needs it")
    return Finding(f"port {port}", True, "the proxy's" if listener else "free")


def findings(facts: Mapping[str, Any], guest_types: Iterable[str]) -> list[dict[str, Any]]:
    """Return what :func:`check` does, as plain values; what is bad first."""
    order = {False: 0, None: 1, True: 2}
    return [asdict(found) for found in sorted(check(facts, guest_types), key=lambda found: order[found.result])]


def _system() -> dict[str, str]:
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        found = {}
    return {
        "id": found.get("ID", ""),
        "version": found.get("VERSION_ID", ""),
        "like": found.get("ID_LIKE", ""),
        "name": found.get("PRETTY_NAME", ""),
    }


def _storage(pool: Path) -> dict[str, Any]:
    """Of the file system that has the pool, or would have it."""
    path = pool
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(path)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {"path": str(path), "type": kind, "total": usage.total, "used": usage.used, "free": usage.free}


def _unprivileged(path: Path) -> dict[str, Any]:
    """Whether guests in a pool can be unprivileged, and why not."""
    try:
        hindrance = Pool.open(path).hindrance()
    except CorpusError as err:
        hindrance = str(err)
    return {"able": hindrance is None, "hindrance": hindrance}


def _filesystem(name: str) -> bool:
    """Whether the kernel knows a file system, or has a module for it."""
    if any(line.split()[-1:] == [name] for line in _read("/proc/filesystems").splitlines()):
        return True
    modules = Path("/lib/modules", platform.release())
    known = _read(modules / "modules.dep") + _read(modules / "modules.builtin")
    return f"/{name}.ko" in known or f"/{name}/{name}.ko" in known


def _listener(port: int, places: Places) -> str:
    """Who listens on a port of this node: ``proxy``, ``another``, or nobody (empty)."""
    wanted = f"{port:04X}"
    for name in ("tcp", "tcp6"):
        for line in _read(f"/proc/self/net/{name}").splitlines()[1:]:
            words = line.split()
            if words[1].rpartition(":")[2] == wanted and words[3] == "0A":
                return "proxy" if haproxy.running(places) else "another"
    return ""


def _where(program: str) -> str:
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])) or ""


def _numbers(path: str, unit: int) -> dict[str, int]:
    pairs = (line.split() for line in _read(path).splitlines())
    return {words[0].rstrip(":"): int(words[1]) * unit for words in pairs if len(words) > 1}


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
