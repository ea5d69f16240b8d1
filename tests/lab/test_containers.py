"""Containers on a compute node, with real LXC, on each kind of pool."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.errors import CorpusError, UsageError
from corpus.node import containers, storage
from corpus.node.storage import Pool

from tests.lab.guest import root_file_system
from tests.machine import Machine, deadline

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="LXC's containers need root")]

MIB = 1 << 20


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="corpus-pool-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module", params=["btrfs", "overlay", "directory"])
def pool(request: pytest.FixtureRequest, folder: Path) -> Iterator[Pool]:
    """A pool with one image, as small as one can be that systemd starts."""
    if request.param == "btrfs" and not shutil.which("mkfs.btrfs"):
        pytest.skip("btrfs-progs is not installed")
    path = folder / request.param
    try:
        made, _ = storage.initialize(path, request.param, 3 << 30, boot=False)
        assert made is not None
        made.import_image(root_file_system(), "base", "1")
        (folder / "tiny/etc").mkdir(parents=True, exist_ok=True)
        made.import_image(folder / "tiny", "tiny", "1")
        yield made
    finally:
        for home in path.glob("containers/*"):
            words = ["lxc-stop", "-P", str(path / "containers"), "-n", home.name, "--kill"]
            subprocess.run(words, check=False, capture_output=True)
        if os.path.ismount(path):
            subprocess.run(["umount", str(path)], check=False)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def bridge() -> Iterator[str]:
    name = f"cl{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", f"10.214.{os.getpid() % 250}.1/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "delete", name], check=False)


@pytest.fixture
def name(pool: Pool) -> Iterator[str]:
    """A name for a container that is destroyed in the end."""
    yield "one"
    containers.destroy(pool, "one")
    assert [path.name for path in pool.half.iterdir()] == []
    assert not (pool.snapshots / "one").exists()
    assert list((pool.path / "locks").iterdir()) == []


def settled(pool: Pool, name: str) -> str:
    """Wait until systemd has started everything; return its word."""
    for _ in deadline(60):
        word = containers.execute(pool, name, "systemctl is-system-running")["stdout"].strip()
        if word in ("running", "degraded"):
            return word
    raise AssertionError


def out(pool: Pool, name: str, *argv: str) -> str:
    """What a program in a container prints; it must work."""
    done = containers.execute(pool, name, argv)
    assert done["retcode"] == 0, done
    return str(done["stdout"])


def test_from_create_to_destroy(pool: Pool, name: str, bridge: str) -> None:
    network = f"10.214.{os.getpid() % 250}"
    settings: dict[str, Any] = {
        "address": f"{network}.2/24",
        "gateway": f"{network}.1",
        "address6": "fd00:214::2/64",
        "bridge": bridge,
        "memory": 256 * MIB,
        "cpus": 0.5,
        "size": 2 << 30,
    }
    secret = {"/var/run/corpus/key": "s3cret", "/etc/motd": "hello"}
    assert containers.create(pool, name, "base", secret, **settings) == [f"container {name} from base-1"]
    assert containers.create(pool, name, "base", secret, **settings) == []
    with pytest.raises(UsageError, match=r"There is a container one already, with memory 268435456, not None"):
        containers.create(pool, name, "base", **{**settings, "memory": None})
    assert containers.listed(pool)[name]["state"] == "STOPPED"
    assert containers.start(pool, name) == [f"{name} started"]
    assert containers.start(pool, name) == []
    assert settled(pool, name) == "running"
    assert out(pool, name, "hostname") == f"{name}\n"
    assert out(pool, name, "stat", "-c", "%a %U", "/etc/motd") == "600 root\n"
    assert f"{network}.2/24" in out(pool, name, "ip", "address", "show", "eth0")
    assert "fd00:214::2/64" in out(pool, name, "ip", "address", "show", "eth0")
    assert f"default via {network}.1" in out(pool, name, "ip", "route")
    found = containers.infos(pool, name)
    assert (found["state"], found["image"], found["running"]) == ("RUNNING", "base-1", True)
    assert found["quota"] == (found["limit"] == 2 << 30) == (pool.driver.name == "btrfs")
    assert 0 < found["memory_used"] <= 256 * MIB
    assert found["pid"] > 1
    assert containers.listed(pool)[name]["state"] == "RUNNING"
    assert containers.restart(pool, name) == [f"{name} stopped", f"{name} started"]
    assert containers.stop(pool, name) == [f"{name} stopped"]
    assert containers.stop(pool, name) == []
    assert "lxc.start.auto = 0" in (pool.containers / name / "config").read_text()
    containers.start(pool, name)
    assert containers.destroy(pool, name) == [f"{name} removed"]
    assert containers.destroy(pool, name) == []
    assert containers.listed(pool) == {}
    assert containers.Container(pool, name).state() == "ABSENT"


def test_its_root_cannot_lift_the_limits(pool: Pool, name: str) -> None:
    containers.create(pool, name, "base", bridge=None, memory=100 * MIB, cpus=0.5)
    containers.start(pool, name)
    settled(pool, name)
    hoard = "x = bytearray(300 << 20); print(len(x))"
    lift = (
        "for f in $(find /sys/fs/cgroup -name memory.limit_in_bytes -o -name memory.max); do echo -1 > $f; done; true"
    )
    containers.execute(pool, name, ["sh", "-c", lift])
    assert containers.execute(pool, name, ["python3", "-c", hoard])["retcode"] != 0
    changes = containers.configure(pool, name, memory=600 * MIB, cpus=1)
    assert changes == {"memory": {"old": 100 * MIB, "new": 600 * MIB}, "cpus": {"old": 0.5, "new": 1}}
    assert containers.configure(pool, name, memory=600 * MIB, cpus=1) == {}
    assert out(pool, name, "python3", "-c", hoard) == f"{300 * MIB}\n"


def test_a_monitor_that_was_killed_keeps_nothing_from_starting(pool: Pool, name: str) -> None:
    containers.create(pool, name, "base", bridge=None)
    containers.start(pool, name)
    pid = containers.infos(pool, name)["pid"]
    monitor = int(Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0])
    os.kill(monitor, 9)
    for _ in deadline(20):
        if not Path(f"/proc/{monitor}").exists() and containers.Container(pool, name).state() == "STOPPED":
            break
    containers.start(pool, name)
    assert settled(pool, name) == "running"
    assert not Path(f"/proc/{pid}").exists()


def test_half_made_and_half_gone(pool: Pool, name: str) -> None:
    """What a kill leaves at each of its moments, the next call completes or removes."""
    half = pool.fresh(name)
    pool.driver.make(half, pool.image("tiny"))
    containers.create(pool, name, "tiny", bridge=None)
    assert not half.exists()
    os.rename(pool.containers / name, pool.half / f"{name}.gone")
    assert containers.destroy(pool, name) == [f"rest of {name} removed"]
    pool.driver.make(pool.fresh(name), pool.image("tiny"))
    assert containers.destroy(pool, name) == [f"rest of {name} removed"]
    (pool.containers / name).mkdir()
    containers.create(pool, name, "tiny", bridge=None)
    assert containers.destroy(pool, name) == [f"{name} removed"]


def test_what_it_stores_is_limited_on_btrfs_alone(pool: Pool, name: str) -> None:
    containers.create(pool, name, "base" if pool.driver.quota else "tiny", bridge=None, size=2 << 30)
    if not pool.driver.quota:
        with pytest.raises(CorpusError, match="cannot limit the size of containers: its driver is"):
            containers.resize(pool, name, 1 << 30)
        return
    used = containers.infos(pool, name)["used"]
    assert containers.resize(pool, name, used + 50 * MIB)["size"]["new"] == used + 50 * MIB
    containers.start(pool, name)
    settled(pool, name)
    write = ["dd", "if=/dev/urandom", "of=/root/big", "bs=1M", "count=100"]
    done = containers.execute(pool, name, write)
    assert "Disk quota exceeded" in done["stderr"]
    with pytest.raises(UsageError, match=f"cannot be trimmed to {used} bytes: it holds "):
        containers.resize(pool, name, used)
    containers.resize(pool, name, used + 200 * MIB)
    assert containers.execute(pool, name, write)["retcode"] == 0
    assert containers.resize(pool, name, used + 200 * MIB) == {}


def test_subvolumes_that_a_container_made_go_with_it(pool: Pool, name: str) -> None:
    if pool.driver.name != "btrfs":  # the others have none
        return
    containers.create(pool, name, "base", bridge=None)
    inner = pool.containers / name / "rootfs/srv/in\nner"
    for path in (inner, inner / "most"):
        subprocess.run(["btrfs", "subvolume", "create", str(path)], check=True, capture_output=True)
    subprocess.run(["btrfs", "property", "set", "-ts", str(inner / "most"), "ro", "true"], check=True)
    containers.destroy(pool, name)
    listed = subprocess.run(["btrfs", "subvolume", "list", str(pool.path)], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["images/base-1", "images/tiny-1"]


def test_images_are_not_changed_and_stay_while_they_are_needed(pool: Pool, name: str, tmp_path: Path) -> None:
    source = tmp_path / "root"
    (source / "etc").mkdir(parents=True)
    (source / "etc/motd").write_text("two")
    archive = tmp_path / "root.tar.gz"
    subprocess.run(["tar", "-C", str(source), "-czf", str(archive), "."], check=True)
    assert pool.import_image(archive, "tiny", "2")
    assert not pool.import_image(tmp_path / "nothing", "tiny", "2")
    assert (pool.images / "tiny-2/etc/motd").read_text() == "two"
    containers.create(pool, name, "tiny", bridge=None)
    assert containers.infos(pool, name)["image"] == "tiny-2"
    if pool.driver.name == "overlay":
        with pytest.raises(CorpusError, match="The image tiny-2 is in use by one"):
            pool.remove_image("tiny-2")
        containers.destroy(pool, name)
    assert pool.remove_image("tiny-2")
    assert not pool.remove_image("tiny-2")
    with pytest.raises(UsageError, match="The pool has no image other: it has base-1, tiny-1"):
        containers.create(pool, name, "other")


def test_by_salt(pool: Pool, name: str, folder: Path) -> None:
    """The door, through salt-call."""
    machine = Machine(folder / f"{pool.driver.name}-salt", options={"corpus.pool": str(pool.path)})
    created = machine.ok("mc_lxc.create", name, "base", bridge=None, files={"/etc/key": "s3cret"})
    assert created["changes"] == {"done": [f"container {name} from base-1"]}
    assert ("has no limit" in created["comment"]) == (pool.driver.name != "btrfs")
    assert machine.ok("mc_lxc.start", name)["result"] is True
    assert machine.ok("mc_lxc.execute", name, "cat /etc/key")["stdout"] == "s3cret"
    assert machine.ok("mc_lxc.list")[name]["state"] == "RUNNING"
    assert machine.ok("mc_lxc.pool")["images"] == machine.ok("mc_lxc.images") == ["base-1", "tiny-1"]
    assert "cannot name a container" in machine.refused("mc_lxc.create", "../x", "base")
    assert machine.ok("mc_lxc.destroy", name)["changes"] == {"done": [f"{name} removed"]}
    assert "s3cret" not in json.dumps(created)
