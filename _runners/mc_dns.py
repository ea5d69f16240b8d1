"""
DNS
===

Zones of the controller's PowerDNS, and the names in them. The names of nodes and guests are computed from the registry;
records of anything else are added here, kept in the registry, too, and registered in the same way. What others wrote
into a zone is never changed or deleted: where it is in the way, that is said, and nothing is written.

The server is named in the master's configuration::

    corpus:
      zone: corpus.example.org
      nameservers: [ns1.example.org, ns2.example.org]
      dns:
        url: http://127.0.0.1:8081
        api_key_file: /etc/corpus/powerdns.key     # 0600

Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, names, operations
from corpus.controller.dns import zones as rooms
from corpus.controller.dns.powerdns import Server
from corpus.door import translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_dns"


def __virtual__():
    return __virtualname__


def _cloud() -> cloud.Cloud:
    return cloud.of(globals())


def _server() -> Server:
    return _cloud().name_server()


def _values(values: str | Sequence[str] | None) -> list[str] | None:
    if values is None:
        return None
    given = [values] if isinstance(values, (str, int, float)) else list(values)
    return [str(value) for value in given]


def zones() -> dict[str, Any]:
    """
    List the zones of the server: whether corpus made them, whether they are signed, their serial.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.zones
    """
    with translated():
        return {
            zone.name: {"ours": zone.ours, "dnssec": zone.dnssec, "serial": zone.serial, "kind": zone.kind}
            for zone in _server().zones()
        }


def records(zone: str | None = None) -> dict[str, Any]:
    """
    List what is registered, by zone, name and type; ``ours`` tells what corpus wrote.

    zone
        A zone, or the network whose reverse zone is meant; by default every zone.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.records corpus.example.org
        salt-run mc_dns.records 10.64.1.0/24
    """
    with translated():
        return names.listed(_cloud(), zone)


def create_zone(
    zone: str | None = None,
    nameservers: str | Sequence[str] | None = None,
    hostmaster: str = "",
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a zone; one that corpus made before gets these nameservers.

    zone
        Its name, or a network, whose reverse zone is meant: ``10.64.1.0/24``, ``fd00:64:1::/64``. By default that of the
        controller's settings.

    nameservers
        Whole names of the hosts that answer for it, the primary first; by default those of the controller's settings.

    hostmaster
        Mail address of who answers for the zone; by default ``hostmaster@<zone>``.

    test
        Only tell what would change.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.create_zone
        salt-run mc_dns.create_zone 10.64.0.0/16 nameservers='[ns1.example.org, ns2.example.org]'
    """
    return operations.asked(
        globals(),
        "dns.create_zone",
        test,
        caller,
        zone=zone,
        nameservers=_values(nameservers),
        hostmaster=hostmaster or None,
    )


def delete_zone(zone: str, force: bool = False, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Delete a zone and everything in it. What the registry says of its names stays in the registry.

    zone
        Its name, or the network whose reverse zone is meant.

    force
        Also when somebody else made the zone or records in it.

    test
        Only tell what would change.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.delete_zone old.example.org
    """
    return operations.asked(globals(), "dns.delete_zone", test, caller, zone=zone, force=force)


def plan(zone: str | None = None) -> dict[str, Any]:
    """
    Compare DNS with the registry, and change nothing.

    zone
        A zone, or the network whose reverse zone is meant; by default every zone.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.plan
    """
    with translated():
        left: list[str] = []
        _server()
        changes = names.synchronize(_cloud(), zone=zone, plan=True, note=left.append)
    comment = "That would be changed." if changes else "Everything is so already."
    return {"name": zone or "dns", "result": True, "changes": changes, "comment": comment, "notes": left}


def apply(zone: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Make DNS what the registry says. Nothing is sent when it is so already.

    zone
        A zone, or the network whose reverse zone is meant; by default every zone.

    test
        Only tell what would change.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.apply
    """
    return operations.asked(globals(), "dns.apply", test, caller, zone=zone)


def add(
    name: str,
    type: str,  # noqa: A002 - the field's word
    values: str | Sequence[str],
    ttl: int | None = None,
    replace: bool = False,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Add a record of anything, or values to one.

    name
        The whole name; its first label may be ``*``. For a PTR, an address will do.

    type
        ``A``, ``AAAA``, ``CAA``, ``CNAME``, ``MX``, ``NS``, ``PTR``, ``SRV`` or ``TXT``.

    values
        One or several, as in a zone file: ``10 mail.example.org`` for an MX. Names of hosts are whole names. A TXT is its
        plain text.

    ttl
        Seconds that others may remember it; by default 60, or what it is already.

    replace
        These values instead of those that it has.

    test
        Only tell what would be done.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.add www.corpus.example.org CNAME shop.corpus.example.org
        salt-run mc_dns.add corpus.example.org MX '[10 mx1.example.org, 20 mx2.example.org]' ttl=3600
        salt-run mc_dns.add 192.0.2.1 PTR www.example.org
    """
    return operations.asked(
        globals(), "dns.add", test, caller, name=name, type=type, values=_values(values), ttl=ttl, replace=replace
    )


def remove(
    name: str,
    type: str,  # noqa: A002 - the field's word
    values: str | Sequence[str] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Remove a record that was added by :py:func:`mc_dns.add`, or some of its values.

    name
        The whole name. For a PTR, an address will do.

    type
        As in :py:func:`mc_dns.add`.

    values
        One or several; by default all of them.

    test
        Only tell what would be done.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.remove www.corpus.example.org CNAME
    """
    return operations.asked(globals(), "dns.remove", test, caller, name=name, type=type, values=_values(values))


def dnssec(zone: str, on: bool | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Sign a zone, stop signing it, or only show the DS records that the zone above it must have.

    Before you turn it off, have the DS records taken out above, and wait until nobody remembers them.

    zone
        Its name, or the network whose reverse zone is meant.

    on
        Sign it or not; not given: only show the records.

    test
        Only tell what would change.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: A report; its ``facts`` have the records as ``ds``.

    CLI Example:

    .. code-block:: bash

        salt-run mc_dns.dnssec corpus.example.org on=True
        salt-run mc_dns.dnssec corpus.example.org
    """
    if on is not None:
        return operations.asked(globals(), "dns.dnssec", test, caller, zone=zone, on=bool(on))
    with translated():
        name = rooms.zone_name(zone)
        return {"name": f"zone:{name}", "result": True, "facts": {"ds": rooms.delegation(_server(), name)}}


def export(zone: str) -> str:
    """
    Return a zone as a zone file.

    zone
        Its name, or the network whose reverse zone is meant.

    CLI Example:

    .. code-block:: bash

        salt-run --out=newline_values_only mc_dns.export corpus.example.org > corpus.example.org.zone
    """
    with translated():
        return rooms.export(_server(), zone)
