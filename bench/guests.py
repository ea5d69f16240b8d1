"""A guest created until ssh answers, its name resolves and its minion answers, against a bare clone until the first login.

The bare clone is ``lxc-copy`` and ``lxc-start`` of the same image on the same node: no address is chosen, no name is
registered, no minion is made, nothing is filtered.
"""

import os
import shutil
import time
from collections.abc import Callable

from bench.figure import Figure, by_round, median
from tests.lab import cloud
from tests.lab.cloud import ZONE, BareMachine, Cloud
from tests.machine import deadline, run

#: Seconds for a guest, whatever a bare clone takes.
AIM = 8.0
ROUNDS = 5

_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.arch = linux64
lxc.apparmor.profile = unconfined
lxc.uts.name = base
lxc.rootfs.path = dir:/srv/bench/base/rootfs
lxc.mount.auto = cgroup:rw:force
lxc.net.0.type = veth
lxc.net.0.link = corpus0
lxc.net.0.flags = up
lxc.net.0.ipv4.address = 10.64.1.250/24
lxc.net.0.ipv4.gateway = 10.64.1.1
"""
_PREPARE = f"""\
set -e
mkdir -p /srv/bench/base
cp -a /srv/corpus/pool/images/debian-*/. /srv/bench/base/rootfs
cat > /srv/bench/base/config <<'END'
{_CONFIG}END
cd /srv/bench/base/rootfs
ssh-keygen -A -f .
rm -f etc/systemd/system/multi-user.target.wants/salt-minion.service
mkdir -p -m 0700 root/.ssh
cat > root/.ssh/authorized_keys
"""
_CLONE = """\
set -e
began=$(date +%s%N)
lxc-copy -P /srv/bench -s -B overlay -n base -N clone
lxc-start -P /srv/bench -n clone
until ssh -F none -i /srv/bench/key -o BatchMode=yes -o ConnectTimeout=1 -o LogLevel=ERROR -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null root@10.64.1.250 true 2>/dev/null; do sleep 0.05; done
echo $(( $(date +%s%N) - began ))
lxc-destroy -P /srv/bench -n clone -f >/dev/null
"""


def measure(say: Callable[[str], None]) -> Figure:
    """As root."""
    if os.geteuid() != 0:
        raise SystemExit("bench guests: containers are made by root.")
    guests, clones, steps = [], [], {}
    with cloud.ready(machines=1) as lab:
        _prepare(lab, lab.machines[0])
        for number in range(ROUNDS + 1):
            seconds, taken = _guest(lab, f"guest{number}")
            clone = int(lab.machines[0].run("sh", "-c", _CLONE).output.split()[-1]) / 1e9
            say(f"{'warm-up' if number == 0 else f'round {number}'}: {seconds:.2f} s against {clone:.2f} s")
            if number:
                guests.append(seconds)
                clones.append(clone)
                for name, value in taken.items():
                    steps.setdefault(name, []).append(value)
    for name, values in steps.items():
        say(f"  {median(values):6.2f} s  {name}")
    return Figure(
        "a guest created, to a bare clone with its first login",
        median(guests) / median(clones),
        None,
        {
            "guest_s": median(guests),
            "aim_s": AIM,
            "clone_s": median(clones),
            "by_round": by_round(guests, clones),
            "steps_s": {name: round(median(values), 2) for name, values in steps.items()},
        },
    )


def _prepare(lab: Cloud, machine: BareMachine) -> None:
    """Give the node what is cloned."""
    public = (lab.folder / "operator.pub").read_text()
    disk = machine.folder / "disk"
    (disk / "bench").mkdir()
    shutil.copy(lab.key, disk / "bench/key")
    (disk / "bench/key.pub").write_text(public)
    machine.run("sh", "-c", f"( {_PREPARE} ) < /srv/bench/key.pub")


def _guest(lab: Cloud, name: str) -> tuple[float, dict[str, float]]:
    """Create a guest and wait until it is of use; the seconds in all and of each step. It is deleted afterwards."""
    began = time.perf_counter()
    report = lab.guest(name)
    port = report["facts"]["guest"]["ssh_port"]
    for _ in deadline(30):
        (address,) = lab.resolved(f"{name}.{ZONE}") or [""]
        words = ["ssh", *lab.ssh_options(), "-p", str(port), f"root@{address}", "true"]
        if address and run(words).status == 0 and f"{name}.{ZONE}" in lab.minions():
            break
    seconds = time.perf_counter() - began
    lab.ok("mc_guest.delete", name, confirm=name)
    return seconds, {step["name"]: step["seconds"] for step in report["steps"]}
