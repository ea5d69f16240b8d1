"""A bare machine that becomes a compute node by its states, loses its power, and serves again without a person."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cloud import BareMachine
from tests.machine import deadline, page, run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="machines of their own need root"),
    pytest.mark.skipif(not shutil.which("lxc-start"), reason="lxc is not installed"),
]

TRAFFIC = {
    "bridge": "corpus0",
    "network": "10.64.1.0/24",
    "network6": "fd00:64:1::/64",
    "guests": [{"name": "shop", "address": "10.64.1.2", "ssh_port": 40000, "names": ["shop.corpus.test"]}],
}
# Not a guest, but what the node sees of one.
STAND_IN = """
set -e
ip netns add shop
ip link add shop type veth peer name eth0 netns shop
ip link set shop master corpus0 up
ip -n shop address add 10.64.1.2/24 dev eth0
ip -n shop link set eth0 up
ip -n shop route add default via 10.64.1.1
mkdir -p /run/shop && echo shop > /run/shop/index.html
for port in 22 80 3306; do
    systemd-run --quiet --collect nsenter --net=/run/netns/shop python3 -m http.server --directory /run/shop $port
done
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[BareMachine]:
    number = os.getpid() % 250 + 2
    network, network6, bridge = f"10.211.{number}", f"fd00:211:{number:x}:", f"lone{os.getpid() % 1000000}"
    with tempfile.TemporaryDirectory(prefix="corpus-lab-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = BareMachine(
            "lone",
            Path(folder),
            bridge,
            f"{network}.10",
            f"{network6}:10",
            f"{network}.1",
            f"{network6}:1",
            "",
            salt=True,
            checkout=True,
        )
        try:
            for words in (
                ("link", "add", bridge, "type", "bridge"),
                ("address", "add", f"{network}.1/24", "dev", bridge),
                ("address", "add", f"{network6}:1/64", "dev", bridge, "nodad"),
                ("link", "set", bridge, "up"),
            ):
                assert run(["ip", *words]).status == 0
            made.start()
            yield made
        finally:
            made.stop()
            subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def applied(machine: BareMachine, *words: str) -> dict[str, Any]:
    """Apply the states of a compute node; what changed, by the state's id."""
    pillar = json.dumps({"corpus": {"traffic": TRAFFIC, "settings": {"pool": {"driver": "directory"}}}})
    options = {
        "id": "lone",
        "file_client": "local",
        "master_type": "disable",
        "module_dirs": ["/opt/checkout"],
        "file_roots": {"base": ["/opt/checkout/salt"]},
        "enable_fqdns_grains": False,
    }
    machine.run("sh", "-c", 'mkdir -p /etc/salt && printf %s "$1" > /etc/salt/minion', "sh", json.dumps(options))
    call = ["salt-call", "--local", "--log-level=quiet", "--out=json", "state.apply", *words, f"pillar={pillar}"]
    states = machine.run(*call, check=False).answer
    assert isinstance(states, dict), states
    assert all(state["result"] is not False for state in states.values()), json.dumps(states, indent=1)
    return {state["__id__"]: state["changes"] for state in states.values() if state["changes"]}


def test_a_node_is_made_once_and_comes_back_after_its_power_was_cut(machine: BareMachine) -> None:
    planned = applied(machine, "corpus.compute_node", "test=True")
    assert machine.run("ip", "link", "show", "corpus0", check=False).status != 0
    changed = applied(machine, "corpus.compute_node")
    new = {"compute-node-bridge", "compute-node-boot", "compute-node-lxc-bridge", "compute-node-traffic"}
    assert new <= {*planned, *changed}
    assert applied(machine, "corpus.compute_node") == {}
    assert machine.run("systemctl", "is-active", "corpus-proxy.service").output == "active\n"
    for power in ("before", "after"):
        machine.run("sh", "-c", STAND_IN)
        for port in (80, 40000):  # each of its servers takes a moment to start
            for _ in deadline(60):
                if page(port, host="shop.corpus.test", address=machine.address) == (200, "shop\n"):
                    break
        assert page(80, host="other.corpus.test", address=machine.address)[0] == 404
        route = ["ip", "route", "replace", "10.64.1.2", "via", machine.address]
        assert run(route).status == 0
        try:
            assert run(["timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/10.64.1.2/3306"]).status == 124
        finally:
            run(["ip", "route", "delete", "10.64.1.2"])
        if power == "before":
            machine.cut_power()
            assert machine.run("systemctl", "is-system-running").output == "running\n"
    assert applied(machine, "corpus.compute_node") == {}
    for verb in ("start", "reload", "restart", "stop"):  # Debian's own table; each throws every other away
        machine.run("systemctl", verb, "nftables.service")
        assert "chain neighbours" in machine.run("nft", "list", "table", "inet", "corpus").output
