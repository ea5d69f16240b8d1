"""
Compute node in a highstate
===========================

The bridge, what comes back at boot, the storage pool and the traffic of a compute node. Each is the execution
function of the same name, with Salt's ``test=True``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __salt__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_node"


def __virtual__():
    return __virtualname__


def _done(name: str, function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    given = {key: value for key, value in keywords.items() if value is not None}
    try:
        report = __salt__[function](*arguments, test=__opts__["test"], **given)
    except Exception as err:
        return {"name": name, "result": False, "comment": str(err), "changes": {}}
    return {**report, "name": name}


def bridge(name: str, network: str = "", network6: str = "") -> dict[str, Any]:
    """
    Make sure of the bridge that guests are plugged to, now and at every boot.

    name
        Of the interface.

    network
        Of the guests, IPv4.

    network6
        Of the guests, IPv6.

    .. code-block:: yaml

        corpus0:
          mc_node.bridge:
            - network: 10.64.1.0/24
            - network6: fd00:64:1::/64
    """
    return _done(name, "mc_node.bridge", name, network=network, network6=network6)


def boot(name: str) -> dict[str, Any]:
    """
    Make sure that the traffic of the node comes back when it starts.

    name
        Any text.

    .. code-block:: yaml

        the traffic comes back:
          mc_node.boot: []
    """
    return _done(name, "mc_node.boot")


def ids(name: str) -> dict[str, Any]:
    """
    Make sure that root has ids for unprivileged guests; a range that it has stays as it is.

    name
        Any text.

    .. code-block:: yaml

        ids of unprivileged guests:
          mc_node.ids: []
    """
    return _done(name, "mc_node.ids")


def pool(name: str, driver: str = "btrfs", size: int | None = None) -> dict[str, Any]:
    """
    Make sure of the pool that containers are stored in.

    name
        Absolute path of its folder.

    driver
        ``btrfs``, ``overlay`` or ``directory``.

    size
        Bytes, where the pool is a file; unless given, four fifths of the free disk.

    .. code-block:: yaml

        /srv/corpus/pool:
          mc_node.pool:
            - driver: btrfs
            - size: 107374182400
    """
    if size is None and driver == "btrfs":
        size = __salt__["mc_node.pool_size"](name)
    return _done(name, "mc_lxc.pool_init", name, driver=driver, size=size)


def traffic(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """
    Make sure of the node's inbound traffic.

    name
        Any text.

    wanted
        What ``mc_node.traffic`` takes.

    .. code-block:: yaml+jinja

        the guests' traffic:
          mc_node.traffic:
            - wanted: {{ pillar["corpus"]["traffic"] | json }}
    """
    return _done(name, "mc_node.traffic", wanted)
