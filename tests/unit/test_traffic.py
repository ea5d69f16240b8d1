"""What the traffic of a node may be, and what nftables and haproxy are told of it."""

from pathlib import Path
from typing import Any

import pytest
from corpus.errors import UsageError
from corpus.node.traffic import ports, proxy, table
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

GUEST: dict[str, Any] = {"name": "shop", "address": "10.64.1.2", "ssh_port": 40000, "names": ["shop.example.org"]}


def wanted(*guests: dict[str, Any], **more: Any) -> Wanted:
    return Wanted.parsed({"network": "10.64.1.0/24", "network6": "fd00:64:1::/64", "guests": list(guests), **more})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "Shop"}, "cannot name a guest"),
        ({"name": "a; flush ruleset"}, "cannot name a guest"),
        ({"name": None}, "cannot name a guest"),
        ({"address": "10.64.2.2"}, "no address for a guest"),
        ({"address": "10.64.1.1"}, "no address for a guest"),
        ({"address": "10.64.1.255"}, "no address for a guest"),
        ({"address": "10.64.1.2 drop"}, "is no address"),
        ({"address": "fd00:64:1::2"}, "no IPv4 address"),
        ({"address": 12}, "no address for a guest"),
        ({"address6": "fe80::1%eth0"}, "no address for a guest"),
        ({"address": ""}, "give its address"),
        ({"ssh_port": 22}, "no port from 1024"),
        ({"ssh_port": "40000"}, "no port from 1024"),
        ({"ssh_port": True}, "no port from 1024"),
        ({"http_port": 70000}, "no port from 1"),
        ({"names": "shop.example.org"}, "is a list"),
        ({"names": ["shop.example.org\nx 10.64.1.9|80"]}, "no host name"),
        ({"names": ["shop example"]}, "no host name"),
        ({"names": ["*"]}, "no host name"),
        ({"names": ["a.*.org"]}, "no host name"),
        ({"names": ["x" * 64 + ".org"]}, "no host name"),
        ({"names": [7]}, "no host name"),
        ({"open_to": ["}"]}, "cannot name a guest"),
        ({"colour": "red"}, "no key 'colour'"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        wanted({**GUEST, **change})


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"bridge": 'x" drop'}, "cannot name a bridge"),
        ({"bridge": "b" * 16}, "cannot name a bridge"),
        ({"network": "10.64.1.3/24"}, "no network"),
        ({"network": "", "network6": ""}, "give the guests' network"),
        ({"guests": {"name": "shop"}}, "guests is a list"),
        ({"guests": ["shop"]}, "is no guest"),
        ({"http_port": 443}, "are the same"),
        ({"policy": "accept"}, "no key 'policy'"),
    ],
)
def test_a_node_that_cannot_be_is_refused(more: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Wanted.parsed({"network": "10.64.1.0/24", **more})


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"name": "shop"}, "name shop"),
        ({"address": "10.64.1.2"}, "address 10.64.1.2"),
        ({"ssh_port": 40000}, "port 40000"),
        ({"ssh_port": 8443}, "port 8443 belongs to the proxy"),
        ({"names": ["Shop.example.org."]}, "host name shop.example.org belongs to the guest blog"),
    ],
)
def test_two_guests_never_share(other: dict[str, Any], word: str) -> None:
    blog = {"name": "blog", "address": "10.64.1.3", "ssh_port": 40001, "names": [], **other}
    with pytest.raises(UsageError, match=word):
        wanted(GUEST, blog, https_port=8443)


def test_an_address_may_come_with_its_prefix() -> None:
    assert wanted({**GUEST, "address": "10.64.1.2/24"}).guests[0].address == "10.64.1.2"


def test_what_was_parsed_can_be_parsed_again() -> None:
    first = wanted({**GUEST, "owner": "ada@example.org", "open_to": ["b", "a"]})
    assert Wanted.parsed(first.plain()) == first


def test_the_same_wish_in_another_order_is_the_same_text() -> None:
    blog = {"name": "blog", "address": "10.64.1.3", "ssh_port": 40001}
    assert table.text(wanted(GUEST, blog)) == table.text(wanted(blog, GUEST))


def test_only_owners_and_those_let_in_are_paired() -> None:
    one = {"name": "one", "address": "10.64.1.2", "owner": "ada"}
    two = {"name": "two", "address": "10.64.1.3", "owner": "ada"}
    three = {"name": "three", "address": "10.64.1.4", "open_to": ["one", "gone"]}
    four = {"name": "four", "address": "10.64.1.5"}
    pairs = wanted(one, two, three, four).pairs("address")
    assert pairs == [("10.64.1.2", "10.64.1.3"), ("10.64.1.2", "10.64.1.4"), ("10.64.1.3", "10.64.1.2")]


def test_the_closest_wildcard_is_looked_at_first() -> None:
    maps = proxy.maps(wanted({**GUEST, "names": ["*.org", "*.shop.example.org", "*.example.org", "a.org"]}))
    assert list(maps["http-wildcards"]) == [".shop.example.org", ".example.org", ".org"]
    assert maps["https"] == {"a.org": "10.64.1.2|443"}
    assert proxy.parsed_map(proxy.map_text(maps["http"])) == maps["http"]


def test_places_are_the_minions_to_name(tmp_path: Path) -> None:
    places = Places.configured({"corpus.etc": str(tmp_path), "corpus.run": None})
    assert (places.table, places.run) == (tmp_path / "nftables.nft", Path("/run/corpus"))


def test_ports_are_what_the_containers_configuration_says(tmp_path: Path) -> None:
    guests = wanted(GUEST, *({"name": f"g{n}", "address": f"10.64.1.{n}"} for n in (3, 4, 5))).guests
    for name, text in (
        ("shop", "lxc.net.0.type = veth\nlxc.net.0.veth.pair = cgshop\nlxc.net.0.hwaddr = 02:AA:00:00:00:01\n"),
        ("g3", "lxc.net.0.hwaddr = 02:aa:00:00:00:01\n"),
        ("g4", 'lxc.net.0.veth.pair = x"y\nlxc.net.0.hwaddr = 02:aa:00:00:00:01\n'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config").write_text(text)
    found = ports.of(guests, tmp_path)
    assert [(port.guest.name, port.name, port.hardware) for port in found] == [("shop", "cgshop", "02:aa:00:00:00:01")]
    assert '"cgshop" . 10.64.1.2' in table.text(wanted(GUEST), found)
    name = ports.named(tmp_path, "shop")
    assert len(name) < 16
    assert name != ports.named(tmp_path / "other", "shop")
