"""The table that corpus owns: what becomes of every packet for a guest, from one, or between two.

It has a twin of the same name in the family ``bridge``, where the senders of frames are still known by their port: who
is root in a guest can take any address, but not answer under the address of another guest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from corpus.node.traffic.ports import Port
from corpus.node.traffic.wanted import Wanted

NAME = "corpus"
FAMILY = "inet"
#: both are replaced in one transaction
FAMILIES = (FAMILY, "bridge")
GUEST_SSH = 22


def text(wanted: Wanted, ports: Sequence[Port] = ()) -> str:
    """Return the whole table as ``nft -f`` takes it: one transaction that puts it in the place of the one before.

    :param ports: where guests are plugged in; who has none there is bound to none
    """
    return "\n".join(
        [
            "# Written by corpus: salt-call --local mc_node.traffic. Loaded at boot by corpus-traffic.service.",
            *(f"{verb}table {family} {NAME}" for family in FAMILIES for verb in ("", "delete ")),
            f"table {FAMILY} {NAME} {{",
            *_maps(wanted),
            *_chains(wanted),
            "}",
            f"table bridge {NAME} {{",
            *_senders(wanted, ports),
            "}",
            "",
        ]
    )


def _maps(wanted: Wanted) -> list[str]:
    with_ssh = [guest for guest in wanted.guests if guest.ssh_port is not None]
    ssh4 = [f"{guest.ssh_port} : {guest.address} . {GUEST_SSH}" for guest in with_ssh if guest.address]
    ssh6 = [f"{guest.ssh_port} : {guest.address6} . {GUEST_SSH}" for guest in with_ssh if guest.address6]
    pairs4, pairs6 = wanted.pairs("address"), wanted.pairs("address6")
    return [
        *_elements("map ssh4", "inet_service : ipv4_addr . inet_service", ssh4),
        *_elements("map ssh6", "inet_service : ipv6_addr . inet_service", ssh6),
        *_elements("set pairs4", "ipv4_addr . ipv4_addr", (" . ".join(pair) for pair in pairs4)),
        *_elements("set pairs6", "ipv6_addr . ipv6_addr", (" . ".join(pair) for pair in pairs6)),
        *_elements("set acquainted6", "ipv6_addr", sorted({address for pair in pairs6 for address in pair})),
    ]


def _senders(wanted: Wanted, ports: Sequence[Port]) -> list[str]:
    """Nobody sends as the node, and as a guest only who sits at its port."""
    with4 = [port for port in ports if port.guest.address]
    with6 = [port for port in ports if port.guest.address6]
    advert = "icmpv6 type nd-neighbor-advert @th,64,128"
    gateway = {version: _gateway(net) for version, net in ((4, wanted.network), (6, wanted.network6)) if net}
    return [
        *_elements("set hardware", "ether_addr", (port.hardware for port in ports)),
        *_elements("set hardware_at", "ifname . ether_addr", (f'"{port.name}" . {port.hardware}' for port in ports)),
        *_elements("set addresses4", "ipv4_addr", (port.guest.address for port in with4)),
        *_elements("set at4", "ifname . ipv4_addr", (f'"{port.name}" . {port.guest.address}' for port in with4)),
        *_elements("set addresses6", "ipv6_addr", (port.guest.address6 for port in with6)),
        *_elements("set at6", "ifname . ipv6_addr", (f'"{port.name}" . {port.guest.address6}' for port in with6)),
        *_chain(
            "prerouting",
            "filter hook prerouting priority -350",
            [
                *([f"ip saddr {gateway[4]} drop", f"arp saddr ip {gateway[4]} drop"] if 4 in gateway else []),
                *([f"ip6 saddr {gateway[6]} drop", f"{advert} {_bits(gateway[6])} drop"] if 6 in gateway else []),
                "ether saddr @hardware iifname . ether saddr != @hardware_at drop",
                "arp saddr ip @addresses4 iifname . arp saddr ip != @at4 drop",
                "ip saddr @addresses4 iifname . ip saddr != @at4 drop",
                "ip6 saddr @addresses6 iifname . ip6 saddr != @at6 drop",
                *(f'iifname != "{port.name}" {advert} {_bits(port.guest.address6)} drop' for port in with6),
            ],
        ),
    ]


def _gateway(net: str) -> str:
    return str(ipaddress.ip_network(net).network_address + 1)


def _bits(address6: str) -> str:
    """An IPv6 address as a number, which is how nft takes the target of an advertisement."""
    return f"{int(ipaddress.IPv6Address(address6)):#034x}"


def _elements(what: str, kind: str, elements: Iterable[str]) -> list[str]:
    lines = [f"\t\t\t{element}" for element in elements]
    body = ["\t\telements = {", ",\n".join(lines), "\t\t}"] if lines else []
    return [f"\t{what} {{", f"\t\ttype {kind}", *body, "\t}"]


def _chains(wanted: Wanted) -> list[str]:
    bridge = f'"{wanted.bridge}"'
    nets = [(family, net) for family, net in (("ip", wanted.network), ("ip6", wanted.network6)) if net]
    lacking = [family for family, net in (("ipv4", wanted.network), ("ipv6", wanted.network6)) if not net]
    to_ssh = [
        "fib daddr type local dnat ip to tcp dport map @ssh4",
        "fib daddr type local dnat ip6 to tcp dport map @ssh6",
    ]
    return [
        # ssh: a port of the node, at any address that the node has, also for the node itself
        *_chain("prerouting", "nat hook prerouting priority dstnat", to_ssh),
        *_chain(
            "output",
            "nat hook output priority -100",
            ["ip daddr 127.0.0.0/8 accept", "ip6 daddr ::1 accept", *to_ssh],
        ),
        # guests go out under the node's address, and come back through it to their neighbours' ssh ports
        *_chain(
            "postrouting",
            "nat hook postrouting priority srcnat",
            [
                *(f"{family} saddr {net} oifname != {bridge} masquerade" for family, net in nets),
                *(f"{family} saddr {net} oifname {bridge} ct status dnat masquerade" for family, net in nets),
            ],
        ),
        *_chain(
            "forward",
            "filter hook forward priority filter",
            [
                f"iifname {bridge} oifname {bridge} goto neighbours",
                f"iifname {bridge} goto outbound",
                f"oifname {bridge} goto inbound",
            ],
        ),
        # what is bridged from guest to guest comes by here, too: mc_node.bridge sees to that
        *_chain(
            "neighbours",
            "",
            [
                "ct state established,related accept",
                f"ct status dnat tcp dport {GUEST_SSH} accept",
                "ip saddr . ip daddr @pairs4 accept",
                "ip6 saddr . ip6 daddr @pairs6 accept",
                "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 saddr @acquainted6 accept",
                "drop",
            ],
        ),
        *_chain(
            "outbound",
            "",
            [
                *(f"{family} saddr != {net} drop" for family, net in nets),
                *(f"meta nfproto {family} drop" for family in lacking),
            ],
        ),
        *_chain(
            "inbound",
            "",
            [
                "ct state established,related accept",
                f"ct status dnat tcp dport {GUEST_SSH} accept",
                "drop",
            ],
        ),
    ]


def _chain(name: str, hook: str, rules: Iterable[str]) -> list[str]:
    head = [f"\t\ttype {hook}; policy accept;"] if hook else []
    return [f"\tchain {name} {{", *head, *(f"\t\t{rule}" for rule in rules), "\t}"]
