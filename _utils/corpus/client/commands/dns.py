"""DNS."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..api import place
from ..call import Call
from ..frame import command

HEADLINE = "Names"
_TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT")
_TYPE = click.Choice(_TYPES, case_sensitive=False)


@command(
    "dns",
    HEADLINE,
    ("prod", "The names that you may see"),
    ("prod --guest shop", "Those of a guest"),
    ("prod --zone corpus.example.org", "What the name server has of a zone"),
)
@click.option("--guest", help="Of this guest alone.")
@click.option("--node", help="Of this compute node alone.")
@click.option("--zone", help="Ask the name server what it has of this zone.")
def dns(call: Call, guest: str | None, node: str | None, zone: str | None) -> None:
    """List names: those of the registry, or with --zone those of the name server."""
    if zone is not None:
        call.out.rows(call.api.get(place("dns", "zones", zone, "records")), ("name", "type", "values", "ttl", "ours"))
        return
    call.rows("/dns/names", ("fqdn", "kind", "guest", "node", "values", "ttl"), guest=guest, node=node)


@command("dns_zones", HEADLINE, ("prod", ""))
def dns_zones(call: Call) -> None:
    """List the zones of the name server."""
    call.out.rows(call.api.get("/dns/zones"), ("name", "kind", "serial", "dnssec", "ours"))


@command(
    "dns_add",
    HEADLINE,
    ("prod www.example.org CNAME shop.corpus.example.org", ""),
    ("prod example.org MX '10 mail.example.org' --ttl 300", ""),
    changes=True,
)
@click.argument("name")
@click.argument("type", type=_TYPE)
@click.argument("values", nargs=-1, required=True)
@click.option("--ttl", type=click.IntRange(0), help="Seconds that others may remember it.")
def dns_add(call: Call, name: str, type: str, values: Sequence[str], ttl: int | None) -> None:  # noqa: A002 - its word
    """Add VALUES to what NAME has of TYPE."""
    body = {"name": name, "type": type, "values": list(values), **({"ttl": ttl} if ttl is not None else {})}
    call.change("POST", "/dns/records", body)


@command(
    "dns_set",
    HEADLINE,
    ("prod example.org MX '10 mail.example.org'", "Instead of those that it has"),
    ("prod www.example.org A 192.0.2.7 --plan", "What that would do"),
    changes=True,
)
@click.argument("name")
@click.argument("type", type=_TYPE)
@click.argument("values", nargs=-1, required=True)
@click.option("--ttl", type=click.IntRange(0), help="Seconds that others may remember it; not set: as before.")
def dns_set(call: Call, name: str, type: str, values: Sequence[str], ttl: int | None) -> None:  # noqa: A002 - its word
    """Let NAME, which has values of TYPE, have VALUES of it instead."""
    path = place("dns", "records", name, type)
    there = call.api.ask("GET", path)
    body = {"values": list(values), "ttl": there.json()["ttl"] if ttl is None else ttl}
    call.change("PUT", path, body, headers={"If-Match": there.headers["ETag"]})


@command("dns_remove", HEADLINE, ("prod www.example.org CNAME", "All of it"), changes=True)
@click.argument("name")
@click.argument("type", type=_TYPE)
@click.argument("values", nargs=-1)
def dns_remove(call: Call, name: str, type: str, values: Sequence[str]) -> None:  # noqa: A002 - its word
    """Remove what NAME has of TYPE, or VALUES of it alone."""
    call.change("DELETE", place("dns", "records", name, type), query={"value": list(values) or None})


@command("dns_plan", HEADLINE, ("prod", "Every zone"))
@click.argument("zone", required=False)
def dns_plan(call: Call, zone: str | None) -> None:
    """Tell what differs between the registry and the name server."""
    found = call.api.get("/dns/plan", zone=zone)
    if call.out.as_json:
        call.out.json(found)
        return
    call.out.facts(found["changes"])
    call.out.say(found["comment"])


@command("dns_apply", HEADLINE, ("prod", "Every zone"), changes=True)
@click.argument("zone", required=False)
def dns_apply(call: Call, zone: str | None) -> None:
    """Make DNS (or ZONE alone) what the registry says."""
    call.change("POST", "/dns/apply", query={"zone": zone})


@command("dns_zone_create", HEADLINE, ("prod example.org --nameserver ns1.example.org", ""), changes=True)
@click.argument("zone")
@click.option("--nameserver", "nameservers", multiple=True, help="The primary first; may be repeated.")
@click.option("--hostmaster", help="Mail address.")
def dns_zone_create(call: Call, zone: str, nameservers: Sequence[str], hostmaster: str | None) -> None:
    """Make ZONE; of a network, its reverse zone."""
    more = {"nameservers": list(nameservers) or None, "hostmaster": hostmaster}
    call.change("POST", "/dns/zones", {"zone": zone, **{key: value for key, value in more.items() if value}})


@command("dns_zone_delete", HEADLINE, ("prod example.org", "Asks first"), changes=True)
@click.argument("zone")
@click.option("--force", is_flag=True, help="Also when somebody else made it, or records in it.")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def dns_zone_delete(call: Call, zone: str, force: bool, yes: bool) -> None:
    """Delete ZONE and everything in it."""
    call.confirmed(f"{zone} is deleted with all its records.", zone, yes)
    call.change("DELETE", place("dns", "zones", zone), query={"confirm": zone, "force": "true" if force else None})


@command(
    "dns_dnssec",
    HEADLINE,
    ("prod example.org", "What the zone above must know of it"),
    ("prod example.org on", "Sign it"),
    changes=True,
)
@click.argument("zone")
@click.argument("on", type=click.Choice(["on", "off"]), required=False)
def dns_dnssec(call: Call, zone: str, on: str | None) -> None:
    """Sign ZONE, or stop signing it; without a word, print the DS records that the zone above must have."""
    path = place("dns", "zones", zone, "dnssec")
    if on is not None:
        call.change("PUT", path, {"on": on == "on"})
        return
    found = call.api.get(path)
    if call.out.as_json:
        call.out.json(found)
        return
    for line in found["ds"]:
        call.out.line(line)
    if not found["ds"]:
        call.out.say(f"{zone} is not signed.")


@command("dns_export", HEADLINE, ("prod example.org > example.org.zone", ""))
@click.argument("zone")
def dns_export(call: Call, zone: str) -> None:
    """Print ZONE as a zone file."""
    text = call.api.text(place("dns", "zones", zone, "export"), "text/plain")
    if call.out.as_json:
        call.out.json({"zone": zone, "text": text})
    else:
        call.out.line(text.rstrip("\n"))
