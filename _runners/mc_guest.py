"""
Guests
======

Containers on compute nodes, each with its address, its name, its minion and its people. What takes long is an operation:
journaled, undone when it fails, and settled by :py:func:`mc_controller.resume` when the controller died in it.

Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, guests, operations
from corpus.door import translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_guest"
__func_alias__ = {"list_": "list", "exec_": "exec"}


def __virtual__():
    return __virtualname__


def _cloud() -> Any:
    return cloud.of(globals())


def create(
    platform: str,
    name: str,
    guest_type: str = "lxc",
    size: int | str = "5G",
    memory: int | str | None = None,
    cpus: float | None = None,
    image: str | None = None,
    owner: str | None = None,
    keys: Sequence[str] | None = None,
    project: str | None = None,
    settings: dict[str, Any] | None = None,
    unprivileged: bool | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a guest: cloned from an image, with an address, a name, a minion, and a way in.

    platform
        A platform's uuid, or a compute node.

    name
        A label of a DNS name; the guest is ``<name>.<zone>``.

    guest_type
        ``lxc``.

    size
        What it may store: bytes, or ``5G``.

    memory
        What it may use of the node's memory; not set: all of it.

    cpus
        Of how many processors it may use the time; not set: of all of them.

    image
        ``<name>`` or ``<name>-<version>``; the node must have it.

    owner
        Whose it is: their keys are let in, and they get a mail.

    keys
        Public ssh keys that are let in, too.

    project
        A project that shall be pushed there.

    settings
        Of that project, as ``mc_project.init_project`` takes them.

    unprivileged
        Whether its root is nobody on the node. Not set: as the settings of the platform, then of the node, say; else it
        is, and a node that cannot have such guests is an error. ``False`` gives a tenant's root the node's powers.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.create node1 shop size=10G owner=ada project=shop
    """
    return operations.asked(
        globals(),
        "guest.create",
        test,
        caller,
        platform=platform,
        name=name,
        type=guest_type,
        size=size,
        memory=memory,
        cpus=cpus,
        image=image,
        owner=owner,
        keys=[keys] if isinstance(keys, str) else keys,
        project=project,
        settings=settings,
        **({} if unprivileged is None else {"unprivileged": unprivileged}),
    )


def delete(name: str, confirm: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Remove a guest with its data: container, address, port, names, keys, credentials. What was begun is finished.

    name
        The guest's name.

    confirm
        The name again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.delete shop confirm=shop
    """
    with translated():
        guests.confirmed(name, confirm, bool(test))
    return operations.asked(globals(), "guest.delete", test, caller, name=name)


def list_(node: str | None = None) -> dict[str, Any]:
    """
    Return the guests: where they are, and how they are reached.

    node
        Of one compute node alone.

    Returns: ``{name: {state, node, address, ssh_port, names, projects}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.list
    """
    with translated():
        return guests.listed(_cloud(), node)


def infos(name: str, live: bool = True) -> dict[str, Any]:
    """
    Return everything about a guest but its secrets.

    name
        The guest's name.

    live
        Ask its node, too: what it uses, whether it runs.

    Returns: A mapping.

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.infos shop
    """
    with translated():
        return guests.infos(_cloud(), name, bool(live))


def start(name: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Start a guest; it starts with its node from now on.

    name
        The guest's name.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.start shop
    """
    return operations.asked(globals(), "guest.start", test, caller, name=name)


def stop(name: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Stop a guest; it stays stopped when its node starts again.

    name
        The guest's name.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.stop shop
    """
    return operations.asked(globals(), "guest.stop", test, caller, name=name)


def restart(name: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Stop a guest and start it again.

    name
        The guest's name.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.restart shop
    """
    return operations.asked(globals(), "guest.restart", test, caller, name=name)


def enlarge(name: str, size: int | str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Let a guest store more.

    name
        The guest's name.

    size
        The new limit: bytes, or ``10G``; ``+2G`` adds.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.enlarge shop +5G
    """
    return operations.asked(globals(), "guest.enlarge", test, caller, name=name, size=size)


def trim(name: str, size: int | str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Let a guest store less; never less than it holds.

    name
        The guest's name.

    size
        The new limit: bytes, or ``3G``; ``size=-2G`` takes away.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.trim shop 3G
        salt-run mc_guest.trim shop size=-2G
    """
    return operations.asked(globals(), "guest.trim", test, caller, name=name, size=size)


def snapshot(name: str, label: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Keep a guest as it is now.

    name
        The guest's name.

    label
        The snapshot's.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.snapshot shop before-upgrade
    """
    return operations.asked(globals(), "guest.snapshot", test, caller, name=name, label=label)


def restore(name: str, label: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Make a guest what it was when a snapshot was taken.

    name
        The guest's name.

    label
        The snapshot's.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.restore shop before-upgrade
    """
    return operations.asked(globals(), "guest.restore", test, caller, name=name, label=label)


def delete_snapshot(name: str, label: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Forget a snapshot.

    name
        The guest's name.

    label
        The snapshot's.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.delete_snapshot shop before-upgrade
    """
    return operations.asked(globals(), "guest.delete_snapshot", test, caller, name=name, label=label)


def snapshots(name: str) -> Any:
    """
    Return the snapshots of a guest.

    name
        The guest's name.

    Returns: As :py:func:`mc_lxc.snapshots <mc_lxc.snapshots>`.

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.snapshots shop
    """
    with translated():
        return guests.on_node(_cloud(), name, "mc_lxc.snapshots")


def move(name: str, node: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Take a guest to another compute node: copied while it runs, stopped for the rest, started there.

    A move that fails leaves the guest where it was. Its snapshots do not move: they are removed with what it was there.

    name
        The guest's name.

    node
        The compute node, or a platform on it.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts: {downtime}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.move shop node2
    """
    return operations.asked(globals(), "guest.move", test, caller, name=name, node=node)


def exec_(name: str, argv: str | Sequence[str], timeout: float = 60) -> dict[str, Any]:
    """
    Run a program in a guest, as root.

    name
        The guest's name.

    argv
        Its words; a text is split as a shell would, and no shell sees it.

    timeout
        Seconds.

    Returns: ``{retcode, stdout, stderr}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.exec shop 'uptime -p'
    """
    with translated():
        found = guests.on_node(_cloud(), name, "mc_lxc.execute", argv, timeout=float(timeout))
    if found.get("retcode"):
        __context__["retcode"] = 1
    return dict(found)


def link_dns(name: str, fqdn: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Give a guest one more name, which its node's proxy serves.

    name
        The guest's name.

    fqdn
        The whole name; the first label may be ``*``.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.link_dns shop www.example.org
    """
    return operations.asked(globals(), "guest.link_dns", test, caller, name=name, fqdn=fqdn)


def unlink_dns(name: str, fqdn: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Take a name from a guest.

    name
        The guest's name.

    fqdn
        The whole name.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.unlink_dns shop www.example.org
    """
    return operations.asked(globals(), "guest.unlink_dns", test, caller, name=name, fqdn=fqdn)


def credentials(name: str, test: bool = False, caller: str | None = None) -> dict[str, str]:
    """
    Return a link that shows the root password of a guest once.

    name
        The guest's name.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{link: token, show: command}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.credentials shop
    """
    with translated():
        return guests.link(cloud.asked(globals(), f"mc_guest.credentials of {name}", caller), name, bool(test))


def redeem(token: str, caller: str | None = None) -> dict[str, str]:
    """
    Show what a link shows; it works once.

    token
        Of the link.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{subject, name, value}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_guest.redeem 3q2-7w…
    """
    with translated():
        return guests.redeemed(cloud.asked(globals(), "mc_guest.redeem", caller), token)
