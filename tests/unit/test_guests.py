"""Guests and compute nodes: what is refused before anything is changed, and what a plan says."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import compute_nodes, guests, operations, wiring
from corpus.controller.cloud import Cloud
from corpus.controller.compute_nodes import requirements
from corpus.controller.registry import models
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, UsageError
from corpus.node import seeds

GOOD = {
    "user": "0",
    "system": "Linux",
    "os": "debian",
    "like": "",
    "systemd": "yes",
    "memory": "4000000",
    "disk": "50000000",
    "cgroup": "yes",
    "python": "3.11",
}


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """A controller that knows one compute node with one image, and nobody else."""
    made = Cloud(Settings(home=tmp_path))
    made.registry.upgrade()
    with made.registry.session() as session:
        node = models.ComputeNode(
            name="node1.corpus.test",
            minion_id="node1.corpus.test",
            host="192.0.2.11",
            address="192.0.2.11",
            network="10.64.1.0/24",
            state="ready",
            inventory={"unprivileged": {"able": True, "hindrance": None}},
        )
        image = models.Image(name="debian", version="0123456789ab", digest="sha256:00", size=1)
        session.add_all([node, image])
        session.flush()
        session.add(models.NodeImage(node_id=node.id, image_id=image.id))
        session.add(models.Platform(node=node, type="staging", operation_mode="cooking"))
    return made


def guest(cloud: Cloud, name: str, address: str) -> None:
    with cloud.registry.session() as session:
        node = wiring.node(session, "node1")
        made = models.Guest(name=name, minion_id=f"{name}.corpus.test", node=node, address=address, ssh_port=40000)
        made.state = "running"
        session.add(made)
        session.flush()
        session.add(models.DnsName(fqdn=f"{name}.corpus.test", guest_id=made.id))


def plan(cloud: Cloud, kind: str, **arguments: Any) -> dict[str, Any]:
    return operations.run(cloud, kind, arguments, "ada", test=True)


def refused(cloud: Cloud, kind: str, **arguments: Any) -> str:
    """The words by which a plan is refused: for arguments that cannot be, or for what is there."""
    try:
        found = plan(cloud, kind, **arguments)
    except UsageError as err:
        return str(err)
    assert found["result"] is False, found
    return str(found["comment"])


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("2K", 2048),
        ("1.5M", 3 << 19),
        ("5G", 5 << 30),
        ("5 GiB", 5 << 30),
        ("1tb", 1 << 40),
    ],
)
def test_sizes(given: object, size: int) -> None:
    assert guests.size_of(given) == size


@pytest.mark.parametrize("given", [0, -1, True, None, "", "G", "5X", "5G;", "-5G", 1.5])
def test_what_is_no_size(given: object) -> None:
    with pytest.raises(UsageError, match="is no size"):
        guests.size_of(given)


def test_a_plan_names_the_steps_in_their_order_and_changes_nothing(cloud: Cloud) -> None:
    found = plan(cloud, "guest.create", platform="node1", name="shop", project="shop")
    assert [step["name"] for step in found["steps"]] == [
        "owner",
        "address and ssh port",
        "container",
        "DNS",
        "registration on the node",
        "minion",
        "root credentials",
        "layout, keys and highstate",
        "project",
        "ready",
        "mail",
    ]
    assert guests.listed(cloud) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "Shop"}, "cannot name a machine"),
        ({"name": "../shop"}, "cannot name a machine"),
        ({"name": "shop", "platform": "nowhere"}, "There is no compute node 'nowhere'"),
        ({"name": "shop", "platform": "node%"}, "There is no compute node"),
        ({"name": "shop", "size": "many"}, "is no size"),
        ({"name": "shop", "type": "kvm"}, "is no type of guest"),
        ({"name": "shop", "project": "Shop!"}, "cannot name a project"),
        ({"name": "shop", "image": "suse"}, "has no image 'suse'"),
        ({"name": "shop", "owner": "nobody"}, "There is no owner 'nobody'"),
        ({"name": "taken"}, "There is a guest taken already"),
    ],
)
def test_what_cannot_be_created(cloud: Cloud, arguments: dict[str, Any], words: str) -> None:
    guest(cloud, "taken", "10.64.1.9")
    assert words in refused(cloud, "guest.create", **{"platform": "node1", **arguments})


def test_a_node_that_drains_takes_no_guests(cloud: Cloud) -> None:
    with cloud.registry.session() as session:
        wiring.node(session, "node1").state = "draining"
    assert "is draining: it takes no guests" in refused(cloud, "guest.create", platform="node1", name="shop")


def test_a_node_is_found_by_what_people_call_it(cloud: Cloud) -> None:
    with cloud.registry.session() as session:
        node = wiring.node(session, "node1.corpus.test")
        for name in ("node1", "192.0.2.11", node.uuid, node.platforms[0].uuid):
            assert wiring.node(session, name) is node
        twin = models.ComputeNode(name="node1.example.org", minion_id="node1.example.org", host="192.0.2.12")
        session.add(twin)
        session.flush()
        with pytest.raises(UsageError, match="is 2 compute nodes"):
            wiring.node(session, "node1")


def test_deleting_needs_the_name_twice() -> None:
    guests.confirmed("shop", "shop", test=False)
    guests.confirmed("shop", None, test=True)
    with pytest.raises(UsageError, match="say confirm=shop"):
        guests.confirmed("shop", "other", test=False)


def test_what_is_asked_of_guests(cloud: Cloud) -> None:
    guest(cloud, "shop", "10.64.1.2")
    assert guests.listed(cloud)["shop"]["names"] == ["shop.corpus.test"]
    assert guests.infos(cloud, "shop", live=False)["ssh"] == "ssh -p 40000 root@shop.corpus.test"
    with pytest.raises(UsageError, match="There is no guest 'nobody'"):
        guests.infos(cloud, "nobody", live=False)
    with cloud.registry.session() as session:
        session.add(models.DnsName(fqdn="www.corpus.test", node_id=wiring.node(session, "node1").id))
    listed = compute_nodes.listed(cloud)["node1.corpus.test"]
    assert (listed["guests"], listed["dns"]) == (1, ["www.corpus.test"])
    assert compute_nodes.infos(cloud, "node1", live=False)["dns"] == ["www.corpus.test"]
    assert compute_nodes.infos(cloud, "node1", live=False)["names_of_guests"] == ["shop"]


def test_images_are_brought_by_an_operation(cloud: Cloud) -> None:
    there = plan(cloud, "compute_node.image_sync", node="192.0.2.11")
    assert (there["name"], there["changes"]) == ("compute_node:node1.corpus.test", {})
    with cloud.registry.session() as session:
        session.add(models.Image(name="debian", version="fedcba987654", digest="sha256:01", size=1))
    assert plan(cloud, "compute_node.image_sync", node="node1")["changes"] == {"images": "would be done"}
    assert "There is no image 'suse'" in refused(cloud, "compute_node.image_sync", node="node1", image="suse")


def test_a_link_to_a_password_works_once(cloud: Cloud) -> None:
    guest(cloud, "shop", "10.64.1.2")
    with cloud.registry.session() as session:
        uuid = wiring.guest(session, "shop").uuid
        value = guests.credentials(cloud).generate(session, f"guest:{uuid}", "root")
    token = guests.link(cloud, "shop")["link"]
    assert guests.redeemed(cloud, token) == {"subject": f"guest:{uuid}", "name": "root", "value": value}
    with pytest.raises(CorpusError, match="shows nothing"):
        guests.redeemed(cloud, token)


def test_a_size_that_goes_the_wrong_way_is_refused(cloud: Cloud) -> None:
    guest(cloud, "shop", "10.64.1.2")
    assert plan(cloud, "guest.enlarge", name="shop", size="+1G")["result"] is not False
    for kind, size in (("guest.enlarge", "1G"), ("guest.trim", "9G"), ("guest.trim", "-9G")):
        assert "cannot make that" in refused(cloud, kind, name="shop", size=size)


def test_a_node_with_guests_is_not_given_up(cloud: Cloud) -> None:
    guest(cloud, "shop", "10.64.1.2")
    assert "has guests (shop)" in refused(cloud, "compute_node.unlink", node="node1")


def test_a_good_machine_has_no_findings() -> None:
    assert requirements.findings(GOOD) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"user": "1000"}, "not root"),
        ({"system": "FreeBSD"}, "FreeBSD, not Linux"),
        ({"os": "fedora"}, "fedora"),
        ({"systemd": ""}, "systemd"),
        ({"memory": "1000"}, "0 MiB of memory"),
        ({"disk": "1000"}, "/srv has 0 MiB free"),
        ({"missing": "net"}, "net namespaces"),
        ({"cgroup": ""}, "control groups"),
        ({"python": ""}, "python3"),
    ],
)
def test_each_thing_that_a_machine_lacks_is_found(facts: dict[str, str], words: str) -> None:
    (found,) = requirements.findings({**GOOD, **facts})
    assert words in found


def test_everything_that_a_machine_lacks_is_found_at_once() -> None:
    assert len(requirements.findings({})) == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"host": "-oProxyCommand=x"}, "not a DNS name"),
        ({"platform_type": "moon"}, "is no type of platform"),
        ({"mode": "fast"}, "is no operation mode"),
        ({"guest_types": ["zone"]}, "is no type of guest"),
        ({"port": 0}, "is no port"),
    ],
)
def test_what_cannot_be_a_node(cloud: Cloud, arguments: dict[str, Any], words: str) -> None:
    assert words in refused(cloud, "compute_node.init", **{"host": "192.0.2.9", "platform_type": "prod", **arguments})


def test_a_seed_is_used_up_and_read_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    with pytest.raises(CorpusError, match="no seed for shop"), seeds.taken("shop", tmp_path):
        pass
    path.write_text(json.dumps({"/etc/salt/minion": "id: shop"}))
    path.chmod(0o644)
    with pytest.raises(CorpusError, match="Others could read"), seeds.taken("shop", tmp_path):
        pass
    assert not path.exists()
    path.write_text(json.dumps({"/etc/salt/minion": "id: shop"}))
    path.chmod(0o600)
    with seeds.taken("shop", tmp_path) as files:
        assert files == {"/etc/salt/minion": "id: shop"}
    assert not path.exists()
    with pytest.raises(UsageError), seeds.taken("../shop", tmp_path):
        pass


@pytest.mark.parametrize(
    ("said", "platform", "node", "words"),
    [
        (None, {}, {}, "unprivileged: its root is nobody"),
        (False, {}, {}, "privileged: its root is root"),
        (None, {"unprivileged": False}, {}, "privileged: its root is root"),
        (None, {}, {"unprivileged": False}, "privileged: its root is root"),
        (None, {"unprivileged": True}, {"unprivileged": False}, "unprivileged: its root is nobody"),
        (True, {"unprivileged": False}, {"unprivileged": False}, "unprivileged: its root is nobody"),
    ],
)
def test_who_says_whether_a_guest_is_unprivileged(
    cloud: Cloud, said: bool | None, platform: dict[str, Any], node: dict[str, Any], words: str
) -> None:
    with cloud.registry.session() as session:
        there = wiring.node(session, "node1")
        there.settings, there.platforms[0].settings = node, platform
    found = plan(cloud, "guest.create", platform="node1", name="shop", unprivileged=said)
    assert found["notes"] == [f"shop is {words} on the node."]


@pytest.mark.parametrize(
    ("inventory", "words"),
    [
        ({}, "has not told whether it can have unprivileged guests"),
        (
            {"unprivileged": {"able": False, "hindrance": "the driver of its pool is overlay"}},
            "cannot have unprivileged guests: the driver of its pool is overlay",
        ),
    ],
)
def test_a_guest_is_not_privileged_because_the_node_cannot_do_better(
    cloud: Cloud, inventory: dict[str, Any], words: str
) -> None:
    guest(cloud, "old", "10.64.1.9")
    with cloud.registry.session() as session:
        wiring.node(session, "node1").inventory = inventory
        target = models.ComputeNode(
            name="node2.corpus.test",
            minion_id="node2.corpus.test",
            host="192.0.2.12",
            network="10.64.2.0/24",
            state="ready",
            inventory=inventory,
        )
        session.add(target)
        made = models.Guest(name="new", minion_id="new.corpus.test", node=wiring.node(session, "node1"))
        made.address, made.ssh_port, made.state, made.settings = "10.64.1.10", 40001, "running", {"unprivileged": True}
        session.add(made)
    assert words in refused(cloud, "guest.create", platform="node1", name="shop")
    assert words in refused(cloud, "guest.create", platform="node1", name="shop", unprivileged=True)
    assert plan(cloud, "guest.create", platform="node1", name="shop", unprivileged=False)["result"]
    assert words in refused(cloud, "guest.move", name="new", node="node2")
    assert words not in plan(cloud, "guest.move", name="old", node="node2")["comment"]  # it is privileged already
