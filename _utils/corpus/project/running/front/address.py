"""The web address of a project: its host names, where the front listens for it, its url."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import ConfigurationError
from corpus.identifiers import shown

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def check_names(cfg: Mapping[str, Any]) -> list[str]:
    """Return the host names of a project, as written, each once.

    :raises ConfigurationError: one of them is no host name, or the address or a port cannot be
    """
    names = [name for name in (cfg["domain"], *cfg["domains"]) if name]
    for name in names:
        if not isinstance(name, str) or len(name) > 253 or not _HOST.fullmatch(name):
            raise ConfigurationError(f"domain: {str(name)[:80]!r} is no host name.")
    if not _is_address(str(cfg["http_address"])):
        raise ConfigurationError(
            f"http_address: {cfg['http_address']!r} is no address: use *, an IPv4 address or [IPv6]."
        )
    for key in ("http_port", "https_port"):
        if not 0 < cfg[key] < 65536:
            raise ConfigurationError(f"{key}: {cfg[key]} is no port.")
    if cfg["tls"] and cfg["http_port"] == cfg["https_port"]:
        raise ConfigurationError(f"https_port: {cfg['https_port']} is the http_port already; give another one.")
    check_proxies(cfg)
    return list({name.lower(): name for name in names}.values())


def check_proxies(cfg: Mapping[str, Any]) -> list[str]:
    """Return the networks of the proxies whose word about a client counts.

    :raises ConfigurationError: one of them is neither an address nor a network
    """
    networks = []
    for given in cfg["trusted_proxies"]:
        try:
            networks.append(str(ipaddress.ip_network(given)))
        except (TypeError, ValueError) as err:
            raise ConfigurationError(
                f"trusted_proxies: {shown(given)} is neither an address nor a network such as 10.0.0.0/8."
            ) from err
    return networks


def _is_address(text: str) -> bool:
    if text == "*":
        return True
    try:
        return (ipaddress.ip_address(text.strip("[]")).version == 6) == (text[:1] + text[-1:] == "[]")
    except ValueError:
        return False


def listens(cfg: Mapping[str, Any], port: int) -> tuple[str, ...]:
    """Return where nginx listens for a project: ``*`` means IPv6, too, where the machine has it."""
    address = str(cfg["http_address"])
    if address == "*" and _has_ipv6():
        return (f"*:{port}", f"[::]:{port}")
    return (f"{address}:{port}",)


def _has_ipv6() -> bool:
    try:
        return bool(Path("/proc/net/if_inet6").read_text(encoding="ascii").strip())
    except OSError:
        return False


def loopback(cfg: Mapping[str, Any]) -> str:
    """Return the address at which this machine reaches the front of a project."""
    address = str(cfg["http_address"])
    if address == "[::]":
        return "::1"
    return "127.0.0.1" if address in ("*", "0.0.0.0") else address.strip("[]")  # noqa: S104 - compared, not bound


def host(cfg: Mapping[str, Any]) -> str:
    """Return a host name that the front knows the project by."""
    return (check_names(cfg) or ["localhost"])[0].replace("*.", "any.")


def url(cfg: Mapping[str, Any]) -> str:
    """Return the address of a project for a person."""
    scheme, port, usual = ("https", cfg["https_port"], 443) if cfg["tls"] else ("http", cfg["http_port"], 80)
    name = cfg["domain"] or (cfg["main_ip"] if cfg["http_address"] == "*" else cfg["http_address"])
    return f"{scheme}://{name}/" if port == usual else f"{scheme}://{name}:{port}/"
