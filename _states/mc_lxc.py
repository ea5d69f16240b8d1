"""
Containers in a highstate
=========================

The pool of a compute node, and the containers in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_lxc"


def __virtual__():
    return __virtualname__


def _answer(name: str, result: bool | None, comment: str, changes: Any = None) -> dict[str, Any]:
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def _done(name: str, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        return {**__salt__[f"mc_lxc.{function}"](*args, **kwargs), "name": name}
    except Exception as err:
        return _answer(name, False, str(err))


def pool(name: str, driver: str = "btrfs", size: int | None = None, boot: bool = True) -> dict[str, Any]:
    """
    Make sure of a node's pool.

    name
        Absolute path of its folder.

    driver, size, boot
        As :py:func:`mc_lxc.pool_init <mc_lxc.pool_init>` takes them.

    .. code-block:: yaml

        /srv/corpus/pool:
          mc_lxc.pool:
            - driver: btrfs
            - size: 107374182400
    """
    return _done(name, "pool_init", name, driver=driver, size=size, boot=boot, test=__opts__["test"])


def present(name: str, image: str, pool: str | None = None, **settings: Any) -> dict[str, Any]:
    """
    Make sure that a container is there with these settings; whether it runs does not matter.

    name
        The container's name.

    image
        What it is made from when it is not there yet.

    settings
        As :py:func:`mc_lxc.create <mc_lxc.create>` takes them.

    .. code-block:: yaml

        web1:
          mc_lxc.present:
            - image: guest
            - address: 10.64.1.2/24
            - memory: 536870912
    """
    wanted = {key: value for key, value in settings.items() if not key.startswith("__")}
    try:
        there = name in __salt__["mc_lxc.list"](pool=pool)
    except Exception as err:
        return _answer(name, False, str(err))
    if there:
        for key in ("files", "unprivileged"):  # only a new one can get them
            wanted.pop(key, None)
        return _done(name, "configure", name, pool=pool, test=__opts__["test"], **wanted)
    return _done(name, "create", name, image, pool=pool, test=__opts__["test"], **wanted)


def running(name: str, image: str | None = None, pool: str | None = None, **settings: Any) -> dict[str, Any]:
    """
    Make sure that a container runs, and starts with the machine.

    name
        The container's name.

    image, settings
        As for :py:func:`present`; without an image, it must be there.

    .. code-block:: yaml

        web1:
          mc_lxc.running:
            - image: guest
    """
    made = present(name, image, pool, **settings) if image else _answer(name, True, "")
    if made["result"] is False:
        return made
    try:
        found = __salt__["mc_lxc.list"](pool=pool).get(name, {"state": "ABSENT", "running": False})
    except Exception as err:
        return _answer(name, False, str(err))
    if found["state"] == "RUNNING" and found["running"]:
        return made
    if __opts__["test"]:
        return _answer(name, None, f"{name} would be started.", {**made["changes"], "state": "RUNNING"})
    started = _done(name, "start", name, pool=pool)
    if started["result"] is False:
        return started
    return _answer(name, True, started["comment"], {**made["changes"], "state": "RUNNING"})


def stopped(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Make sure that a container that is there does not run, nor start with the machine.

    name
        The container's name.

    .. code-block:: yaml

        web1:
          mc_lxc.stopped: []
    """
    try:
        found = __salt__["mc_lxc.list"](pool=pool).get(name)
    except Exception as err:
        return _answer(name, False, str(err))
    if found is None:
        return _answer(name, False, f"There is no container {name} here.")
    if found["state"] == "STOPPED" and not found["running"]:
        return _answer(name, True, f"{name} does not run.")
    if __opts__["test"]:
        return _answer(name, None, f"{name} would be stopped.", {"state": "STOPPED"})
    return _done(name, "stop", name, pool=pool)


def absent(name: str, pool: str | None = None) -> dict[str, Any]:
    """
    Make sure that there is no such container, with its snapshots.

    name
        The container's name.

    .. code-block:: yaml

        web1:
          mc_lxc.absent: []
    """
    try:
        there = name in __salt__["mc_lxc.list"](pool=pool)
    except Exception as err:
        return _answer(name, False, str(err))
    if __opts__["test"]:
        return _answer(
            name,
            None if there else True,
            f"{name} would be removed." if there else "",
            {"removed": name} if there else {},
        )
    return _done(name, "destroy", name, pool=pool)
