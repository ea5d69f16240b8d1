"""The golden image that lab tests share, and guests of it that plain LXC runs; beside them a real master.

The image is built once for each state of the pack, below ``CORPUS_LAB_CACHE``.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus.controller import access, images, preseed
from corpus.controller.settings import Settings

from tests.lab.guest import CACHE
from tests.machine import CHECKOUT, Ended, deadline, free_port, run

HOME = CACHE / "controller"
_BIN = Path(sys.executable).parent
_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.uts.name = {name}
lxc.rootfs.path = overlay:{lower}:{upper}
lxc.mount.auto = cgroup:rw:force
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.ipv4.address = {address}/24
lxc.net.0.ipv4.gateway = {gateway}
"""


def image() -> images.Image:
    """Return the image of this pack; built when there is none, and older ones removed."""
    HOME.mkdir(parents=True, exist_ok=True)
    settings = Settings(home=HOME)
    built = images.build(settings)
    images.prune(settings, built.name, keep=2)
    return built


def unpacked() -> Path:
    """Return the image's root file system as a folder; unpacked once."""
    built = image()
    folder = CACHE / f"image-{built.version}"
    with (CACHE / "image.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            for old in CACHE.glob("image-*/"):
                shutil.rmtree(old, ignore_errors=True)
            half = CACHE / "image-half"
            half.mkdir()
            _done(
                "tar",
                "--extract",
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                f"--file={built.archive}",
                "-C",
                half,
            )
            half.rename(folder)
    return folder


def _done(*argv: object, timeout: float = 280) -> Ended:
    ended = run([str(word) for word in argv], timeout=timeout)
    assert ended.status == 0, ended.said
    return ended


@dataclass
class Container:
    """A container of the image."""

    site: "Site"
    name: str
    address: str

    @property
    def folder(self) -> Path:
        return self.site.folder / self.name

    def target(self, *host_keys: str) -> access.Target:
        """How it is reached by ssh, with the site's key; with no keys of its own, we ask it for them."""
        known = access.KnownHosts(self.site.folder / "known_hosts")
        if host_keys:
            known.learn(self.address, 22, *host_keys)
        else:
            known.meet(self.address)
        return access.Target(self.address, self.site.folder / "operator", known.path)

    def start(self, files: Mapping[str, str]) -> None:
        """Start it with these files in it, and do not wait."""
        upper = self.folder / "upper"
        written = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1 localhost {self.name}\n",
            **files,
        }
        for path, text in written.items():
            target = upper / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(0o600)
            target.write_text(text)
        for path in ("/etc/hostname", "/etc/hosts"):
            (upper / path.lstrip("/")).chmod(0o644)
        (self.folder / self.name).mkdir()
        (self.folder / self.name / "config").write_text(
            _CONFIG.format(
                name=self.name,
                lower=unpacked(),
                upper=upper,
                bridge=self.site.bridge,
                address=self.address,
                gateway=self.site.gateway,
            )
        )
        _done("lxc-start", "-P", self.folder, "-n", self.name, "-o", self.folder / "log", "-l", "INFO")

    def run(self, *argv: str) -> Ended:
        """Run a program in it, as root."""
        path = "--set-var=PATH=/opt/corpus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return run(["lxc-attach", "-P", str(self.folder), "-n", self.name, "--clear-env", path, "--", *argv])

    def settled(self) -> str:
        """Wait until systemd has started everything; its verdict, and the units that failed."""
        for _ in deadline(60):
            state = self.run("systemctl", "is-system-running").output.strip()
            if state in ("running", "degraded"):
                break
        return state if state == "running" else state + self.run("systemctl", "--failed", "--plain").output

    def stop(self) -> None:
        subprocess.run(
            ["lxc-stop", "-P", str(self.folder), "-n", self.name, "--kill"], check=False, capture_output=True
        )


@dataclass
class Site:
    """A bridge with a master on it."""

    folder: Path
    bridge: str
    network: str
    opts: dict[str, Any] = field(default_factory=dict)
    containers: list[Container] = field(default_factory=list)

    @property
    def gateway(self) -> str:
        return f"{self.network}.1"

    @property
    def master(self) -> preseed.Master:
        return preseed.Master.of(self.opts, self.gateway)

    def container(self, name: str) -> Container:
        """One more; it is stopped in the end."""
        self.containers.append(Container(self, name, f"{self.network}.{10 + len(self.containers)}"))
        return self.containers[-1]

    @contextmanager
    def heard(self, minion: str, seconds: float = 60) -> Iterator[None]:
        """Do the block, then wait until a minion says that it started."""
        import salt.utils.event

        with salt.utils.event.get_event("master", opts=dict(self.opts), listen=True) as bus:
            yield
            assert bus.get_event(wait=seconds, tag=f"salt/minion/{minion}/start"), f"{minion} did not start"

    def answer(self, minion: str, function: str, *arguments: str, seconds: float = 60) -> Any:
        """What a minion answers, once it does."""
        words = [str(_BIN / "salt"), "-c", str(self.folder / "etc"), "--out=json", "--static", "--log-level=quiet"]
        patience = f"--timeout={int(seconds) if arguments else 2}"
        for _ in deadline(seconds):
            said = run([*words, patience, minion, function, *arguments], timeout=seconds + 60).output
            answers = json.loads(said) if said.startswith("{") and "Minion did not return" not in said else {}
            if minion in answers:
                return answers[minion]
        return None


@contextmanager
def site() -> Iterator[Site]:
    """A master on a bridge of its own while the block runs."""
    number = os.getpid() % 250 + 2
    with tempfile.TemporaryDirectory(prefix="image-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        made = Site(Path(name), f"image{os.getpid() % 100000}", f"10.214.{number}")
        made.folder.chmod(0o755)
        access.kept_key(made.folder / "operator")
        try:
            _done("ip", "link", "add", made.bridge, "type", "bridge")
            _done("ip", "address", "add", f"{made.gateway}/24", "dev", made.bridge)
            _done("ip", "link", "set", made.bridge, "up")
            with _master(made):
                yield made
        finally:
            for container in made.containers:
                container.stop()
            subprocess.run(["ip", "link", "delete", made.bridge], check=False, capture_output=True)


@contextmanager
def _master(made: Site) -> Iterator[None]:
    import salt.config

    settings = {
        "user": "root",
        "interface": made.gateway,
        "publish_port": free_port(),
        "ret_port": free_port(),
        "root_dir": str(made.folder / "master"),
        "worker_threads": 2,
        "file_roots": {"base": [str(CHECKOUT / "salt")]},
        "enable_fqdns_grains": False,
    }
    (made.folder / "etc").mkdir()
    (made.folder / "master").mkdir()
    (made.folder / "etc/master").write_text(json.dumps(settings))
    made.opts = salt.config.client_config(str(made.folder / "etc/master"))
    with (made.folder / "log").open("w") as log:
        words = [str(_BIN / "salt-master"), "-c", str(made.folder / "etc"), "--log-level=warning"]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            port = f"</dev/tcp/{made.gateway}/{settings['ret_port']}"
            for _ in deadline(60):
                assert process.poll() is None, (made.folder / "log").read_text()
                if (Path(made.opts["pki_dir"]) / "master.pub").exists() and run(["bash", "-c", port]).status == 0:
                    break
            yield
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
