"""A machine with systemd becomes the controller: a container over this machine's own root file system."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import CHECKOUT, Ended, deadline, run
from tests.powerdns import MISSING

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="LXC needs root"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]
_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.uts.name = controller
lxc.rootfs.path = overlay:/:{upper}
lxc.init.cmd = /lib/systemd/systemd --unit=basic.target
lxc.mount.auto = cgroup:rw:force
lxc.mount.entry = {checkout} {inside} none bind,ro,create=dir 0 0
lxc.mount.entry = tmpfs run tmpfs rw,create=dir 0 0
lxc.net.0.type = empty
lxc.net.0.flags = up
"""
#: What this machine has of its own must not be seen
_EMPTY = ("etc/salt", "etc/powerdns/pdns.d", "srv", "var/lib/powerdns", "var/cache/salt", "var/log/salt")


class Machine:
    """A container that starts no service but those that it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"controller-{os.getpid()}"

    def start(self) -> None:
        upper = self.folder / "upper"
        for path in _EMPTY:
            (upper / path).mkdir(parents=True)
            os.setxattr(upper / path, "trusted.overlay.opaque", b"y")
        (self.folder / self.name).mkdir()
        text = _CONFIG.format(upper=upper, checkout=CHECKOUT, inside=str(CHECKOUT).lstrip("/"))
        (self.folder / self.name / "config").write_text(text)
        log = self.folder / "lxc.log"
        started = run(["lxc-start", "-P", str(self.folder), "-n", self.name, "-o", str(log), "-l", "INFO"])
        assert started.status == 0, log.read_text()
        for _ in deadline(120):
            if self.run("systemctl", "is-active", "basic.target").output.strip() == "active":
                return

    def run(self, *argv: str) -> Ended:
        path = (
            f"--set-var=PATH={Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        words = ["lxc-attach", "-P", str(self.folder), "-n", self.name, "--clear-env", path, "--", *argv]
        return run(words, timeout=280)

    def stop(self) -> None:
        subprocess.run(
            ["lxc-stop", "-P", str(self.folder), "-n", self.name, "--kill"], check=False, capture_output=True
        )


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(prefix="controller-", dir="/var/tmp"))
    # The layer of changes cannot lie below the layer that it is of: it gets a file system of its own.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder], check=True)
    made = Machine(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        subprocess.run(["umount", "--lazy", folder], check=False)
        folder.rmdir()


def test_one_command_makes_the_controller_and_systemd_runs_it(machine: Machine) -> None:
    make = [sys.executable, str(CHECKOUT / "tools/controller.py"), "--zone", "corpus.test"]
    make += ["--master-address", "192.0.2.1"]
    planned = machine.run(*make, "--test")
    assert planned.status == 0, planned.said
    assert "would be made" in planned.output
    made = machine.run(*make)
    assert made.status == 0, made.said + machine.run("journalctl", "--no-pager", "-n", "50").output
    assert "This machine is the controller." in made.output
    for unit in ("pdns", "salt-master"):
        assert machine.run("systemctl", "is-active", unit).output.strip() == "active", unit
        assert machine.run("systemctl", "is-enabled", unit).output.strip() == "enabled", unit
    asked = machine.run("dig", "+short", "@127.0.0.1", "corpus.test", "NS")
    assert asked.output == "ns1.corpus.test.\n", asked.said
    reported = machine.run("salt-run", "--out=json", "--log-level=error", "mc_controller.report")
    assert json.loads(reported.output)["parts"] == {"registry": "ok", "dns": "ok", "master": "ok"}, reported.said
    again = machine.run(*make)
    assert again.output.splitlines()[-1] == "This machine is the controller."
    assert not [line for line in again.output.splitlines() if line.startswith("  ")], again.said
