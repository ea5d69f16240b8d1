"""Compute nodes, and the platforms on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import click

from .. import editing
from ..api import place
from ..call import Call
from ..errors import NotThere
from ..frame import command
from .people import public_in

HEADLINE = "Compute nodes"
TYPES, MODES = ("dev", "staging", "prod"), ("editable", "cooking", "final")
_NODES = (
    "name",
    "state",
    "ip",
    "guests",
    "slots",
    "free_slots",
    "load",
    "memory:bytes",
    "storage.free:bytes",
    "storage.size:bytes",
    "guest_types",
)
_PLATFORMS = ("uuid", "node", "type", "operation_mode", "owner", "guests", "created:time")
_UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@command(
    "computenode_list",
    HEADLINE,
    ("prod", "Where projects can be installed"),
    ("prod --type staging --json", "Those with platforms of a type, as JSON"),
)
@click.option("--type", "platform_type", type=click.Choice(TYPES), help="With platforms of this type alone.")
@click.option("--state", help="In this state alone: ready, draining, failed, ….")
def computenode_list(call: Call, platform_type: str | None, state: str | None) -> None:
    """List the compute nodes that you may see: guests, free slots, load, memory, storage."""
    call.rows("/nodes", _NODES, platform_type=platform_type, state=state)


@command(
    "computenode_init",
    HEADLINE,
    ("prod staging", "A platform on the node that has most room"),
    ("prod prod node1", "A platform on a node"),
    ("prod prod node3.example.org lxc", "Make a bare machine, reached by ssh, a node with a platform"),
    ("prod prod node3.example.org --plan", "What that would do"),
    changes=True,
)
@click.argument("platform_type", type=click.Choice(TYPES))
@click.argument("host", required=False)
@click.argument("guest_types", nargs=-1)
@click.option("--owner", help="Whose platform it is.")
@click.option("--mode", type=click.Choice(MODES), help="Operation mode; not set: the one of PLATFORM_TYPE.")
@click.option("--name", help="Of a new node; not set: the first label of HOST.")
@click.option("--port", type=click.IntRange(1, 65535), default=22, help="Of HOST's ssh server.", show_default=True)
@click.option("--user", default="root", help="Who logs in to HOST.", show_default=True)
@click.option("--slots", type=click.IntRange(1), help="How many guests a new node may have.")
@click.option("--link", is_flag=True, help="HOST has the base system of a node already.")
def computenode_init(
    call: Call,
    platform_type: str,
    host: str | None,
    guest_types: Sequence[str],
    owner: str | None,
    mode: str | None,
    link: bool,
    **more: Any,
) -> None:
    """Get a platform for guests, of PLATFORM_TYPE, and print its uuid.

    On HOST, which is made a compute node when it is none yet; without HOST on the node that has most room for
    GUEST_TYPES.
    """
    wanted = _given({"owner": owner, "mode": mode})
    node = _node(call, host) if host is not None else _roomiest(call, guest_types)
    if node is not None:
        body = {"node": node["name"], "type": platform_type, **wanted}
        call.change("POST", "/platforms", body, _platform)
        return
    types = {"guest_types": list(guest_types)} if guest_types else {}
    body = {"host": host, "platform_type": platform_type, **types, **wanted, **_given(more)}
    call.change("POST", "/nodes/link" if link else "/nodes", body, _platform)


def _platform(facts: Mapping[str, Any]) -> str | None:
    return str(facts["platform"]) if facts.get("platform") else None


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _node(call: Call, host: str) -> dict[str, Any] | None:
    """The compute node of a name, if there is one."""
    try:
        found: dict[str, Any] = call.api.get(place("nodes", host))
    except NotThere:
        return None
    return found


def _roomiest(call: Call, guest_types: Sequence[str]) -> dict[str, Any]:
    """The node with most room.

    :raises NotThere: none has any
    """
    fit = [
        one
        for one in call.api.listed("/nodes", state="ready")
        if one["free_slots"] != 0 and set(guest_types) <= set(one["guest_types"])
    ]
    if not fit:
        raise NotThere("No compute node that you may see has room for that: name a HOST that shall become one.")
    return max(fit, key=lambda one: (one["storage"]["free"] or 0, one["free_slots"] or 0))


@command(
    "computenode_switchmode",
    HEADLINE,
    (f"prod {_UUID} cooking", "Build releases there"),
    changes=True,
)
@click.argument("uuid")
@click.argument("mode", type=click.Choice(MODES))
def computenode_switchmode(call: Call, uuid: str, mode: str) -> None:
    """Change the operation mode of the platform UUID, and of the projects on its guests, to MODE."""
    call.change("POST", place("platforms", uuid, "mode"), {"mode": mode})


@command(
    "computenode_infos",
    HEADLINE,
    (f"prod {_UUID}", "A platform: its slots and guests"),
    ("prod node1 --live", "A node, asked now"),
)
@click.argument("uuid")
@click.option("--live", is_flag=True, help="Ask the node now, too.")
def computenode_infos(call: Call, uuid: str, live: bool) -> None:
    """Tell of the platform UUID (or of a node): free slots, and which guests are in the others."""
    try:
        platform: dict[str, Any] = call.api.get(place("platforms", uuid))
    except NotThere:
        platform = {}
    node = call.api.get(place("nodes", platform.get("node") or uuid), live="true" if live else None)
    which = {"platform": platform["uuid"]} if platform else {"node": node["name"]}
    guests = list(call.api.listed("/guests", **which))
    if call.out.as_json:
        call.out.json({**({"platform": platform} if platform else {}), "node": node, "slots": guests})
        return
    told = {key: value for key, value in platform.items() if key not in ("node", "names_of_guests")}
    node.pop("inventory", None)
    call.out.facts({**({"platform": told} if told else {}), "node": node})
    call.out.rows(guests, ("name", "state", "address", "ssh_host", "ssh_port", "names", "projects"))


@command("computenode_unlink", HEADLINE, ("prod node1", "Give it up"), changes=True)
@click.argument("node")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def computenode_unlink(call: Call, node: str, yes: bool) -> None:
    """Give up the compute node NODE, which has no guests; the machine stays as it is."""
    call.confirmed(f"{node} is forgotten with its keys and credentials.", node, yes)
    call.change("DELETE", place("nodes", node), query={"confirm": node})


@command(
    "computenode_drain",
    HEADLINE,
    ("prod node1", "No new guests there"),
    ("prod node1 --to node2", "And those that it has go elsewhere"),
    changes=True,
)
@click.argument("node")
@click.option("--to", help="The node where its guests go; not set: they stay.")
def computenode_drain(call: Call, node: str, to: str | None) -> None:
    """Put no new guests on NODE; with --to, move those that it has."""
    call.change("POST", place("nodes", node, "drain"), _given({"to": to}))


@command("computenode_undrain", HEADLINE, ("prod node1", "Guests may come again"), changes=True)
@click.argument("node")
def computenode_undrain(call: Call, node: str) -> None:
    """Put new guests on NODE again."""
    call.change("POST", place("nodes", node, "undrain"))


@command(
    "computenode_key_add",
    HEADLINE,
    ("prod node1 ~/.ssh/id_ed25519.pub", "Who has its private half is let in"),
    changes=True,
)
@click.argument("node")
@click.argument("file", type=click.File("r"))
def computenode_key_add(call: Call, node: str, file: TextIO) -> None:
    """Let the public ssh key in FILE in to NODE, as root."""
    call.change("POST", place("nodes", node, "keys"), {"key": public_in(file)})


@command("computenode_key_remove", HEADLINE, ("prod node1 ada@laptop", ""), changes=True)
@click.argument("node")
@click.argument("key")
def computenode_key_remove(call: Call, node: str, key: str) -> None:
    """Let KEY (its fingerprint or name) in to NODE no more."""
    call.change("DELETE", place("nodes", node, "keys"), query={"key": key})


@command("computenode_name_add", HEADLINE, ("prod node1 eu.example.org", ""), changes=True)
@click.argument("node")
@click.argument("fqdn")
def computenode_name_add(call: Call, node: str, fqdn: str) -> None:
    """Give NODE one more name, FQDN."""
    call.change("POST", place("nodes", node, "names"), {"fqdn": fqdn})


@command("computenode_images", HEADLINE, ("prod node1", "The newest of each"), changes=True)
@click.argument("node")
@click.argument("image", required=False)
def computenode_images(call: Call, node: str, image: str | None) -> None:
    """Bring the controller's images (or IMAGE alone) to NODE."""
    call.change("POST", place("nodes", node, "images"), _given({"image": image}))


def _edits(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that shows settings, or changes them."""
    function = click.option("--file", type=click.File("r"), help="Set them to what this file has; - reads stdin.")(
        function
    )
    return click.option("--edit", is_flag=True, help="Change them in your editor ($EDITOR).")(function)


@command(
    "computenode_settings",
    HEADLINE,
    ("prod node1", "As YAML"),
    ("prod node1 --edit", "In your editor"),
    ("prod node1 --file node1.yaml --plan", "What a file would change"),
    changes=True,
)
@click.argument("node")
@_edits
def computenode_settings(call: Call, node: str, edit: bool, file: TextIO | None) -> None:
    """Show or change what is set of NODE: how many guests it may have, and what its pillar says beside the registry."""
    editing.settings(call, place("nodes", node, "settings"), edit, file)


@command("nodes", HEADLINE, ("prod", "The same as computenode_list"))
def nodes(call: Call) -> None:
    """List the compute nodes that you may see."""
    call.rows("/nodes", _NODES)


@command("platforms", HEADLINE, ("prod", "Where you may put guests"), ("prod --node node1", "Of one node"))
@click.option("--node", help="On this compute node alone.")
def platforms(call: Call, node: str | None) -> None:
    """List the platforms that you may see: places for guests, on compute nodes."""
    call.rows("/platforms", _PLATFORMS, node=node)


@command(
    "platform_settings",
    HEADLINE,
    (f"prod {_UUID}", "As YAML"),
    (f"prod {_UUID} --edit", "In your editor"),
    changes=True,
)
@click.argument("uuid")
@_edits
def platform_settings(call: Call, uuid: str, edit: bool, file: TextIO | None) -> None:
    """Show or change what is set of the platform UUID: whose it is, and what the pillar of its guests says."""
    editing.settings(call, place("platforms", uuid, "settings"), edit, file)


@command("platform_delete", HEADLINE, (f"prod {_UUID}", ""), changes=True)
@click.argument("uuid")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def platform_delete(call: Call, uuid: str, yes: bool) -> None:
    """Remove the platform UUID, which has no guests."""
    call.confirmed("The platform is removed.", uuid, yes)
    call.change("DELETE", place("platforms", uuid), query={"confirm": uuid})
