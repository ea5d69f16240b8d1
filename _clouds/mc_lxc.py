"""
LXC containers of compute nodes
===============================

A driver for ``salt-cloud``: containers on a compute node that is a minion of this master, or on this machine.

.. code-block:: yaml

    # /etc/salt/cloud.providers.d/corpus.conf
    node1:
      driver: mc_lxc
      node: node1.example.org    # the compute node's minion id; not set: this machine
      pool: /srv/corpus/pool     # not set: the node's own

    # /etc/salt/cloud.profiles.d/corpus.conf
    guest:
      provider: node1
      image: guest               # a name for its newest version, or <name>-<version>
      address: 10.64.1.2/24      # these and others as mc_lxc.create takes them
      gateway: 10.64.1.1
      memory: 536870912
      minion:
        master: 10.64.1.1

``salt-cloud -p guest web1`` makes and starts a container that is a minion at once: its key is made on the node, where
the private half stays, and its public half is accepted here. There is no ssh, and no deploy script. ``deploy: false``
leaves Salt out. ``salt-cloud -Q``, ``-d web1`` and ``-a start|stop|reboot|show_instance web1`` work, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import salt.config
import salt.utils.cloud
import yaml
from salt.exceptions import SaltCloudExecutionFailure, SaltCloudNotFound, SaltCloudSystemExit

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __utils__: dict[str, Any]
    __active_provider_name__: str

__virtualname__ = "mc_lxc"

_SETTINGS = [
    "address",
    "gateway",
    "bridge",
    "address6",
    "gateway6",
    "size",
    "memory",
    "cpus",
    "unprivileged",
    "nesting",
]
_TIMEOUT = 300  # seconds that a node gets to answer
_STATES = {"RUNNING": "running", "STOPPED": "stopped", "FROZEN": "paused"}


def __virtual__():
    return __virtualname__ if get_configured_provider() is not False else False


def _provider_name() -> str:
    active: Any = __active_provider_name__
    named = active.value() if hasattr(active, "value") else active
    return str(named or __virtualname__)


def get_configured_provider() -> Any:
    """Return this provider's configuration; False when there is none."""
    return salt.config.is_provider_configured(__opts__, _provider_name(), ())


def _call(function: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of ``mc_lxc`` on the provider's node."""
    provider = get_configured_provider()
    if provider.get("pool"):
        kwargs["pool"] = provider["pool"]
    name = f"mc_lxc.{function}"
    folder = os.path.dirname(__opts__["conf_file"])
    if not provider.get("node"):
        return _call_here(folder, name, args, kwargs)
    import salt.client

    with salt.client.LocalClient(c_path=os.path.join(folder, "master")) as client:
        answers = client.cmd(provider["node"], name, args, kwarg=kwargs, timeout=_TIMEOUT, full_return=True)
    answer = answers.get(provider["node"])
    if not isinstance(answer, dict) or "ret" not in answer:
        raise SaltCloudExecutionFailure(f"The compute node {provider['node']} does not answer.")
    if answer.get("retcode"):
        raise SaltCloudExecutionFailure(f"{provider['node']}: {answer['ret']}")
    return answer["ret"]


def _call_here(folder: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    import salt.loader
    from salt.exceptions import SaltException

    opts = salt.config.minion_config(os.path.join(folder, "minion"))
    opts.update(file_client="local", module_dirs=__opts__.get("module_dirs", opts.get("module_dirs", [])))
    opts["grains"] = {}  # nothing here asks for them
    try:
        return salt.loader.minion_mods(opts)[name](*args, **kwargs)
    except SaltException as err:
        raise SaltCloudExecutionFailure(str(err)) from err


def _action(call: str | None, function: str) -> None:
    if call == "function":
        raise SaltCloudSystemExit(f"{function} is an action: salt-cloud -a {function} NAME.")


def avail_images(call: str | None = None) -> dict[str, Any]:
    """
    Return the images of the node's pool.

    CLI Example:

    .. code-block:: bash

        salt-cloud --list-images node1
    """
    return {name: {"name": name} for name in _call("images")}


def avail_locations(call: str | None = None) -> dict[str, Any]:
    """
    Return the node.

    CLI Example:

    .. code-block:: bash

        salt-cloud --list-locations node1
    """
    node = get_configured_provider().get("node") or "localhost"
    return {node: {"name": node}}


def avail_sizes(call: str | None = None) -> dict[str, Any]:
    """
    Return nothing: sizes are given in bytes.

    CLI Example:

    .. code-block:: bash

        salt-cloud --list-sizes node1
    """
    return {}


def list_nodes(call: str | None = None) -> dict[str, Any]:
    """
    Return the containers, in salt-cloud's words.

    CLI Example:

    .. code-block:: bash

        salt-cloud -Q
    """
    found = {}
    for name, row in _call("list").items():
        addresses = [str(row[key]).split("/")[0] for key in ("address", "address6") if row.get(key)]
        found[name] = {
            "id": name,
            "name": name,
            "image": row["image"],
            "size": None,
            "state": _STATES.get(row["state"], row["state"].lower()),
            "private_ips": addresses,
            "public_ips": [],
        }
    return found


def list_nodes_full(call: str | None = None) -> dict[str, Any]:
    """
    Return the containers with everything that is known of them.

    CLI Example:

    .. code-block:: bash

        salt-cloud -F
    """
    return {name: {**_call("infos", name), **row} for name, row in list_nodes().items()}


def list_nodes_select(call: str | None = None) -> dict[str, Any]:
    """
    Return the containers with the fields that ``query.selection`` names.

    CLI Example:

    .. code-block:: bash

        salt-cloud -S
    """
    return salt.utils.cloud.list_nodes_select(list_nodes_full(), __opts__["query.selection"], call)


def show_instance(name: str, call: str | None = None) -> dict[str, Any]:
    """
    Return everything about a container.

    CLI Example:

    .. code-block:: bash

        salt-cloud -a show_instance web1
    """
    _action(call, "show_instance")
    nodes = list_nodes()
    if name not in nodes:
        raise SaltCloudNotFound(f"There is no container {name}.")
    return {**_call("infos", name), **nodes[name]}


def create(vm_: dict[str, Any]) -> Any:
    """
    Make a container and start it; with ``deploy``, as a minion of this master.

    What is there already with the same settings is started and left as it is; with others it is an error.

    CLI Example:

    .. code-block:: bash

        salt-cloud -p guest web1
    """
    name = vm_["name"]
    _event("creating", name, vm_)
    wanted = {key: vm_[key] for key in _SETTINGS if key in vm_}
    deploy = salt.config.get_cloud_config_value("deploy", vm_, __opts__, default=True)
    if not vm_.get("image"):
        raise SaltCloudSystemExit(f"The profile of {name} names no image.")
    if deploy:
        minion = salt.utils.cloud.minion_config(__opts__, vm_)
        minion.setdefault("enable_fqdns_grains", False)  # else it asks for names that nobody knows
        minion["grains"]["salt-cloud"] = {
            "driver": "mc_lxc",
            "profile": vm_.get("profile"),
            "provider": _provider_name(),
        }
        wanted["files"] = {"/etc/salt/minion": yaml.safe_dump(minion)}
        master = Path(__opts__["pki_dir"], "master.pub")
        if master.is_file():
            wanted["files"]["/etc/salt/pki/minion/minion_master.pub"] = master.read_text()
    _event("requesting", name, vm_)
    there = _call("list").get(name)
    made = _call("create", name, vm_["image"], **wanted)
    if deploy and (there is None or there["state"] != "RUNNING"):
        public = _call("minion_key", name)
        salt.utils.cloud.accept_key(__opts__["pki_dir"], public, minion["id"])
    _call("start", name)
    _event("created", name, vm_)
    return {**list_nodes()[name], "changes": made["changes"]}


def _event(what: str, name: str, vm_: dict[str, Any]) -> None:
    __utils__["cloud.fire_event"](
        "event",
        f"{what} container",
        f"salt/cloud/{name}/{what}",
        args={"name": name, "profile": vm_.get("profile"), "provider": vm_.get("driver", "mc_lxc")},
        sock_dir=__opts__["sock_dir"],
        transport=__opts__["transport"],
    )


def destroy(name: str, call: str | None = None) -> Any:
    """
    Remove a container with its snapshots; salt-cloud removes its key.

    CLI Example:

    .. code-block:: bash

        salt-cloud -d web1
    """
    _action(call, "destroy")
    _event("destroying", name, {})
    done = _call("destroy", name)
    _event("destroyed", name, {})
    return {"changes": done["changes"], "comment": done["comment"]}


def start(name: str, call: str | None = None) -> Any:
    """
    Start a container.

    CLI Example:

    .. code-block:: bash

        salt-cloud -a start web1
    """
    _action(call, "start")
    return _call("start", name)["comment"]


def stop(name: str, call: str | None = None) -> Any:
    """
    Stop a container.

    CLI Example:

    .. code-block:: bash

        salt-cloud -a stop web1
    """
    _action(call, "stop")
    return _call("stop", name)["comment"]


def reboot(name: str, call: str | None = None) -> Any:
    """
    Stop a container and start it.

    CLI Example:

    .. code-block:: bash

        salt-cloud -a reboot web1
    """
    _action(call, "reboot")
    return _call("restart", name)["comment"]
