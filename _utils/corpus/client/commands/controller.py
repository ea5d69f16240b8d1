"""The controller itself."""

from __future__ import annotations

import click

from ..call import Call
from ..errors import ClientError
from ..frame import command

HEADLINE = "The controller"


@command("controller", HEADLINE, ("prod", "Does every part of it answer?"))
def controller(call: Call) -> None:
    """Tell what there is, and whether each part of the controller answers; exit status 1 when one does not."""
    found = call.api.get("/controller")
    call.out.facts(found)
    if not found["result"]:
        raise ClientError(str(found["comment"]))


@command(
    "resume",
    HEADLINE,
    ("prod", "What was interrupted"),
    ("prod 0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce", "What is left of one that failed"),
    changes=True,
    waits=False,
)
@click.argument("operation", required=False)
def resume(call: Call, operation: str | None) -> None:
    """Finish or undo the operations whose process died, or what is left of OPERATION, which failed."""
    query = {"plan": "true"} if call.plan else {}
    body = {"operation": operation} if operation else {}
    found = call.api.ask("POST", "/controller/resume", body, query).json()
    if call.out.as_json:
        call.out.json(found)
    else:
        call.out.rows(found["operations"], ("operation", "name", "comment"))
        call.out.say(found["comment"])
    if not found["result"]:
        raise ClientError("Not everything could be settled.")


@command("check", HEADLINE, ("prod", "Compare"), ("prod --fix", "And put right what can be"))
@click.option("--fix", is_flag=True, help="Put right what can be.")
def check(call: Call, fix: bool) -> None:
    """Compare the registry with the world; exit status 1 when something differs."""
    found = call.api.ask("POST", "/registry/check", {"fix": fix}).json()
    if call.out.as_json:
        call.out.json(found)
    else:
        call.out.rows(found["differences"], ("kind", "subject", "repairable", "repaired", "message"))
        call.out.say(found["comment"])
    if not found["result"]:
        raise ClientError("The registry and the world differ.")


@command("images", HEADLINE, ("prod", ""))
def images(call: Call) -> None:
    """List the images that guests are cloned from."""
    call.rows("/images", ("name", "version", "size:bytes", "created:time", "nodes"))


@command("image_build", HEADLINE, ("prod debian --suite trixie --sync", ""), changes=True)
@click.argument("name", default="debian")
@click.option("--suite", help="Of Debian.")
@click.option("--again", is_flag=True, help="Also when there is one of the same already.")
@click.option("--sync", is_flag=True, help="Bring it to all compute nodes, too.")
def image_build(call: Call, name: str, suite: str | None, again: bool, sync: bool) -> None:
    """Build the image NAME, unless there is one of the same already."""
    body = {"name": name, "again": again, "sync": sync, **({"suite": suite} if suite else {})}
    call.change("POST", "/images", body)
