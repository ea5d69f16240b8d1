"""Whether the root of a guest is nobody on its node. It is, unless somebody said otherwise: nothing falls back silently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller.registry.models import ComputeNode, Guest, Platform

_KEY = "unprivileged"


def unprivileged(node: ComputeNode, platform: Platform | None, said: object = None) -> bool:
    """Return whether a guest that is made there is unprivileged.

    :param said: for this guest alone; goes before the setting ``unprivileged`` of its platform, and of its node
    :raises UsageError: it shall be, and the node cannot have such guests
    """
    for where in (said, platform.settings.get(_KEY) if platform else None, node.settings.get(_KEY)):
        if where is None:
            continue
        if not isinstance(where, bool):
            raise UsageError(f"unprivileged is true or false, not {shown(where)}.")
        if not where:
            return False
        break
    possible(node)
    return True


def possible(node: ComputeNode) -> None:
    """:raises UsageError: a node cannot have unprivileged guests, or has not said whether it can"""
    told: dict[str, Any] | None = node.inventory.get(_KEY)
    if told is None:
        raise UsageError(
            f"The compute node {node.name} has not told whether it can have unprivileged guests: "
            f"ask it (mc_compute_node.infos {node.name}), or say unprivileged=False for a privileged one."
        )
    if not told["able"]:
        raise UsageError(
            f"The compute node {node.name} cannot have unprivileged guests: {told['hindrance']}. Change that and ask it "
            f"again (mc_compute_node.infos {node.name}), or say unprivileged=False where its root may be the node's."
        )


def is_unprivileged(guest: Guest) -> bool:
    """Return whether a guest is; one that was made before anybody asked is not."""
    return bool(guest.settings.get(_KEY))


def told(name: str, nobody: bool) -> str:
    """Return in words what a guest is."""
    return f"{name} is {'unprivileged: its root is nobody' if nobody else 'privileged: its root is root'} on the node."
