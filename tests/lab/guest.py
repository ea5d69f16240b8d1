"""A guest: a real LXC container with systemd, in which projects run. Used like :class:`tests.machine.Machine`.

The root file system is made once (mmdebstrap, and Salt for the guest's Python) and kept outside of the checkout, named by
a digest of its recipe; each guest is an overlay over it, thrown away in the end. The checkout is bound into it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.machine import CHECKOUT, IDENTITY, Ended, Machine, WorkTree, deadline, run

CACHE = Path(os.environ.get("CORPUS_LAB_CACHE", "/var/cache/corpus-lab"))
SUITE = "bookworm"
#: What guests have, what makes compute nodes of machines, and what makes controllers.
PACKAGES = (
    "systemd,systemd-sysv,dbus,iproute2,procps,python3,python3-venv,git,nginx-light,sudo,rsync,openssh-client,"
    "ca-certificates,nodejs,php-fpm,php-cli,"
    "openssh-server,lxc,haproxy,nftables,btrfs-progs,kmod,uidmap,zstd,curl,"
    "pdns-server,pdns-backend-sqlite3,bind9-dnsutils,sqlite3,mmdebstrap,slapd,ldap-utils,openssl,"
    "gcc,libldap-dev,libsasl2-dev,python3-dev"
)
PYTHON = "3.11"  # of that suite
_SEEN_AT = "/opt/checkout"
_SALT_CALL = """\
#!/opt/corpus/bin/python
import sys
from salt.scripts import salt_call
sys.exit(salt_call())
"""
_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.uts.name = guest
lxc.rootfs.path = overlay:{lower}:{upper}
lxc.mount.auto = cgroup:rw:force
lxc.mount.entry = {checkout} opt/checkout none bind,ro,create=dir 0 0
lxc.mount.entry = {people} {people_inside} none bind,create=dir 0 0
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.ipv4.address = {address}/24
lxc.net.0.ipv4.gateway = {gateway}
"""


def root_file_system() -> Path:
    """Return the root file system that machines lie over; made when it is not there or its recipe changed."""
    recipe = [
        SUITE,
        PACKAGES,
        PYTHON,
        _SALT_CALL,
        (CHECKOUT / "pyproject.toml").read_text().partition("[project.opt")[0],
    ]
    folder = CACHE / f"machine-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            for old in CACHE.glob("machine-*/"):
                shutil.rmtree(old, ignore_errors=True)
            half = CACHE / "machine-half"
            _make(half)
            half.rename(folder)
    return folder


def without(upper: Path, *services: str) -> None:
    """Let a machine not start services that its root file system has.

    :param upper: what the machine has over that
    """
    for name in services:
        hide(upper / f"etc/systemd/system/multi-user.target.wants/{name}.service")
        for level in (2, 3, 4, 5):
            hide(upper / f"etc/rc{level}.d/S01{name}")


def hide(path: Path) -> None:
    """Let overlayfs hide what a lower folder has at the same path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, 0o020000, os.makedev(0, 0))


def _make(root: Path) -> None:
    _done(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)], timeout=900)
    home = root / "opt/corpus"
    (home / "bin").mkdir(parents=True)
    (home / "bin/python").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    packages = home / f"lib/python{PYTHON}/site-packages"
    uv = str(Path(sys.executable).parent / "uv")
    words = [
        "--quiet",
        "--compile-bytecode",
        "--python-version",
        PYTHON,
        "--target",
        str(packages),
        "-r",
        str(CHECKOUT / "pyproject.toml"),
    ]
    _done([uv, "pip", "install", *words])
    (packages / "checkout.pth").write_text(f"{_SEEN_AT}/_utils\n")
    (home / "bin/salt-call").write_text(_SALT_CALL)
    (home / "bin/salt-call").chmod(0o755)
    (root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")


def _done(argv: list[str], timeout: float = 280) -> None:
    ended = run(argv, timeout=timeout)
    assert ended.status == 0, ended.said


class Guest(Machine):
    """A guest that runs. ``folder`` is on the host; what people work on in it is at the same path inside."""

    def __post_init__(self) -> None:
        number = os.getpid() % 250 + 2
        self.name = f"corpus-lab-{os.getpid()}"
        self.bridge = f"corpus{os.getpid() % 100000}"
        self.gateway, self.address = f"10.213.{number}.1", f"10.213.{number}.2"
        for name in ("people", "upper", self.name):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.configure()
        without(self.folder / "upper", "haproxy", "lxc", "lxc-net", "ssh", "pdns", "slapd")
        values = {
            "lower": root_file_system(),
            "upper": self.folder / "upper",
            "checkout": CHECKOUT,
            "people": self.folder / "people",
            "people_inside": str(self.folder / "people").lstrip("/"),
            "bridge": self.bridge,
            "address": self.address,
            "gateway": self.gateway,
        }
        (self.folder / self.name / "config").write_text(_CONFIG.format(**values))
        _done(["ip", "link", "add", self.bridge, "type", "bridge"])
        _done(["ip", "address", "add", f"{self.gateway}/24", "dev", self.bridge])
        _done(["ip", "link", "set", self.bridge, "up"])
        self.start()

    def configure(self, **options: Any) -> None:
        """Write the minion's configuration into the guest."""
        self.options.update(options)
        settings = {
            "id": "guest",
            "file_client": "local",
            "master_type": "disable",
            "module_dirs": [_SEEN_AT],
            "enable_fqdns_grains": False,
            **self.options,
        }
        folder = self.folder / "upper/etc/salt"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "minion").write_text(json.dumps(settings))
        etc = self.folder / "upper/etc"  # mmdebstrap took these over from the host
        (etc / "hostname").write_text("guest\n")
        (etc / "resolv.conf").write_text("")  # no name is asked for in vain
        (self.folder / "upper/srv/salt").mkdir(parents=True, exist_ok=True)
        (self.folder / "upper/srv/pillar").mkdir(parents=True, exist_ok=True)

    @property
    def projects(self) -> Path:
        """As the guest names it."""
        return Path("/srv/projects")

    def start(self) -> None:
        """Start the guest and wait until systemd has started everything."""
        log = self.folder / "lxc.log"
        _done(["lxc-start", "-P", str(self.folder), "-n", self.name, "-o", str(log), "-l", "INFO"])
        for _ in deadline(60):
            state = self.run("systemctl", "is-system-running", check=False).output.strip()
            if state in ("running", "degraded"):
                assert state == "running", self.run("systemctl", "--failed", check=False).output
                return

    def run(self, *argv: str, check: bool = True, env: Mapping[str, str] | None = None, user: str = "") -> Ended:
        """Run a program in the guest, as root."""
        variables = [f"--set-var={name}={value}" for name, value in (env or {}).items()]
        path = "--set-var=PATH=/opt/corpus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        words = ["lxc-attach", "-P", str(self.folder), "-n", self.name, "--clear-env", path, *variables, "--", *argv]
        ended = run(words)
        assert ended.status == 0 or not check, ended.said
        return ended

    def call(self, function: str, *arguments: str, out: str = "json", **keywords: Any) -> Ended:
        """Run ``salt-call`` in the guest."""
        words = ["salt-call", "--local", "--log-level=quiet", f"--out={out}", "--retcode-passthrough", function]
        return self.run(
            *words, *arguments, *(f"{key}={json.dumps(value)}" for key, value in keywords.items()), check=False
        )

    def fitting(self) -> dict[str, Any]:
        """Settings of one more project: it is served on a port of the guest's own, as a user of its own."""
        return {"http_port": 8000 + len(list((self.folder / "people").iterdir()))}

    def clone(self, name: str, folder: Path) -> "GuestTree":
        """A work tree of a person who works in the guest."""
        return GuestTree(self, name, folder)

    def shown(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        output = self.run("systemctl", "show", f"--property={','.join(properties)}", unit).output
        return dict(line.split("=", 1) for line in output.splitlines())

    def units(self, name: str) -> list[str]:
        """The names of the units of a project."""
        output = self.run("systemctl", "list-units", "--all", "--plain", "--no-legend", f"corpus-{name}-*").output
        return sorted(line.split()[0] for line in output.splitlines())

    def cut_power(self) -> None:
        """End everything in the guest at once, and start it again."""
        _done(["lxc-stop", "-P", str(self.folder), "-n", self.name, "--kill"])
        self.start()

    def stop(self) -> None:
        """Stop the guest and take its network away."""
        subprocess.run(
            ["lxc-stop", "-P", str(self.folder), "-n", self.name, "--kill"], check=False, capture_output=True
        )
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)


@dataclass(frozen=True)
class GuestTree(WorkTree):
    """A work tree whose git runs in the guest: a push goes from there to there, as the project's user, who has its name."""

    def git(self, *words: str, check: bool = True) -> Ended:
        assert isinstance(self.machine, Guest)
        safe = ("-c", "safe.directory=*")
        user = ("runuser", "-u", self.name, "--") if words[0] == "push" else ()
        return self.machine.run(*user, "git", *safe, "-C", str(self.folder), *words, check=check, env=IDENTITY)
