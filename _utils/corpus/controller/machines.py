"""Machines of public clouds, before they are compute nodes: made, and destroyed, as operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from corpus.controller import access, operations
from corpus.controller.drivers.libcloud import Account, Machines
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError
from corpus.identifiers import host_name, shown

if TYPE_CHECKING:
    from pathlib import Path

    from corpus.controller.cloud import Cloud

#: Key of the master's configuration: accounts with clouds, by the name that we call each
ACCOUNTS = "corpus_clouds"


def at(cloud: Cloud, account: str) -> Machines:
    """The machines of an account.

    :param account: its name in the master's configuration
    :raises UsageError: there is none of that name, or it cannot be
    """
    known = cloud.opts.get(ACCOUNTS) or {}
    if not isinstance(known, Mapping) or not isinstance(known.get(account), Mapping):
        there = f": there are {', '.join(sorted(known))}" if isinstance(known, Mapping) and known else ""
        raise UsageError(f"The master's configuration has no {shown(account)} in {ACCOUNTS}{there}.")
    return Machines(Account.of(known[account]))


def listed(cloud: Cloud, account: str) -> dict[str, Any]:
    """The machines that corpus made, by name."""
    return {
        one.name: {"id": one.id, "state": one.state, "address": one.address, "address6": one.address6}
        for one in at(cloud, account).all()
    }


@operations.kind("machine.create", subject=lambda arguments: _subject(arguments))
def create(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Make a machine. ``account``, ``name``, ``image``, ``size``, ``user_data``."""
    account, name = str(arguments.get("account")), host_name(arguments.get("name"))
    for key in ("image", "size"):
        if not arguments.get(key):
            raise UsageError(f"A machine is made from an image and of a size: name its {key}.")

    def is_made(run: Run) -> bool:
        found = at(run.cloud, account).find(name)
        if found is None or found.state != "running" or not found.address:
            return False
        _remember(run, found.address)
        return True

    def make(run: Run) -> str:
        machines = at(run.cloud, account)
        if "ours" not in run.data:  # one that stands still, or is being made by another: not for us to destroy
            run.remember(ours=machines.find(name) is None)
        key = access.kept_key(_identity(run.cloud), f"corpus@{run.cloud.settings.zone}")
        made = machines.create(
            name, str(arguments["image"]), str(arguments["size"]), key.public, str(arguments.get("user_data") or "")
        )
        _remember(run, str(made.address))
        return f"{made.id} at {made.address}"

    def destroy(run: Run) -> None:
        if run.data.get("ours"):
            at(run.cloud, account).destroy(name)

    def _remember(run: Run, address: str) -> None:
        if not run.test:
            login = at(run.cloud, account).account.login
            run.remember(address=address, user=login, identity=str(_identity(run.cloud)))

    return [Step("make the machine", is_made, make, destroy, repeatable=True)]


@operations.kind("machine.destroy", subject=lambda arguments: _subject(arguments), forward=True)
def destroy(arguments: Mapping[str, Any]) -> Sequence[Step]:
    """Destroy a machine that corpus made and that is no compute node. ``account``, ``name``."""
    account, name = str(arguments.get("account")), host_name(arguments.get("name"))

    def is_free(run: Run) -> bool:
        from sqlalchemy import or_, select

        from corpus.controller.registry.models import ComputeNode

        found = at(run.cloud, account).find(name)
        addresses = [one for one in (found.address, found.address6) if one] if found else []
        with run.cloud.registry.reading() as session:
            node = session.scalar(
                select(ComputeNode.name).where(
                    or_(ComputeNode.host.in_(addresses), ComputeNode.address.in_(addresses)),
                    ComputeNode.state != "unlinked",
                )
            )
        if node is not None:
            raise UsageError(f"{name} is the compute node {node}: mc_compute_node.unlink it first.")
        return True

    def is_gone(run: Run) -> bool:
        return at(run.cloud, account).find(name) is None

    def remove(run: Run) -> None:
        at(run.cloud, account).destroy(name)

    return [
        Step("see that it is no compute node", is_free, repeatable=True),
        Step("destroy the machine", is_gone, remove, repeatable=True),
    ]


def _subject(arguments: Mapping[str, Any]) -> str:
    return f"machine:{arguments.get('account')}/{host_name(arguments.get('name'))}"


def _identity(cloud: Cloud) -> Path:
    """The key that new machines let in, until they get one of their own as compute nodes."""
    return cloud.settings.ssh / "machines"
