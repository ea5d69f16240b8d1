"""
Compute nodes
=============

Machines on which guests live. What takes long is an operation: journaled, undone when it fails, and settled by
:py:func:`mc_controller.resume` when the controller died in it.

Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, compute_nodes, images, operations
from corpus.door import translated
from corpus.errors import UsageError

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_compute_node"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def _cloud() -> Any:
    return cloud.of(globals())


def init(
    host: str,
    platform_type: str = "prod",
    guest_types: Sequence[str] | str = ("lxc",),
    name: str | None = None,
    port: int = 22,
    user: str = "root",
    identity: str | None = None,
    owner: str | None = None,
    mode: str | None = None,
    slots: int | None = None,
    address: str | None = None,
    address6: str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a machine that is reached by ssh a compute node.

    What is wrong with the machine is told in one list before anything is changed on it.

    host
        Its name or address.

    platform_type
        ``dev``, ``staging`` or ``prod``: what its guests are for.

    guest_types
        ``lxc``.

    name
        A label of a DNS name; the node is ``<name>.<zone>``. Not set: the host's first label.

    port
        Of its ssh server.

    user
        Who logs in: root, or somebody who may ``sudo`` without a password.

    identity
        Absolute path of a private key that is let in now; a key of the node's own is made and used from then on.

    owner
        Whose platform it is.

    mode
        ``editable``, ``cooking`` or ``final``; not set: the one of the platform's type.

    slots
        How many guests it may have; not set: as many as there is room for.

    address
        IPv4 address that names of guests resolve to; not set: the host's.

    address6
        The same for IPv6.

    settings
        For its pillar: firewall rules, default environment, the pool's driver and size.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts: {uuid, platform}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.init node1.example.org prod identity=/root/.ssh/id_ed25519
    """
    return operations.asked(
        globals(),
        "compute_node.init",
        test,
        caller,
        host=host,
        platform_type=platform_type,
        guest_types=guest_types.split(",") if isinstance(guest_types, str) else list(guest_types),
        name=name,
        port=port,
        user=user,
        identity=identity,
        owner=owner,
        mode=mode,
        slots=slots,
        address=address,
        address6=address6,
        settings=settings,
    )


def image_sync(node: str, image: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Bring the controller's images to a compute node.

    node
        The compute node.

    image
        ``<name>`` or ``<name>-<version>``; not set: the newest version of each.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``; the changes have those that it did not have.

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.image_sync node1
    """
    return operations.asked(globals(), "compute_node.image_sync", test, caller, node=node, image=image)


def link(
    host: str,
    platform_type: str = "prod",
    guest_types: Sequence[str] | str = ("lxc",),
    name: str | None = None,
    port: int = 22,
    user: str = "root",
    identity: str | None = None,
    owner: str | None = None,
    mode: str | None = None,
    slots: int | None = None,
    address: str | None = None,
    address6: str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Attach a machine that has the base system of a compute node already. The arguments are those of :py:func:`init`.

    host
        Its name or address.

    platform_type
        ``dev``, ``staging`` or ``prod``.

    guest_types
        ``lxc``.

    name
        A label of a DNS name.

    port
        Of its ssh server.

    user
        Who logs in.

    identity
        Absolute path of a private key that is let in now.

    owner
        Whose platform it is.

    mode
        ``editable``, ``cooking`` or ``final``.

    slots
        How many guests it may have.

    address
        IPv4 address that names of guests resolve to.

    address6
        The same for IPv6.

    settings
        For its pillar.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts: {uuid, platform}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.link node1.example.org prod identity=/root/.ssh/id_ed25519
    """
    return operations.asked(
        globals(),
        "compute_node.link",
        test,
        caller,
        host=host,
        platform_type=platform_type,
        guest_types=guest_types.split(",") if isinstance(guest_types, str) else list(guest_types),
        name=name,
        port=port,
        user=user,
        identity=identity,
        owner=owner,
        mode=mode,
        slots=slots,
        address=address,
        address6=address6,
        settings=settings,
    )


def unlink(node: str, confirm: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Give up a compute node that has no guests: its names, keys, credentials and minion. The machine stays as it is.

    node
        The compute node.

    confirm
        The same again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.unlink node1 confirm=node1
    """
    with translated():
        if not test and confirm != node:
            raise UsageError(f"Unlinking {node} forgets its keys and credentials: say confirm={node}.")
    return operations.asked(globals(), "compute_node.unlink", test, caller, node=node)


def list_(limit: int = 100, after: str | None = None) -> dict[str, Any]:
    """
    Return the compute nodes: addresses, guests, free slots, types of guests, load, storage.

    limit
        At most so many, ordered by name.

    after
        Those whose names come after this one.

    Returns: ``{name: {uuid, state, ip, host, network, guest_types, guests, slots, free_slots, load, memory, storage}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.list
    """
    with translated():
        return compute_nodes.listed(_cloud(), int(limit), after)


def infos(uuid: str, live: bool = True) -> dict[str, Any]:
    """
    Return everything about a compute node but its secrets.

    uuid
        Of the node or of a platform on it; a node's name is good, too.

    live
        Ask it now, instead of telling what it said last.

    Returns: A mapping.

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.infos node1
    """
    with translated():
        return compute_nodes.infos(_cloud(), uuid, bool(live))


def switchmode(uuid: str, mode: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Change the operation mode of a platform, and of the projects on its guests.

    uuid
        Of the platform.

    mode
        ``editable``, ``cooking`` or ``final``.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.switchmode 1b4e28ba-2fa1-11d2-883f-0016d3cca427 cooking
    """
    return operations.asked(globals(), "compute_node.switchmode", test, caller, platform=uuid, mode=mode)


def configure(
    node: str,
    settings: dict[str, Any] | None = None,
    slots: int | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Set what people set of a compute node, all of it.

    node
        The compute node.

    settings
        What its pillar says beside what the registry computes; not set: nothing.

    slots
        How many guests it may have; not set: as many as there is room for.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.configure node1 slots=40 settings='{firewall: []}'
    """
    return operations.asked(
        globals(), "compute_node.configure", test, caller, node=node, settings=settings, slots=slots
    )


def platform_create(
    node: str,
    platform_type: str = "prod",
    mode: str | None = None,
    owner: str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make one more platform on a compute node: a tenant's environment.

    node
        The compute node.

    platform_type
        ``dev``, ``staging`` or ``prod``: what its guests are for.

    mode
        ``editable``, ``cooking`` or ``final``; not set: the one of its type.

    owner
        Whose it is.

    settings
        What the pillar of its guests says beside what the registry computes.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts: {platform}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.platform_create node1 staging owner=ada
    """
    return operations.asked(
        globals(),
        "platform.create",
        test,
        caller,
        node=node,
        type=platform_type,
        mode=mode,
        owner=owner,
        settings=settings,
    )


def platform_configure(
    uuid: str,
    owner: str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Set what people set of a platform, all of it.

    uuid
        Of the platform.

    owner
        Whose it is; not set: nobody's.

    settings
        What the pillar of its guests says beside what the registry computes; not set: nothing.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.platform_configure 1b4e28ba-2fa1-11d2-883f-0016d3cca427 owner=ada
    """
    return operations.asked(
        globals(), "platform.configure", test, caller, platform=uuid, owner=owner, settings=settings
    )


def platform_delete(uuid: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Remove a platform that has no guests.

    uuid
        Of the platform.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.platform_delete 1b4e28ba-2fa1-11d2-883f-0016d3cca427
    """
    return operations.asked(globals(), "platform.delete", test, caller, platform=uuid)


def add_key(node: str, key: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Let a public ssh key in, as root.

    node
        The compute node.

    key
        One line, as in ``authorized_keys``.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.add_key node1 'ssh-ed25519 AAAA… ada@laptop'
    """
    return operations.asked(globals(), "compute_node.add_key", test, caller, node=node, key=key)


def remove_key(node: str, key: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Let a public ssh key in no more.

    node
        The compute node.

    key
        Its fingerprint, its name, or itself.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.remove_key node1 ada@laptop
    """
    return operations.asked(globals(), "compute_node.remove_key", test, caller, node=node, key=key)


def link_dns(node: str, fqdn: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Give a compute node one more name.

    node
        The compute node.

    fqdn
        The whole name; the first label may be ``*``.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.link_dns node1 eu.corpus.example.org
    """
    return operations.asked(globals(), "compute_node.link_dns", test, caller, node=node, fqdn=fqdn)


def drain(node: str, to: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Put no new guests on a compute node; with ``to``, move those that it has.

    node
        The compute node.

    to
        Another one, or a platform on it.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.drain node1 to=node2
    """
    return operations.asked(globals(), "compute_node.drain", test, caller, node=node, to=to)


def undrain(node: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Put new guests on a compute node again.

    node
        The compute node.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.undrain node1
    """
    return operations.asked(globals(), "compute_node.undrain", test, caller, node=node)


def image_build(
    name: str = "debian",
    suite: str = "bookworm",
    again: bool = False,
    sync: bool = False,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Build the image that guests are cloned from, unless there is one of the same already.

    name
        Of the family.

    suite
        Debian's.

    again
        Build it anyway, with today's packages.

    sync
        Bring it to all compute nodes, too.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, operation, steps, facts: {image}}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.image_build sync=True
    """
    return operations.asked(globals(), "image.build", test, caller, name=name, suite=suite, again=again, sync=sync)


def image_list() -> list[dict[str, Any]]:
    """
    Return the controller's images, the oldest first.

    Returns: A list of ``{name, version, digest, size, suite, machine, python, salt, created}``.

    CLI Example:

    .. code-block:: bash

        salt-run mc_compute_node.image_list
    """
    with translated():
        return [one.summary() for one in images.image_list(_cloud().settings)]
