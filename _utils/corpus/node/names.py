"""Names on a compute node, checked before they touch a path or an argument list."""

from __future__ import annotations

import ipaddress
import re

from corpus.errors import UsageError
from corpus.identifiers import shown

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._+~-]{0,127}")
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


def container(name: object) -> str:
    """Return ``name`` when it can name a container: it is the host name of what runs in it, so a DNS label.

    :raises UsageError: it is not 1 to 63 characters of ``a-z 0-9 -``, or begins or ends with ``-``
    """
    if isinstance(name, str) and _LABEL.fullmatch(name):
        return name
    raise UsageError(
        f"{shown(name)} cannot name a container: use 1 to 63 lower-case letters, digits or '-', "
        "starting and ending with a letter or digit."
    )


def image(name: object) -> str:
    """Return ``name`` when it can be (part of) the name of an image, ``<name>-<version>``."""
    if isinstance(name, str) and _IMAGE.fullmatch(name):
        return name
    raise UsageError(f"{shown(name)} cannot name an image: use letters, digits, '.', '_', '+', '~' or '-'.")


def snapshot(label: object) -> str:
    """Return ``label`` when it can name a snapshot."""
    if isinstance(label, str) and _SNAPSHOT.fullmatch(label):
        return label
    raise UsageError(f"{shown(label)} cannot name a snapshot: use up to 64 letters, digits, '.', '_', '+' or '-'.")


def interface(name: object) -> str:
    """Return ``name`` when it can name a network interface."""
    if isinstance(name, str) and _INTERFACE.fullmatch(name):
        return name
    raise UsageError(f"{shown(name)} cannot name a network interface: use up to 15 letters, digits, '_', '.' or '-'.")


def address(value: object, version: int) -> str:
    """Return ``value`` in its short form when it is an address with its prefix length, ``10.64.1.2/24``.

    :param version: 4 or 6
    """
    try:
        found = ipaddress.ip_interface(str(value))
    except ValueError:
        found = None
    if found is None or found.version != version or "/" not in str(value):
        raise UsageError(f"{shown(value)} is no IPv{version} address with a prefix length (such as 10.64.1.2/24).")
    return str(found)


def gateway(value: object, version: int) -> str:
    """Return ``value`` in its short form when it is an address of that version."""
    try:
        found = ipaddress.ip_address(str(value))
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise UsageError(f"{shown(value)} is no IPv{version} address.")
    return str(found)
