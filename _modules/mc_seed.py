"""
Seeds
=====

What a container must have before it first starts and nobody else may see: the keys of its minion and of its ssh server.
Salt publishes a job's arguments to every minion, so the controller leaves them on the node in a file, over ssh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import translated
from corpus.node import seeds, storage

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __salt__: dict[str, Any]

__virtualname__ = "mc_seed"


def __virtual__():
    return __virtualname__


def _pool(path: str | None) -> storage.Pool:
    return storage.Pool.open(path or __opts__.get("corpus.pool"))


def create(name: str, image: str, start: bool = True, guest: str | None = None, **settings: Any) -> dict[str, Any]:
    """
    Make a container with the files of its seed, which is used up then.

    name
        The container's name; the seed is ``/run/corpus/seeds/<name>.json``: texts by absolute path. Only root can read it.

    image
        ``<name>-<version>``.

    start
        Start it, too.

    guest
        The uuid of the guest that it is for; the container keeps it. One that was made for the same guest before, from
        an earlier seed whose keys nobody knows any more, is made anew; any other that is there is an error.

    settings
        As :py:func:`mc_lxc.create <mc_lxc.create>` takes them.

    Returns: ``{name, result, changes, comment}``

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_seed.create shop guest-20260131 address=10.64.1.2/24 gateway=10.64.1.1
    """
    settings = {key: value for key, value in settings.items() if not key.startswith("__")}  # Salt adds its own
    with translated(), seeds.taken(name) as files:
        files = {**files, **seeds.mark(guest)}
        report = __salt__["mc_lxc.create"](name, image, files=files, **settings)
        if not report["changes"]:
            seeds.same(_pool(settings.get("pool")), name, guest)
            __salt__["mc_lxc.destroy"](name)
            report = __salt__["mc_lxc.create"](name, image, files=files, **settings)
    if start:
        __salt__["mc_lxc.start"](name)
    return report


def owner(name: str, pool: str | None = None) -> str | None:
    """
    Return the uuid of the guest that a container was made for; nothing when it was made for none.

    CLI Example:

    .. code-block:: bash

        salt node1 mc_seed.owner shop
    """
    with translated():
        return seeds.owner(_pool(pool), name)
