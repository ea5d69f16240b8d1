"""What a machine is found to lack to be a compute node."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus.errors import UsageError
from corpus.node import inventory
from corpus.node.inventory import GIB
from corpus.node.traffic.places import Places


@pytest.fixture
def good() -> dict[str, Any]:
    """The facts of a machine that lacks nothing."""
    return {
        "system": {"id": "debian", "version": "12", "like": "", "name": "Debian GNU/Linux 12 (bookworm)"},
        "init": "systemd",
        "memory": {"total": 4 * GIB},
        "storage": {"path": "/srv", "free": 100 * GIB},
        "namespaces": ["mnt", "uts", "ipc", "pid", "net", "cgroup", "user"],
        "features": {
            "overlayfs": True,
            "btrfs": True,
            "bridge filter": True,
            "nftables": True,
            "user namespaces": True,
        },
        "ipv6": True,
        "programs": {name: f"/usr/bin/{name}" for name in (*inventory.PROGRAMS, *inventory.GUEST_TYPES["lxc"])},
        "ports": {"80": "", "443": "proxy"},
    }


def test_a_machine_that_lacks_nothing(good: dict[str, Any]) -> None:
    assert {found.result for found in inventory.check(good)} == {True}


@pytest.mark.parametrize(
    ("key", "value", "result", "word"),
    [
        ("system", {"id": "debian", "version": "11", "like": "", "name": "Debian 11"}, False, "too old"),
        ("system", {"id": "debian", "version": "", "like": "", "name": "Debian sid"}, None, "version"),
        ("system", {"id": "ubuntu", "version": "20.04", "like": "debian", "name": "Ubuntu 20.04"}, False, "too old"),
        ("system", {"id": "ubuntu", "version": "24.04", "like": "debian", "name": "Ubuntu 24.04"}, True, "24.04"),
        ("system", {"id": "raspbian", "version": "12", "like": "debian", "name": "Raspbian"}, None, "like Debian"),
        ("system", {"id": "fedora", "version": "40", "like": "", "name": "Fedora"}, False, "not Debian"),
        ("init", "runit", False, "not systemd"),
        ("memory", {"total": GIB}, None, "tight"),
        ("memory", {"total": GIB // 4}, False, "at least 0.5 GiB"),
        ("storage", {"path": "/srv", "free": GIB}, False, "at least 2 GiB"),
        ("namespaces", ["mnt", "net"], False, "cgroup, ipc, pid, user, uts"),
        ("features", {"bridge filter": False}, False, "br_netfilter"),
        ("features", {"nftables": None}, None, "unknown until"),
        ("features", {"btrfs": False}, None, "cannot be limited"),
        ("ipv6", False, None, "IPv4 alone"),
        ("ports", {"80": "another"}, False, "another program"),
    ],
)
def test_what_is_lacking_is_told(good: dict[str, Any], key: str, value: Any, result: bool | None, word: str) -> None:
    found = inventory.check({**good, key: value})
    assert [one.result for one in found if word in one.comment] == [result]


def test_programs_depend_on_the_types_of_guests_and_are_installed_later(good: dict[str, Any]) -> None:
    programs = {**good["programs"], "lxc-start": "", "nft": ""}
    lacking = [found for found in inventory.check({**good, "programs": programs}) if not found.result]
    assert [(found.subject, found.result) for found in lacking] == [("nft", None), ("lxc-start", None)]
    lacking = [found for found in inventory.check({**good, "programs": programs}, []) if not found.result]
    assert [found.subject for found in lacking] == ["nft"]
    with pytest.raises(UsageError, match="no guest type 'jail'"):
        inventory.check(good, ["jail"])


def test_bad_findings_come_first(good: dict[str, Any]) -> None:
    found = inventory.findings({**good, "init": "runit", "ipv6": False}, ["lxc"])
    assert [one["subject"] for one in found[:3]] == ["init", "IPv6", "system"]


def test_this_machine_is_counted(tmp_path: Path) -> None:
    facts = inventory.inventory(Places(run=tmp_path, pool=tmp_path / "no/such/pool"))
    assert facts["storage"]["path"] == str(tmp_path)
    assert facts["memory"]["total"] > facts["memory"]["available"] > 0
    assert json.loads(json.dumps(facts)) == facts
    assert inventory.check(facts)


def test_a_pool_gets_most_of_the_free_disk_once(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    size = inventory.pool_size(pool)
    assert size is None or size % GIB == 0
    (tmp_path / "pool.btrfs").touch()
    assert inventory.pool_size(pool) is None
