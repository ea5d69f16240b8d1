"""The bridge that guests are plugged to: made now, made again at boot, and open to the filter."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.errors import CorpusError
from corpus.node import boot
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

UNIT = "corpus-bridge.service"
_SYSCTL = "60-corpus.conf"
#: guests' traffic is routed; an uplink that learns its route from its router goes on to do so
_PARAMETERS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/all/accept_ra": "2",
    "net/ipv6/conf/default/accept_ra": "2",
}
_UNIT = """\
# Written by corpus: salt-call --local mc_node.bridge.
[Unit]
Description=Bridge {name} of the guests
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target lxc.service corpus-traffic.service
After=local-fs.target systemd-modules-load.service systemd-sysctl.service
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
{commands}

[Install]
WantedBy=multi-user.target
"""


def gateways(network: str, network6: str) -> list[str]:
    """Return the node's own addresses on the bridge, in CIDR: the first of each network.

    :raises UsageError: one of them is no network, or both are missing
    """
    wanted = Wanted.parsed({"network": network, "network6": network6})
    nets = [ipaddress.ip_network(net) for net in (wanted.network, wanted.network6) if net]
    return [f"{net.network_address + 1}/{net.prefixlen}" for net in nets]


def hardware(name: str) -> str:
    """Return the bridge's own address on it (MAC). Left to itself it would change as guests come and go, and they would lose it."""
    digits = hashlib.sha256(f"bridge {name}".encode()).hexdigest()
    return ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])


def walled(name: str) -> bool:
    """Tell whether the filter sees what the bridge passes from port to port; also when there is no such bridge yet."""
    found = facts(name)
    if not found:
        return True
    data = found.get("linkinfo", {}).get("info_data", {})
    return bool(data.get("nf_call_iptables") and data.get("nf_call_ip6tables"))


def wall(name: str) -> None:
    """Let the filter see what the bridge passes from port to port.

    :raises CorpusError: the kernel cannot (it lacks br_netfilter)
    """
    done = processes.run(
        ["ip", "link", "set", "dev", name, "type", "bridge", "nf_call_iptables", "1", "nf_call_ip6tables", "1"],
        check=False,
    )
    if done.status or not walled(name):
        raise CorpusError(
            f"The bridge {name} cannot keep guests apart: the kernel's module br_netfilter is missing ({done.last_words})."
        )


def facts(name: str) -> Mapping[str, Any]:
    """Return what the kernel says of an interface; empty when there is none."""
    done = processes.run(["ip", "--json", "--details", "address", "show", "dev", name], check=False)
    if done.status:
        return {}
    return next((entry for entry in json.loads(done.output) if entry.get("ifname") == name), {})


def plan(name: str, network: str, network6: str, places: Places) -> dict[str, Any]:
    """Return what would change; empty when the bridge is there and stays."""
    wanted = Wanted.parsed({"bridge": name, "network": network, "network6": network6})
    addresses = gateways(network, network6)
    found = facts(name)
    told: dict[str, Any] = {}
    if not found:
        told["bridge"] = f"{name} is made"
    elif found.get("linkinfo", {}).get("info_kind") != "bridge":
        raise CorpusError(f"{name} exists and is no bridge: give the guests' bridge another name.")
    has = {f"{entry['local']}/{entry['prefixlen']}" for entry in found.get("addr_info", ())}
    if missing := [address for address in addresses if address not in has]:
        told["addresses"] = missing
    if found and found.get("address") != hardware(name):
        told["hardware"] = hardware(name)
    if found and "UP" not in found.get("flags", ()):
        told["up"] = f"{name} is set up"
    if found and not walled(name):
        told["wall"] = "what passes from guest to guest is filtered"
    if kernel := {key: value for key, value in _PARAMETERS.items() if _parameter(key) not in ("", value)}:
        told["kernel"] = sorted(kernel)
    for path, text in _written(wanted.bridge, addresses, places).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            told.setdefault("files", []).append(str(path))
    if places.booted and not boot.enabled(UNIT):
        told["enabled"] = [UNIT]
    return told


def make(name: str, network: str, network6: str, places: Places) -> dict[str, Any]:
    """Make the bridge, now and for every boot; return what changed.

    :raises CorpusError: the kernel refuses, or something else has that name
    """
    told = plan(name, network, network6, places)
    addresses = gateways(network, network6)
    if "bridge" in told:
        processes.run(["ip", "link", "add", "name", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
    if told.keys() & {"bridge", "hardware"}:
        processes.run(["ip", "link", "set", "dev", name, "address", hardware(name)])
    for address in told.get("addresses", ()):
        processes.run(["ip", "address", "replace", address, "dev", name, *(["nodad"] if ":" in address else [])])
    if told.keys() & {"bridge", "up"}:
        processes.run(["ip", "link", "set", "dev", name, "up"])
    if not walled(name):
        wall(name)
    for key in told.get("kernel", ()):
        Path("/proc/sys", key).write_text(_PARAMETERS[key], encoding="ascii")
    for path, text in _written(name, addresses, places).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text)
    if places.booted and ("enabled" in told or "files" in told):
        processes.run(["systemctl", "daemon-reload"])
        processes.run(["systemctl", "enable", UNIT])
    return told


def _written(name: str, addresses: list[str], places: Places) -> dict[Path, str]:
    """What makes it again at boot, without any of our Python."""
    ip = processes.which("ip")
    steps = [
        f"-{ip} link add name {name} type bridge stp_state 0 forward_delay 0",
        f"{ip} link set dev {name} address {hardware(name)}",
        *(f"{ip} address replace {address} dev {name}{' nodad' if ':' in address else ''}" for address in addresses),
        f"{ip} link set dev {name} up",
        f"{ip} link set dev {name} type bridge nf_call_iptables 1 nf_call_ip6tables 1",
    ]
    unit = _UNIT.format(name=name, commands="\n".join(f"ExecStart={step}" for step in steps))
    sysctl = "# Written by corpus: salt-call --local mc_node.bridge.\n"
    sysctl += "".join(f"{key.replace('/', '.')} = {value}\n" for key, value in _PARAMETERS.items())
    return {places.units / UNIT: unit, places.sysctl / _SYSCTL: sysctl}


def _parameter(key: str) -> str:
    """Return a kernel parameter; empty when this kernel has none of that name."""
    try:
        return Path("/proc/sys", key).read_text(encoding="ascii").strip()
    except OSError:
        return ""
