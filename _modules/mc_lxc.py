"""
Containers
==========

The containers of a compute node, and the pool in which they and their images lie. LXC runs them.

Each function does nothing when all is as asked already, and completes what an earlier call that was killed left
half-made. Where several pools are on a node, ``pool=`` says which; it is ``/srv/corpus/pool`` otherwise, or the
minion's setting ``corpus.pool``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from corpus.door import translated
from corpus.node import containers, storage, transfer
from corpus.node import snapshots as snapshots_

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_lxc"
__func_alias__ = {"list_": "list", "pool_": "pool"}


def __virtual__():
    return __virtualname__


def _pool(path: str | None) -> storage.Pool:
    return storage.Pool.open(path or __opts__.get("corpus.pool"))


def _report(name: str, done: Any, test: bool = False) -> dict[str, Any]:
    """What a function that changes something returns, as a state would."""
    changes = done if isinstance(done, dict) else {"done": done} if done else {}
    phrases = done if isinstance(done, list) else [f"{key} of {name}: {change['new']}" for key, change in done.items()]
    comment = "; ".join(phrases) or f"{name} is as it should be."
    return {
        "name": name,
        "result": None if test and changes else True,
        "changes": changes,
        "comment": f"It would do: {comment}" if test and changes else comment,
    }


def pool_init(
    path: str | None = None, driver: str = "btrfs", size: int | None = None, boot: bool = True, test: bool = False
) -> dict[str, Any]:
    """
    Make the pool of a node.

    path
        Absolute path of the pool's folder.

    driver
        ``btrfs`` (clones at once, limits what a container may store), ``overlay`` (clones at once, no limits) or
        ``directory`` (copies, no limits). It cannot be changed afterwards.

    size
        Bytes of the file ``<path>.btrfs`` that holds a btrfs pool where ``path`` is on another file system. A larger
        size than before lets it grow.

    boot
        Mount the pool and start its containers when the machine starts (a line in ``/etc/fstab``, a unit for systemd).

    test
        Tell what would be done, and do nothing.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.pool_init driver=btrfs size=107374182400
    """
    with translated():
        folder = str(path or __opts__.get("corpus.pool") or storage.DEFAULT)
        _, done = storage.initialize(folder, driver, size, boot, test=test)
        return _report(folder, done, test)


def pool_(path: str | None = None) -> dict[str, Any]:
    """
    Return what the pool is: ``{path, driver, quota, total, used, free, images}``, sizes in bytes.

    path
        The pool's folder.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.pool
    """
    with translated():
        return _pool(path).facts()


def import_image(archive: str, name: str, version: str, pool: str | None = None) -> dict[str, Any]:
    """
    Make an image of an archive, or of a folder. An image that is there already is never changed.

    archive
        Absolute path of a tar archive (compressed or not) or of a folder, on the node.

    name, version
        The image will be ``<name>-<version>``.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.import_image /srv/corpus/images/guest-20260131.tar.zst guest 20260131
    """
    with translated():
        done = _pool(pool).import_image(archive, name, str(version))
        return _report(f"{name}-{version}", [f"image {name}-{version} imported"] if done else [])


def images(pool: str | None = None) -> list[str]:
    """
    Return the names of the pool's images, the oldest first.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.images
    """
    with translated():
        return list(_pool(pool).list_images())


def remove_image(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Remove an image. On an overlay pool, an image that containers lie over stays, and this is an error.

    name
        ``<name>-<version>``.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.remove_image guest-20260131
    """
    with translated():
        return _report(name, [f"image {name} removed"] if _pool(pool).remove_image(name) else [])


def create(
    name: str,
    image: str,
    address: str | None = None,
    gateway: str | None = None,
    bridge: str | None = "corpus0",
    address6: str | None = None,
    gateway6: str | None = None,
    size: int | None = containers.SIZE,
    memory: int | None = None,
    cpus: float | None = None,
    unprivileged: bool = False,
    nesting: bool = False,
    files: dict[str, str] | None = None,
    pool: str | None = None,
    test: bool = False,
) -> dict[str, Any]:
    """
    Make a container, stopped.

    name
        A DNS label; the host name inside.

    image
        ``<name>-<version>``, or the name alone for the version that was imported last.

    address, gateway, address6, gateway6
        IPv4 and IPv6, the addresses with their prefix lengths.

    bridge
        The node's bridge; ``null``: no network.

    size
        Bytes that it may store, its image included. Where the pool's driver has no quotas nothing limits it, and the
        comment says so.

    memory, cpus
        Bytes, and processors (1.5 is one and a half) that it may use.

    unprivileged
        Whether its root is nobody on the node; root needs a range of ids in ``/etc/subuid`` and ``/etc/subgid``.

    nesting
        Whether it may run containers of its own.

    files
        ``{absolute path: text}``, written into it before its first start; root alone can read them.

    test
        Tell what would be done, and do nothing.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.create web1 guest address=10.64.1.2/24 gateway=10.64.1.1 memory=536870912
    """
    settings = {
        "address": address,
        "gateway": gateway,
        "bridge": bridge,
        "address6": address6,
        "gateway6": gateway6,
        "size": size,
        "memory": memory,
        "cpus": cpus,
        "unprivileged": unprivileged,
        "nesting": nesting,
    }
    with translated():
        opened = _pool(pool)
        report = _report(name, containers.create(opened, name, image, files, test, **settings), test)
        if size is not None and not opened.driver.quota:
            report["comment"] += f" (Its size has no limit: the pool's driver, {opened.driver.name}, has no quotas.)"
        return report


def minion_key(name: str, pool: str | None = None) -> str:
    """
    Return the public key of the minion in a stopped container, whose key pair is made when there is none.

    The private key is made in the container and never leaves it: let the master accept the public one.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.minion_key web1
    """
    with translated():
        return containers.minion_key(_pool(pool), name)


def start(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Start a container, and let it start with the machine.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.start web1
    """
    with translated():
        return _report(name, containers.start(_pool(pool), name))


def stop(name: str, timeout: int = 30, pool: str | None = None) -> dict[str, Any]:
    """
    Stop a container, and let it not start with the machine.

    timeout
        Seconds that it has to end by itself; 0 ends it at once.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.stop web1
    """
    with translated():
        return _report(name, containers.stop(_pool(pool), name, timeout))


def restart(name: str, timeout: int = 30, pool: str | None = None) -> dict[str, Any]:
    """
    Stop a container when it runs, and start it.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.restart web1
    """
    with translated():
        return _report(name, containers.restart(_pool(pool), name, timeout))


def destroy(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Stop a container at once and remove it with its snapshots; also what is left of one that was half-made.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.destroy web1
    """
    with translated():
        return _report(name, containers.destroy(_pool(pool), name))


def list_(pool: str | None = None) -> dict[str, dict[str, Any]]:
    """
    Return every container: ``{name: {state, image, address, address6, running}}``; ``running`` is whether it shall.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.list
    """
    with translated():
        return containers.listed(_pool(pool))


def infos(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Return everything about a container: its settings, state, addresses, snapshots, bytes used and their limit.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.infos web1
    """
    with translated():
        return containers.infos(_pool(pool), name)


def execute(
    name: str, argv: str | Sequence[str], timeout: float | None = None, pool: str | None = None
) -> dict[str, Any]:
    """
    Run a program in a container, as root: ``{retcode, stdout, stderr}``.

    argv
        A list of words; or a text, split as a shell would. There is no shell.

    timeout
        Seconds.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.execute web1 '[systemctl, is-system-running]'
    """
    with translated():
        return containers.execute(_pool(pool), name, argv, timeout)


def configure(name: str, pool: str | None = None, test: bool = False, **settings: Any) -> dict[str, Any]:
    """
    Change a container's settings. Addresses and nesting count from its next start, the others at once.

    settings
        ``address gateway bridge address6 gateway6 size memory cpus nesting``, as in :py:func:`create`.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.configure web1 memory=1073741824 cpus=2
    """
    wanted = {key: value for key, value in settings.items() if not key.startswith("__")}
    with translated():
        return _report(name, containers.configure(_pool(pool), name, test, **wanted), test)


def resize(name: str, size: int, pool: str | None = None, test: bool = False) -> dict[str, Any]:
    """
    Let a container store more, or less; never less than it holds already.

    size
        Bytes, its image included.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.resize web1 10737418240
    """
    with translated():
        return _report(name, containers.resize(_pool(pool), name, size, test), test)


def snapshot(name: str, label: str, pool: str | None = None) -> dict[str, Any]:
    """
    Keep a container's root file system as it is now, while it runs.

    label
        What the snapshot is called.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.snapshot web1 before-upgrade
    """
    with translated():
        return _report(name, snapshots_.take(_pool(pool), name, label))


def snapshots(name: str, pool: str | None = None) -> dict[str, dict[str, Any]]:
    """
    Return a container's snapshots, the oldest first: ``{label: {taken}}`` (UTC).

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.snapshots web1
    """
    with translated():
        return snapshots_.listed(_pool(pool), name)


def restore(name: str, label: str, pool: str | None = None) -> dict[str, Any]:
    """
    Let a container be as it was; what was since is gone. Where it runs, it is stopped for the moment of the change.

    label
        The snapshot.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.restore web1 before-upgrade
    """
    with translated():
        return _report(name, snapshots_.restore(_pool(pool), name, label))


def delete_snapshot(name: str, label: str, pool: str | None = None) -> dict[str, Any]:
    """
    Forget a snapshot.

    label
        The snapshot.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.delete_snapshot web1 before-upgrade
    """
    with translated():
        return _report(name, snapshots_.delete(_pool(pool), name, label))


def send(
    name: str,
    host: str,
    port: int,
    identity: str,
    final: bool = False,
    known_hosts: str | None = None,
    user: str = "root",
    path: str | None = None,
    pool: str | None = None,
) -> dict[str, Any]:
    """
    Copy a container to another node. Nothing is changed here, and there it does not appear before :py:func:`receive`.

    First while it runs, as often as is liked; then stop it and copy the rest with ``final``. The functions
    :py:func:`destroy` or :py:func:`receive` on the other node end it, one way or the other.

    host, port, user
        Where the other node's ssh answers.

    identity
        Absolute path of a private key that it lets in.

    final
        The last round; the container must be stopped.

    known_hosts
        Absolute path of a file with the other node's host keys; root's own otherwise.

    path
        The other node's pool; the same path as here otherwise.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_lxc.send web1 node2.example.org 22 /run/corpus/keys/web1
    """
    with translated():
        done = transfer.send(_pool(pool), name, host, port, identity, final, known_hosts, user, path)
        size = f"{done['bytes'] / 1e6:.1f} MB in {done['seconds']} s"
        return {"name": name, "result": True, "changes": done, "comment": f"{name} sent to {host}: {size}"}


def receive(name: str, pool: str | None = None, **settings: Any) -> dict[str, Any]:
    """
    Let a container that was sent here appear, stopped.

    settings
        What is different here: ``address gateway bridge address6 gateway6 size memory cpus nesting``.

    CLI Example:

    .. code-block:: bash

        salt node2 mc_lxc.receive web1 address=10.64.2.2/24 gateway=10.64.2.1
    """
    wanted = {key: value for key, value in settings.items() if not key.startswith("__")}
    with translated():
        return _report(name, transfer.receive(_pool(pool), name, **wanted))
