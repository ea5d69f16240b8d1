"""Containers on a compute node, with real LXC, on each kind of pool."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from corpus.errors import CorpusError, UsageError
from corpus.node import containers, ids, snapshots, storage, transfer
from corpus.node.storage import Pool

from tests import sshd
from tests.lab.guest import root_file_system
from tests.machine import CHECKOUT, Machine, deadline, free_port, run

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="LXC's containers need root")]

MIB = 1 << 20


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="corpus-pool-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        # What makes it large and is not needed here: a directory pool copies it for each container.
        heavy = (
            "/opt/corpus",
            "/usr/lib/git-core",
            "libnode*",
            "/usr/lib/gcc",
            "/usr/libexec/gcc",
            "/usr/include",
            "*.a",
        )
        documents = ("/usr/share/locale", "/usr/share/man", "/usr/share/perl", "/usr/share/nodejs")
        services = ("/etc/systemd/system/multi-user.target.wants", "/etc/rc[2-5].d")
        without = [f"--exclude={path}" for path in (*heavy, *documents, *services)]
        subprocess.run(["rsync", "-aHAX", *without, f"{root_file_system()}/", f"{made}/base/"], check=True)
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
        made.import_image(folder / "base", "base", "1")
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
    init = psutil.Process(pid)
    monitor = init.ppid()
    os.kill(monitor, 9)
    for _ in deadline(20):
        if not Path(f"/proc/{monitor}").exists() and containers.Container(pool, name).state() == "STOPPED":
            break
    containers.start(pool, name)
    assert settled(pool, name) == "running"
    for _ in deadline(20):  # whoever adopted it collects it in its own time
        if not init.is_running():
            break


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


def test_snapshots_of_a_container_that_runs(pool: Pool, name: str) -> None:
    containers.create(pool, name, "base", bridge=None, size=3 << 30)
    containers.start(pool, name)
    settled(pool, name)
    out(pool, name, "sh", "-c", "echo one > /srv/version; rm /etc/motd /etc/issue; mkdir -p /usr/share/x")
    assert snapshots.take(pool, name, "first") == [f"snapshot first of {name}"]
    assert snapshots.take(pool, name, "first") == []
    assert containers.Container(pool, name).state() == "RUNNING"
    out(pool, name, "sh", "-c", "echo two > /srv/version; echo back > /etc/motd; rm -r /usr/share/x /usr/share/doc")
    snapshots.take(pool, name, "second")
    assert list(snapshots.listed(pool, name)) == containers.infos(pool, name)["snapshots"] == ["first", "second"]
    assert snapshots.restore(pool, name, "first") == [f"{name} is as it was in snapshot first"]
    assert settled(pool, name) == "running"
    found = "cat /srv/version; ls -d /usr/share/x /usr/share/doc; ls /etc/motd /etc/issue 2>/dev/null; true"
    assert out(pool, name, "sh", "-c", found) == "one\n/usr/share/doc\n/usr/share/x\n"
    if pool.driver.quota:
        assert containers.infos(pool, name)["limit"] == 3 << 30
    containers.stop(pool, name)
    snapshots.restore(pool, name, "second")
    assert containers.Container(pool, name).state() == "STOPPED"
    containers.start(pool, name)
    settled(pool, name)
    assert out(pool, name, "cat", "/srv/version", "/etc/motd") == "two\nback\n"
    assert containers.execute(pool, name, "ls /usr/share/doc")["retcode"] != 0
    assert snapshots.delete(pool, name, "first") == [f"snapshot first of {name} removed"]
    assert snapshots.delete(pool, name, "first") == []
    with pytest.raises(UsageError, match="one has no snapshot first: it has second"):
        snapshots.restore(pool, name, "first")
    containers.freeze(containers.Container(pool, name))  # as a snapshot leaves it that was killed
    assert containers.start(pool, name) == [f"{name} thawed"]


@pytest.fixture(scope="module")
def other(folder: Path) -> Iterator[Pool]:
    """The pool of another node, which has the image already."""
    path = folder / "other"
    made, _ = storage.initialize(path, "btrfs", 2 << 30, boot=False)
    assert made is not None
    made.import_image(folder / "base", "base", "1")
    yield made
    subprocess.run(["umount", str(path)], check=False)


@pytest.fixture(scope="module")
def door() -> Iterator[sshd.Door]:
    """A way in, as a controller makes it: a key for one time."""
    keys = Path("/root/.ssh/authorized_keys")
    with (
        tempfile.TemporaryDirectory(prefix="corpus-door-", dir="/var/tmp") as folder,
        sshd.opened(Path(folder) / "sshd") as made,
    ):
        line = (made.key.parent / "ada.pub").read_text()
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        with keys.open("a") as stream:
            stream.write(line)
        (made.key.parent / "known").write_text(made.host_key)
        try:
            yield made
        finally:
            keys.write_text(keys.read_text().replace(line, ""))


@pytest.mark.parametrize("many", [1, 2])
def test_no_link_leads_out_of_a_tree_that_is_sent(tmp_path: Path, many: int) -> None:
    """Whoever is root in a container may put a link where a folder was, while it is read."""
    layers = [tmp_path / f"layer{number}" for number in range(many)]
    for layer in (*layers, tmp_path / "at", tmp_path / "secrets"):
        layer.mkdir()
    (tmp_path / "secrets/key").write_text("s3cret")
    (layers[-1] / "folder").symlink_to(tmp_path / "secrets")
    at = tmp_path / "at"
    done = run([*transfer.beheld(layers, at), "cat", str(at / "folder/key")])
    assert done.status != 0
    assert "Too many levels of symbolic links" in done.said
    assert run([*transfer.beheld(layers, at), "readlink", str(at / "folder")]).output == f"{tmp_path}/secrets\n"
    assert run([*transfer.beheld(layers, at), "touch", str(at / "new")]).status != 0
    assert list(at.iterdir()) == []


def test_to_another_node(pool: Pool, name: str, other: Pool, door: sshd.Door) -> None:
    if pool.driver.name == "directory":  # which sends as btrfs does
        return
    way: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": door.port,
        "identity": str(door.key),
        "known_hosts": str(door.key.parent / "known"),
        "path": str(other.path),
    }
    containers.create(pool, name, "base", bridge=None, memory=300 * MIB)
    containers.start(pool, name)
    settled(pool, name)
    out(pool, name, "sh", "-c", "echo one > /srv/version; rm -r /usr/share/doc")
    try:
        with pytest.raises(CorpusError, match=r"The other node refused: .*"):
            transfer.send(pool, name, **{**way, "known_hosts": "/dev/null"})
        with pytest.raises(CorpusError, match="The other node refused: There is no pool at /nowhere on that node"):
            transfer.send(pool, name, **{**way, "path": "/nowhere"})
        assert transfer.send(pool, name, **way)["bytes"] < 100 * MIB  # the image is there already
        with pytest.raises(UsageError, match="No container one was sent here, or not to its end"):
            transfer.receive(other, name)
        out(pool, name, "sh", "-c", "echo two > /srv/version")
        with pytest.raises(CorpusError, match="one is running: stop it before the last round"):
            transfer.send(pool, name, final=True, **way)
        containers.stop(pool, name)
        assert transfer.send(pool, name, final=True, **way)["bytes"] < 10 * MIB
        assert containers.listed(other) == {}
        assert transfer.receive(other, name, memory=200 * MIB) == [f"{name} received"]
        assert transfer.receive(other, name, memory=200 * MIB) == []
        assert containers.infos(other, name)["memory"] == 200 * MIB
        with pytest.raises(CorpusError, match="There is a container one on that node"):
            transfer.send(pool, name, **way)
        containers.start(other, name)
        assert settled(other, name) == "running"
        assert out(other, name, "cat", "/srv/version") == "two\n"
        assert containers.execute(other, name, "ls /usr/share/doc")["retcode"] != 0
        containers.start(pool, name)  # nothing was taken from it
        assert settled(pool, name) == "running"
    finally:
        containers.destroy(other, name)
    assert list(other.half.iterdir()) == []


def test_states(pool: Pool, name: str, folder: Path) -> None:
    if pool.driver.name == "directory":
        return
    machine = Machine(folder / f"{pool.driver.name}-states", options={"corpus.pool": str(pool.path)})

    def apply(function: str, test: bool = False, **settings: Any) -> tuple[bool | None, bool]:
        ended = machine.ok("state.single", f"mc_lxc.{function}", name, test=test, **settings)
        (answer,) = ended.values()
        return answer["result"], bool(answer["changes"])

    wish: dict[str, Any] = {"image": "base", "bridge": None, "memory": 300 * MIB}
    assert apply("running", True, **wish) == (None, True)
    assert apply("running", **wish) == (True, True)
    assert apply("running", **wish) == (True, False)
    assert apply("present", **{**wish, "memory": 200 * MIB}) == (True, True)
    assert apply("stopped") == (True, True)
    assert apply("stopped") == (True, False)
    assert apply("absent", True) == (None, True)
    assert apply("absent") == (True, True)
    assert apply("absent") == (True, False)


@contextlib.contextmanager
def node(root: Path, pool: Pool) -> Iterator[None]:
    """A master, and a compute node that is its minion."""
    publish, answer = free_port(), free_port()
    ports = {"publish_port": publish, "auto_accept": True, "worker_threads": 2}
    common = json.loads((root / "etc/master").read_text())
    (root / "etc/master").write_text(json.dumps({**common, **ports, "interface": "127.0.0.1", "ret_port": answer}))
    settings = {"id": "node", "master": "127.0.0.1", "publish_port": publish, "master_port": answer}
    (root / "etc/minion").write_text(json.dumps({**common, **settings, "corpus.pool": str(pool.path)}))
    commands = [str(Path(sys.executable).parent / name) for name in ("salt-master", "salt-minion", "salt")]
    with contextlib.ExitStack() as stack:
        for command in commands[:2]:
            argv = [command, "-c", str(root / "etc"), "-l", "quiet"]
            daemon = stack.enter_context(
                subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            )
            stack.callback(daemon.terminate)
        for _ in deadline(120):
            if "True" in run([commands[2], "-c", str(root / "etc"), "-t", "3", "node", "test.ping"]).output:
                break
        yield


@pytest.mark.parametrize("where", ["here", "node"])
def test_salt_cloud(pool: Pool, name: str, folder: Path, where: str) -> None:
    """On this machine itself, where nothing answers on the bus and nobody needs it; and on a node that is a minion."""
    if pool.driver.name != "overlay":
        return
    root = folder / f"cloud-{where}"
    for part in ("etc", "root/pki"):
        (root / part).mkdir(parents=True)
    common = {"root_dir": str(root / "root"), "module_dirs": [str(CHECKOUT)], "enable_fqdns_grains": False}
    provider = {"driver": "mc_lxc", **({"node": "node"} if where == "node" else {"pool": str(pool.path)})}
    profile = {
        "provider": "one",
        "image": "base",
        "bridge": None,
        "memory": 300 * MIB,
        "minion": {"master": "10.9.9.9"},
    }
    written: dict[str, dict[str, Any]] = {
        "master": common,
        "minion": {**common, "id": "node", "file_client": "local"},
        "cloud": {"log_file": str(root / "root/cloud.log")},
        "cloud.providers": {"one": provider},
        "cloud.profiles": {"guest": profile},
    }
    for file, content in written.items():
        (root / "etc" / file).write_text(json.dumps(content))

    def cloud(*words: str) -> Any:
        program = str(Path(sys.executable).parent / "salt-cloud")
        ended = run([program, "-c", str(root / "etc"), "-y", "--out=json", *words])
        assert ended.status == 0, ended.said
        assert "Traceback" not in ended.said, ended.said
        return json.loads(ended.output)

    with node(root, pool) if where == "node" else contextlib.nullcontext():
        made = cloud("-p", "guest", name)
        assert made[name]["state"] == "running", made
        (key,) = root.rglob(f"minions/{name}")
        assert key.read_text() == containers.minion_key(pool, name)
        assert "10.9.9.9" in out(pool, name, "cat", "/etc/salt/minion")
        assert cloud("-Q")["one"]["mc_lxc"][name]["image"] == "base-1"
        assert cloud("-F")["one"]["mc_lxc"][name]["memory"] == 300 * MIB
        assert "already exists" in json.dumps(cloud("-p", "guest", name))
        assert "stopped" in json.dumps(cloud("-a", "stop", name))
        assert containers.listed(pool)[name]["state"] == "STOPPED"
        cloud("-a", "start", name)
        assert containers.listed(pool)[name]["state"] == "RUNNING"
        cloud("-d", name)
        assert containers.listed(pool) == {}
        assert not key.exists()
        assert "base-1" in cloud("--list-images", "one")["one"]["mc_lxc"]


@pytest.fixture
def root_ids() -> Iterator[None]:
    """Ids of unprivileged containers for root, where it has none yet."""
    before = {}
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        before[file] = file.read_text() if file.exists() else ""
        if "root:" not in before[file]:
            file.write_text(before[file] + "root:1000000000:65536\n")
    yield
    for file, text in before.items():
        file.write_text(text)


def test_the_root_of_an_unprivileged_container_is_nobody(pool: Pool, name: str, root_ids: None) -> None:
    if pool.driver.name == "overlay":
        with pytest.raises(UsageError, match="No unprivileged containers on an overlay pool"):
            containers.create(pool, name, "base", unprivileged=True)
        return
    containers.create(pool, name, "base", {"/etc/key": "s3cret"}, bridge=None, unprivileged=True, memory=300 * MIB)
    containers.start(pool, name)
    assert settled(pool, name) == "running"
    pid = containers.infos(pool, name)["pid"]
    assert Path(f"/proc/{pid}").stat().st_uid == ids.idmap()[0] > 0
    assert out(pool, name, "cat", "/etc/key") == "s3cret"
    out(pool, name, "sh", "-c", "echo x > /root/new")
    assert (pool.containers / name / "rootfs/root/new").stat().st_uid == 0  # not shifted on disk: clones stay cheap
    assert pool.hindrance() is None
    snapshots.take(pool, name, "first")
    out(pool, name, "rm", "/root/new")
    snapshots.restore(pool, name, "first")
    assert settled(pool, name) == "running"
    assert out(pool, name, "stat", "-c", "%U", "/root/new") == "root\n"


def test_what_is_roots_in_a_container_is_out_of_reach_for_the_users_of_the_host(
    pool: Pool, name: str, root_ids: None
) -> None:
    unprivileged = pool.driver.shifts
    containers.create(pool, name, "base", bridge=None, unprivileged=unprivileged)
    containers.start(pool, name)
    settled(pool, name)
    out(pool, name, "sh", "-c", "cp /bin/sh /srv/become; chmod 6755 /srv/become")
    program = pool.containers / name / "rootfs/srv/become"
    assert program.stat().st_mode & 0o6000 == 0o6000
    done = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", f"{program} -p -c id"])
    assert done.status != 0
    assert "Permission denied" in done.said
    if unprivileged:  # the pool's own group, which lets containers in, has nobody of the host
        assert pool.path.stat().st_gid == ids.idmap()[1]


_CALLS = """
import sys
from corpus.node import containers, snapshots, storage
pool = storage.Pool.open(sys.argv[1])
print("begins", flush=True)
if sys.argv[2] == "create":
    containers.create(pool, "one", "tiny", {"/etc/key": "s3cret"}, bridge=None, size=1 << 30)
elif sys.argv[2] == "destroy":
    containers.destroy(pool, "one")
elif sys.argv[2] == "snapshot":
    snapshots.take(pool, "one", "first")
else:
    snapshots.restore(pool, "one", "first")
"""


@pytest.mark.parametrize("call", ["create", "snapshot", "restore", "destroy"])
def test_killed_at_any_moment(pool: Pool, name: str, call: str) -> None:
    """kill -9 after longer and longer; the same call completes it, and destroy leaves nothing (the fixture looks)."""
    home = pool.containers / name / "rootfs"

    def prepare() -> None:
        containers.destroy(pool, name)
        if call != "create":
            containers.create(pool, name, "tiny", {"/etc/key": "s3cret"}, bridge=None, size=1 << 30)
            (home / "etc/version").write_text("one")
        if call == "restore":
            snapshots.take(pool, name, "first")
            (home / "etc/version").write_text("two")

    def complete() -> None:
        argv = [sys.executable, "-c", _CALLS, str(pool.path), call]
        done = run(argv, env={"PYTHONPATH": str(CHECKOUT / "_utils")})
        assert done.status == 0, done.said

    for step in range(12):
        prepare()
        argv = [sys.executable, "-c", _CALLS, str(pool.path), call]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "_utils")}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(step * 0.012)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if step % 2 and call != "destroy":  # nobody completes it
            continue
        complete()
        if call == "destroy":
            assert containers.listed(pool) == {}
            assert list(pool.half.iterdir()) == []
            continue
        assert (home / "etc/key").read_text() == "s3cret"
        if call == "restore":
            assert (home / "etc/version").read_text() == "one"
        if call == "snapshot":
            assert list(snapshots.listed(pool, name)) == ["first"]
