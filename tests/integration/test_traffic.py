"""The traffic of a compute node, by the kernel's nftables and a real haproxy, in network namespaces."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.node import bridge
from corpus.node.traffic import change, haproxy
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

from tests.machine import digests, run
from tests.namespaces import CLIENT, NETWORK, NETWORK6, NODE, NODE6, Internet, asks, inside, lacking, opens

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

GUEST_PORTS = (22, 80, 443, 3306, 8000)
SHOP = {"name": "shop", "address": "10.64.1.2", "address6": "fd00:64:1::2", "ssh_port": 40000}
BLOG = {"name": "blog", "address": "10.64.1.3", "address6": "fd00:64:1::3", "ssh_port": 40001}
WIKI = {"name": "wiki", "address": "10.64.1.4", "address6": "fd00:64:1::4", "ssh_port": 40002}
GUESTS = [
    {**SHOP, "names": ["shop.example.org", "*.shop.example.org"]},
    {**BLOG, "names": ["blog.example.org", "deep.shop.example.org", "*.example.org"], "http_port": 8000},
    {**WIKI, "names": []},
]


class Node:
    """A compute node in a namespace."""

    def __init__(self, folder: Path, internet: Internet) -> None:
        self.internet = internet
        self.places = Places(folder / "etc", folder / "run", folder / "units", folder / "sysctl")

    def settle(self, guests: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        with inside(self.internet.node):
            return change.settle(self.wanted(guests, **more), self.places).changes()

    def plan(self, guests: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        with inside(self.internet.node):
            return change.plan(self.wanted(guests, **more), self.places).changes()

    @staticmethod
    def wanted(guests: list[dict[str, Any]], **more: Any) -> Wanted:
        return Wanted.parsed({"network": NETWORK, "network6": NETWORK6, "guests": guests, **more})

    def nft(self, *words: str) -> str:
        with inside(self.internet.node):
            ended = run(["nft", *words])
        assert ended.status == 0, ended.said
        return ended.output

    def state(self) -> tuple[str, dict[str, str], str]:
        return self.nft("list", "ruleset"), digests(self.places.etc), haproxy.ask(self.places.socket, "show info")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="corpus-", dir="/tmp"))
    folder.chmod(0o755)
    internet = Internet()
    made = Node(folder, internet)
    try:
        internet.begin()
        with inside(internet.node):
            bridge.make("corpus0", NETWORK, NETWORK6, made.places)
        for number, guest in enumerate(("shop", "blog", "wiki"), 2):
            internet.plug(guest, number, "corpus0")
            internet.serve(internet.namespace(guest), guest, *GUEST_PORTS)
        internet.serve(internet.client, "world", 8080)
        yield made
    finally:
        haproxy.stop(made.places)
        internet.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settled(node: Node) -> Node:
    node.settle(GUESTS)
    return node


def test_names_lead_to_guests(settled: Node) -> None:
    client = settled.internet.client
    for address in (NODE, NODE6):
        for name, guest in (
            ("shop.example.org", "shop"),
            ("SHOP.example.org.", "shop"),
            ("shop.example.org:80", "shop"),
            ("any.shop.example.org", "shop"),
            ("deep.shop.example.org", "blog"),
            ("blog.example.org", "blog"),
            ("other.example.org", "blog"),
        ):
            assert asks(client, address, name).split(" ")[0] == guest, (address, name)
        for name in ("example.org", "example.net", "wiki", "xshop.example.orgs", ""):
            assert asks(client, address, name) in ("404", "400"), (address, name)


def test_guests_learn_who_asks(settled: Node) -> None:
    assert asks(settled.internet.client, NODE, "shop.example.org").endswith(f" {CLIENT}")


def test_only_ssh_and_the_proxy_can_be_reached_from_outside(settled: Node) -> None:
    client = settled.internet.client
    for address in ("10.64.1.2", "10.64.1.3", "fd00:64:1::2", "fd00:64:1::3"):
        assert [port for port in GUEST_PORTS if opens(client, address, port, 0.2)] == []
    candidates = {*GUEST_PORTS, *range(39990, 40010)}
    for address in (NODE, NODE6):
        found = [port for port in sorted(candidates) if opens(client, address, port, 0.3)]
        assert found == [80, 443, 40000, 40001, 40002]
        assert [asks(client, address, "x", port).split(" ")[0] for port in (40000, 40001)] == ["shop", "blog"]


def test_guests_cannot_reach_each_other(settled: Node) -> None:
    shop = settled.internet.namespace("shop")
    for address in ("10.64.1.3", "fd00:64:1::3"):
        assert [port for port in GUEST_PORTS if opens(shop, address, port, 0.2)] == []
    link_local = run(["ip", "-n", settled.internet.namespace("blog"), "-6", "-o", "address", "show", "scope", "link"])
    address = link_local.output.split()[3].partition("/")[0]
    assert not opens(shop, f"{address}%eth0", 8000)


def test_guests_reach_the_world_the_proxy_and_each_others_ssh_port(settled: Node) -> None:
    shop = settled.internet.namespace("shop")
    assert asks(shop, CLIENT, "world", 8080).startswith("world")
    assert asks(shop, "2001:db8:1::9", "world", 8080).startswith("world")
    for address in (NODE, NODE6):
        assert asks(shop, address, "blog.example.org").startswith("blog")
        assert asks(shop, address, "x", 40001).startswith("blog")
    assert asks(settled.internet.node, NODE, "x", 40001).startswith("blog")


def test_guests_of_one_owner_and_those_let_in_can_talk(node: Node) -> None:
    shop, blog, wiki = (node.internet.namespace(name) for name in ("shop", "blog", "wiki"))
    node.settle([{**SHOP, "owner": "ada"}, {**BLOG, "owner": "ada"}, {**WIKI, "owner": "bob", "open_to": ["shop"]}])
    for family in ("10.64.1.", "fd00:64:1::"):
        assert opens(shop, f"{family}3", 3306, 2)
        assert opens(blog, f"{family}2", 3306, 2)
        assert opens(shop, f"{family}4", 3306, 2)
        assert not opens(wiki, f"{family}2", 3306)
        assert not opens(blog, f"{family}4", 3306)
    node.settle(GUESTS)
    assert not opens(shop, "10.64.1.3", 3306)


def test_the_second_call_changes_nothing_and_a_test_never_does(settled: Node) -> None:
    before = settled.state()
    assert settled.settle(GUESTS) == {}
    assert settled.plan(GUESTS[:1])["removed"] == ["blog", "wiki"]
    after = settled.state()
    assert before[:2] == after[:2]
    assert _pid(before[2]) == _pid(after[2])


def test_what_was_changed_by_hand_is_put_right(settled: Node) -> None:
    settled.nft("flush", "chain", "inet", "corpus", "neighbours")
    haproxy.ask(settled.places.socket, f"clear map {settled.places.maps}/http.map")
    assert settled.plan(GUESTS) == {"table": "inet corpus is replaced", "maps": ["http"]}
    settled.settle(GUESTS)
    assert settled.plan(GUESTS) == {}
    assert not opens(settled.internet.namespace("shop"), "10.64.1.3", 3306)
    assert asks(settled.internet.client, NODE, "shop.example.org").startswith("shop")


def _pid(info: str) -> str:
    return next(line for line in info.splitlines() if line.startswith("Pid:"))
