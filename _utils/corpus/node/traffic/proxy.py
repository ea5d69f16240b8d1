"""What haproxy is told. Its configuration knows no guest; guests stand in maps, which change while it runs.

A request's host name is looked up, and what the map answers is where it goes: so a guest comes or goes without a reload,
and their number has no bound. TLS is passed on undecrypted by the name that the client asks for (SNI): keys and
certificates stay with the guest that serves them, whoever may read the node's disk.
"""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Mapping

from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

#: each map with what its lookups compare
MAPS = ("http", "http-wildcards", "https", "https-wildcards")

_TEXT = """\
# Written by corpus: salt-call --local mc_node.traffic. Guests stand in {maps}.
global
    stats socket {socket} mode 600 level admin expose-fd listeners
    hard-stop-after 1h
    log /dev/log daemon notice
{identity}
defaults
    log global
    mode http
    retries 2
    timeout connect 5s
    timeout client 60s
    timeout server 300s
    timeout http-request 15s
    timeout http-keep-alive 60s
    timeout client-fin 30s
    timeout tunnel 1h

frontend http
{http_binds}
    http-request set-var(txn.name) hdr(host),field(1,:),lower,regsub('\\.$','')
    http-request set-var(txn.guest) var(txn.name),map_str({maps}/http.map)
    http-request set-var(txn.guest) var(txn.name),map_end({maps}/http-wildcards.map) unless {{ var(txn.guest) -m found }}
    http-request return status 404 content-type text/plain string "Nobody here has this name.\\n" unless {{ var(txn.guest) -m found }}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[hdr(host)]
    http-request del-header Forwarded
    default_backend http-guest

backend http-guest
    http-request set-dst var(txn.guest),field(1,|)
    http-request set-dst-port var(txn.guest),field(2,|)
    server guest 0.0.0.0:0

frontend https
    mode tcp
{https_binds}
    tcp-request inspect-delay 5s
    tcp-request content set-var(txn.guest) req.ssl_sni,lower,map_str({maps}/https.map) if {{ req.ssl_hello_type 1 }}
    tcp-request content set-var(txn.guest) req.ssl_sni,lower,map_end({maps}/https-wildcards.map) if {{ req.ssl_hello_type 1 }} !{{ var(txn.guest) -m found }}
    tcp-request content reject unless {{ var(txn.guest) -m found }}
    tcp-request content set-dst var(txn.guest),field(1,|)
    tcp-request content set-dst-port var(txn.guest),field(2,|)
    default_backend https-guest

backend https-guest
    mode tcp
    timeout server 1h
    server guest 0.0.0.0:0
"""


def text(wanted: Wanted, places: Places, ipv6: bool) -> str:
    """Return haproxy's configuration.

    :param ipv6: whether this machine has IPv6
    """
    return _TEXT.format(
        maps=places.maps,
        socket=places.socket,
        identity=_identity(),
        http_binds=_binds(wanted.http_port, ipv6),
        https_binds=_binds(wanted.https_port, ipv6),
    )


def ports(text: str) -> set[int]:
    """Return the ports that a configuration of ours listens on."""
    return {int(port) for port in re.findall(r"^    bind \*:(\d+)$", text, re.MULTILINE)}


def _binds(port: int, ipv6: bool) -> str:
    return f"    bind *:{port}" + (f"\n    bind :::{port} v6only" if ipv6 else "")


def _identity() -> str:
    """Its package brings a user of its own, as which the workers go on."""
    try:
        pwd.getpwnam("haproxy")
        grp.getgrnam("haproxy")
    except KeyError:
        return ""
    return "    user haproxy\n    group haproxy\n"


def maps(wanted: Wanted) -> dict[str, dict[str, str]]:
    """Return the content of each map: host name (a wildcard without its ``*``) to ``address|port``."""
    found: dict[str, dict[str, str]] = {name: {} for name in MAPS}
    for guest in wanted.guests:
        for name in guest.names:
            for scheme, port in (("http", guest.http_port), ("https", guest.https_port)):
                kind, key = (f"{scheme}-wildcards", name[1:]) if name.startswith("*.") else (scheme, name)
                found[kind][key] = f"{guest.addresses[0]}|{port}"
    return {name: ordered(entries) for name, entries in found.items()}


def ordered(entries: Mapping[str, str]) -> dict[str, str]:
    """Return a map in the order in which it is looked through: the longest name first, so that the closest wildcard wins."""
    return dict(sorted(entries.items(), key=lambda entry: (-len(entry[0]), entry[0])))


def map_text(entries: Mapping[str, str]) -> str:
    """Return a map as haproxy reads it from a file."""
    return "".join(f"{name} {target}\n" for name, target in entries.items())


def parsed_map(text: str) -> dict[str, str]:
    """Return what :func:`map_text` wrote."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
