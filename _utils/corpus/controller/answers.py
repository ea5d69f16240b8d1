"""What the master answers to the web: plans, operations that were queued, people's groups, and what guests alone know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import guests, identities, operations
from corpus.controller.questions import question

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud


@question("people.groups", own=True)
def groups(cloud: Cloud, arguments: Mapping[str, Any]) -> list[str]:
    """The groups of a person now: name."""
    return identities.groups(cloud.opts, str(arguments["name"]))


@question("sealing.key", own=True)
def sealing_key(cloud: Cloud, arguments: Mapping[str, Any]) -> str:
    """The key that secrets for the master are sealed with."""
    return cloud.sealing.public()


@question("operation.plan", own=True)
def plan(cloud: Cloud, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation would do: kind, arguments, who."""
    kind, given, who = str(arguments["kind"]), dict(arguments["arguments"]), str(arguments["who"])
    identities.check(cloud, who, kind, given)
    return operations.run(cloud, kind, given, who, test=True)


def _settle(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    """Finish or undo an operation whose process died."""
    operations.resume(cloud, str(arguments["operation"]))


@question("operation.perform", own=True, lasts=True, died=_settle)
def perform(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    """Do an operation that was queued, as its journal says who asks for it: operation (its uuid)."""
    identities.perform(cloud, str(arguments["operation"]))


@question("guest.credentials")
def credentials(cloud: Cloud, arguments: Mapping[str, Any]) -> None:
    """Make a link to a guest's password: name, digest (of the link's token), key (of the token, sealed)."""
    name = str(arguments["name"])
    key = cloud.sealing.unseal(str(arguments["key"]), f"guest.credentials:{name}")
    guests.link_for(cloud, name, str(arguments["digest"]), key)
