"""A cloud on one machine: a mastersalt on a bridge, bare machines beside it (LXC; systemd and sshd), PowerDNS, a mail sink.

The bare machines are overlays over one root file system that is made once (:mod:`tests.lab.guest`); it has the programs
of a compute node, so that nothing has to be downloaded while a test waits. Containers run in these containers, made from
the golden image (:mod:`tests.lab.images`). Everything is named by the process of the test.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Handler
from corpus.controller import bootstrap
from corpus.controller.dns import zones
from corpus.controller.dns.powerdns import Server
from corpus.controller.registry import models
from corpus.controller.registry.store import Registry
from sqlalchemy import select

from tests.lab import guest, images
from tests.machine import CHECKOUT, Ended, WarmSalt, deadline, free_port, run

ZONE = "corpus.test"
_BIN = Path(sys.executable).parent
_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.cap.drop =
lxc.cgroup.devices.allow = a
lxc.uts.name = {hostname}
lxc.rootfs.path = overlay:{lower}:{upper}
lxc.mount.auto = cgroup:rw:force
lxc.mount.entry = {disk} srv none bind,create=dir 0 0
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.ipv4.address = {address}/24
lxc.net.0.ipv4.gateway = {gateway}
lxc.net.0.ipv6.address = {address6}/64
lxc.net.0.ipv6.gateway = {gateway6}
"""
# Where the kernel has cpu and cpuacct apart, systemd joins them, and containers in containers would not start.
_CGROUPS = """\
#!/bin/sh
set -e
[ -d /sys/fs/cgroup/cpu,cpuacct ] || exit 0
mountpoint -q /sys/fs/cgroup/cpuacct && exit 0
mount -o remount,rw /sys/fs/cgroup
cd /sys/fs/cgroup
rm -f cpu cpuacct
mountpoint -q cpu,cpuacct && umount cpu,cpuacct
rmdir cpu,cpuacct
for name in cpu cpuacct; do mkdir -p $name; mount -t cgroup -o $name cgroup $name; done
"""
_CGROUPS_UNIT = """\
[Unit]
Description=Mount the cgroup controllers as the kernel has them
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/lab-cgroups
"""


def _done(*argv: object, timeout: float = 280) -> Ended:
    ended = run([str(word) for word in argv], timeout=timeout)
    assert ended.status == 0, ended.said
    return ended


@dataclass
class BareMachine:
    """A machine that runs sshd and knows nothing of corpus.

    :param folder: on the host; has the machine's changes and its disk
    :param public: the public key that its root accepts
    :param salt: whether it has Salt
    :param checkout: whether it sees the checkout at ``/opt/checkout``
    :param container: its name for LXC
    :param controller: whether it has a name server and a directory that run
    """

    hostname: str
    folder: Path
    bridge: str
    address: str
    address6: str
    gateway: str
    gateway6: str
    public: str
    salt: bool = False
    checkout: bool = False
    container: str = ""
    controller: bool = False

    def __post_init__(self) -> None:
        self.container = self.container or f"{self.hostname}-{os.getpid()}"

    def start(self) -> None:
        """Start it, and wait until systemd has started everything."""
        upper, disk = self.folder / "upper", self.folder / "disk"
        if not upper.exists():
            self._prepare(upper, disk)
        log = self.folder / "lxc.log"
        _done("lxc-start", "-P", self.folder, "-n", self.container, "-o", log, "-l", "INFO")
        for _ in deadline(60):
            state = self.run("systemctl", "is-system-running", check=False).output.strip()
            if state in ("running", "degraded"):
                assert state == "running", self.run("systemctl", "--failed", check=False).output
                return

    def _prepare(self, upper: Path, disk: Path) -> None:
        lower = guest.root_file_system()
        files = {
            "etc/hostname": f"{self.hostname}\n",
            "etc/hosts": f"127.0.0.1 localhost\n{self.address} {self.hostname}\n",
            "etc/resolv.conf": "",
            "etc/machine-id": "",
            "root/.ssh/authorized_keys": self.public,
            "usr/local/sbin/lab-cgroups": _CGROUPS,
            "etc/systemd/system/lab-cgroups.service": _CGROUPS_UNIT,
        }
        disk.mkdir(parents=True)
        for name, text in files.items():
            path = upper / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (upper / "usr/local/sbin/lab-cgroups").chmod(0o755)
        for name in ("root", "root/.ssh"):
            (upper / name).chmod(0o700)
        wants = upper / "etc/systemd/system/sysinit.target.wants"
        wants.mkdir()
        (wants / "lab-cgroups.service").symlink_to("/etc/systemd/system/lab-cgroups.service")
        # A bare machine serves nothing, and waits for no bridge of LXC's, which it does not have.
        others = () if self.controller else ("pdns", "slapd")
        guest.without(upper, "haproxy", "nginx", "lxc", "lxc-net", *others)
        if not self.salt:
            guest.hide(upper / "opt/corpus")
        (upper / "etc/ssh").mkdir()
        for kind in ("ecdsa", "ed25519", "rsa"):
            path = upper / f"etc/ssh/ssh_host_{kind}_key"
            if kind == "ed25519":
                _done("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"root@{self.hostname}", "-f", path)
            else:  # the image's own would be the same everywhere
                guest.hide(path)
        (self.folder / self.container).mkdir()
        values = {
            "hostname": self.hostname,
            "lower": lower,
            "upper": upper,
            "disk": disk,
            "bridge": self.bridge,
            "address": self.address,
            "address6": self.address6,
            "gateway": self.gateway,
            "gateway6": self.gateway6,
        }
        loops = "".join(
            f"lxc.mount.entry = /dev/{name} dev/{name} none bind,create=file 0 0\n" for name in _loop_devices()
        )
        seen = f"lxc.mount.entry = {CHECKOUT} opt/checkout none bind,ro,create=dir 0 0\n" if self.checkout else ""
        (self.folder / self.container / "config").write_text(_CONFIG.format(**values) + loops + seen)

    def run(self, *argv: str, check: bool = True) -> Ended:
        """Run a program on it, as root, from outside."""
        path = "--set-var=PATH=/opt/corpus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        ended = run(["lxc-attach", "-P", str(self.folder), "-n", self.container, "--clear-env", path, "--", *argv])
        assert ended.status == 0 or not check, ended.said
        return ended

    def remains(self, name: str) -> str:
        """What it still has of a guest."""
        script = (
            f"ls -d /srv/corpus/pool/containers/{name} /srv/corpus/pool/half/{name}* /srv/corpus/pool/snapshots/{name}"
            f" /run/corpus/seeds/{name}.json 2>/dev/null;"
            f" grep -rlw {name} /etc/haproxy /etc/corpus /var/lib/corpus 2>/dev/null;"
            f" lxc-ls -P /srv/corpus/pool/containers -1 | grep -x {name}; true"
        )
        return self.run("sh", "-c", script).output

    def cut_power(self) -> None:
        """End everything on it at once, and start it again."""
        self.stop()
        self.start()

    def stop(self) -> None:
        subprocess.run(
            ["lxc-stop", "-P", str(self.folder), "-n", self.container, "--kill"], check=False, capture_output=True
        )


def _loop_devices(many: int = 32) -> list[str]:
    for number in range(many):
        path = Path(f"/dev/loop{number}")
        if not path.exists():
            os.mknod(path, 0o060660, os.makedev(7, number))
    return ["loop-control", *(f"loop{number}" for number in range(many))]


class Mails(Handler):
    """What was sent, newest last."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.received.append(message)


@dataclass
class Cloud:
    """A cloud that runs: its controller is the host of the tests."""

    folder: Path
    network: str
    """The first three numbers of its addresses."""
    machines: list[BareMachine]
    mails: Mails
    dns_port: int

    @property
    def address(self) -> str:
        """The controller's."""
        return f"{self.network}.1"

    @property
    def key(self) -> Path:
        """The private key that the bare machines accept."""
        return self.folder / "operator"

    @property
    def public(self) -> str:
        """The public one."""
        return self.key.with_suffix(".pub").read_text().strip()

    @property
    def conf(self) -> Path:
        return self.folder / "etc"

    def argv(self, function: str, *arguments: str, **keywords: Any) -> list[str]:
        words = [str(_BIN / "salt-run"), "-c", str(self.conf), "--log-level=error", "--out=json", function]
        return [*words, *arguments, *(f"{key}={json.dumps(value)}" for key, value in keywords.items())]

    def run(self, function: str, *arguments: str, **keywords: Any) -> Ended:
        """``salt-run``, as an administrator would."""
        return WarmSalt.shared().run(self.argv(function, *arguments, **keywords))

    def ok(self, function: str, *arguments: str, **keywords: Any) -> Any:
        """``salt-run``; its answer. It must have worked."""
        ended = self.run(function, *arguments, **keywords)
        assert ended.status == 0, ended.said
        answer = json.loads(ended.output)
        assert not (isinstance(answer, dict) and answer.get("result") is False), ended.said
        return answer

    def refused(self, function: str, *arguments: str, **keywords: Any) -> str:
        """``salt-run``; its complaint. It must have failed, with words for a person."""
        ended = self.run(function, *arguments, **keywords)
        assert "Traceback" not in ended.said, ended.said
        if ended.status:
            return ended.said.strip()
        answer = json.loads(ended.output)
        assert answer["result"] is False, ended.said
        return str(answer["comment"])

    def begin(self, function: str, *arguments: str, **keywords: Any) -> "subprocess.Popen[str]":
        """Start ``salt-run`` and do not wait for it."""
        return subprocess.Popen(
            self.argv(function, *arguments, **keywords),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed_in(self, step: str, function: str, *arguments: str, **keywords: Any) -> None:
        """Start an operation and kill its runner (kill -9) in the middle of a step; one that was over before is left."""
        registry = self.registry()
        with registry.reading() as session:
            known = session.scalars(select(models.Operation.id)).all()
        process = self.begin(function, *arguments, **keywords)
        wanted = select(models.Step.state).join(models.Operation).where(models.Step.name == step)
        wanted = wanted.where(models.Operation.id.not_in(known))
        for _ in deadline(120, 0.02):
            with registry.reading() as session:
                states = session.scalars(wanted).all()
            if states and states[0] not in ("planned", "skipped"):
                break
            assert process.poll() is None, process.communicate()
        time.sleep(0.1)  # in the middle of it
        process.kill()
        process.communicate()
        registry.close()

    def salt(self, minion: str, function: str, *arguments: str) -> Ended:
        """``salt``, as an administrator would."""
        words = [str(_BIN / "salt"), "-c", str(self.conf), "--out=json", minion, function, *arguments]
        return WarmSalt.shared().run(words)

    def bring_images(self) -> None:
        """Lay the golden image where the controller would build it: asked for one, it finds that."""
        built, folder = images.image(), self.folder / "home/images"
        folder.mkdir(exist_ok=True)
        for path in built.folder.glob(f"{built.full_name}.*"):
            _link(path, folder / path.name)

    def registry(self) -> Registry:
        """The controller's registry."""
        home = self.folder / "home"
        return Registry(f"sqlite:///{home}/registry.sqlite3", home / "secrets.key")

    def minions(self) -> list[str]:
        """The ids of the accepted keys."""
        return sorted(path.name for path in (self.folder / "root/etc/salt/pki/master/minions").iterdir())

    def resolved(self, name: str, kind: str = "A") -> list[str]:
        """What the name server answers."""
        words = ["dig", "+short", "+tries=1", "@127.0.0.1", "-p", str(self.dns_port), name, kind]
        return sorted(run(words).output.split())

    def node(self, machine: BareMachine, function: str = "mc_compute_node.init") -> dict[str, Any]:
        """Let a bare machine become a compute node; the report."""
        return dict(self.ok(function, machine.address, "staging", **self._identity(machine)))

    def nodes(self) -> None:
        """Let all machines become compute nodes, at the same time."""
        asked = [
            self.begin("mc_compute_node.init", machine.address, "staging", **self._identity(machine))
            for machine in self.machines
        ]
        for process in asked:
            out, err = process.communicate(timeout=280)
            assert process.returncode == 0, out + err

    def _identity(self, machine: BareMachine) -> dict[str, Any]:
        return {"name": machine.hostname, "identity": str(self.key), "address6": machine.address6}

    def guest(self, name: str, node: str = "node1", **settings: Any) -> dict[str, Any]:
        """Create a guest that the operator's key is let into; the report."""
        return dict(self.ok("mc_guest.create", node, name, size="2G", keys=[self.public], **settings))

    def ssh_options(self) -> list[str]:
        """For who has the operator's key, and believes the controller what the keys of hosts are."""
        known = self.folder / "home/ssh/known_hosts"
        settings = ("IdentitiesOnly=yes", f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes")
        return ["-F", "none", "-i", str(self.key), *(word for one in settings for word in ("-o", one))]

    def page(self, name: str, path: str = "/") -> tuple[int, str]:
        """GET a page by its name: status 0 when the name or the page is not there."""
        addresses = self.resolved(name)
        if not addresses:
            return 0, f"{name} has no address"
        words = ["--silent", "--show-error", "--max-time", "10", "--write-out", "\\n%{http_code}"]
        ended = run(["curl", *words, "--resolve", f"{name}:80:{addresses[0]}", f"http://{name}{path}"])
        text, _, status = ended.output.rpartition("\n")
        return int(status or 0), text or ended.errors


@contextmanager
def ready(machines: int = 2) -> Iterator[Cloud]:
    """A cloud while the block runs, whose machines are compute nodes that have the golden image."""
    with running(machines) as made:
        made.ok("mc_compute_node.image_build")
        made.nodes()
        yield made


@contextmanager
def running(machines: int = 2) -> Iterator[Cloud]:
    """A cloud while the block runs: nothing is initialized yet, and the golden image is at hand.

    :param machines: how many bare ones
    """
    folder = Path(tempfile.mkdtemp(prefix="cc-", dir="/var/tmp"))  # short: sockets lie below it; and no overlay
    folder.chmod(0o755)
    try:
        with _running(folder, machines) as made:
            made.bring_images()
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path, machines: int) -> Iterator[Cloud]:
    number = os.getpid() % 250 + 2
    network, network6 = f"10.212.{number}", f"fd00:212:{number:x}:"
    bridge = f"cloud{os.getpid() % 1000000}"
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["ip", "link", "delete", bridge], check=False, capture_output=True)
        _done("ip", "link", "add", bridge, "type", "bridge")
        _done("ip", "address", "add", f"{network}.1/24", "dev", bridge)
        _done("ip", "address", "add", f"{network6}:1/64", "dev", bridge, "nodad")
        _done("ip", "link", "set", bridge, "up")
        _done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", folder / "operator")
        public = (folder / "operator.pub").read_text()
        bare = [
            BareMachine(
                f"node{n}",
                folder / f"node{n}",
                bridge,
                f"{network}.{10 + n}",
                f"{network6}:{10 + n}",
                f"{network}.1",
                f"{network6}:1",
                public,
            )
            for n in range(1, machines + 1)
        ]
        for machine in bare:
            stack.callback(machine.stop)
        starts = [threading.Thread(target=machine.start) for machine in bare]
        for thread in starts:
            thread.start()
        mails, mail_port = Mails(), free_port()
        sink = Controller(mails, hostname="127.0.0.1", port=mail_port)
        sink.start()
        stack.callback(sink.stop)
        wish = bootstrap.Wish(
            {
                "home": str(folder / "home"),
                "zone": ZONE,
                "master_address": f"{network}.1",
                "mail": {
                    "host": "127.0.0.1",
                    "port": mail_port,
                    "sender": "corpus@example.org",
                    "sysadmins": ["ops@example.org"],
                },
            },
            dns_addresses=("127.0.0.1",),
            dns_port=free_port(),
            dns_api_port=free_port(),
            dns_folder=folder / "powerdns",
            dns_home=folder / "pdns",
            dns_user="",
            interface=f"{network}.1",
            root=folder / "root",
            configuration=folder / "etc",
            systemd=False,
        )
        stack.enter_context(_controller(wish, folder))
        cloud = Cloud(folder, network, bare, mails, wish.dns_port)
        for thread in starts:
            thread.join()
        for machine in bare:
            machine.run("true")
        settings = wish.read()
        assert settings.dns is not None
        name_server = Server(settings.dns.url, settings.dns.api_key_file)
        for zone in (f"{network}.0/24", f"{network6}:/64"):
            zones.create(name_server, zone, [f"ns1.{ZONE}"])
        yield cloud


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)


@contextmanager
def _controller(wish: bootstrap.Wish, folder: Path) -> Iterator[None]:
    """This machine as the controller: what no systemd starts here runs as children of ours."""
    for path in (wish.root, wish.dns_home):
        path.mkdir()
    made = bootstrap.controller(wish)
    assert made["result"], made
    with ExitStack() as stack, (folder / "controller.log").open("w") as log:
        for line in made["start"]:
            words = [word.replace("=yes", "=no") for word in line.split() if word != "-d"]
            stack.enter_context(_child(words, log))
        for _ in deadline(60, 0.5):
            again = bootstrap.controller(wish)
            assert again["result"], again
            if "waits" not in str(again["changes"].get("zone")):
                break
        for _ in deadline(60, 0.2):
            if run(["ss", "-Hltn", f"src {wish.interface}:{wish.return_port}"]).output.strip():
                break
        yield


@contextmanager
def _child(words: list[str], log: IO[str]) -> Iterator[None]:
    """A daemon in the foreground, with its children in a group of their own."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)
