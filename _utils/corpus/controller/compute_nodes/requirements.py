"""What a machine must have to be a compute node."""

from __future__ import annotations

from collections.abc import Mapping

#: What a machine must have at least, in bytes.
MEMORY = 256 << 20
DISK = 2 << 30
LOOK = """\
echo user=$(id -u)
echo system=$(uname -s)
echo machine=$(uname -m)
echo kernel=$(uname -r)
. /etc/os-release 2>/dev/null; echo os=$ID; echo like=$ID_LIKE
echo memory=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)
echo disk=$(df -Pk /srv 2>/dev/null | awk 'NR==2 {print $4}')
echo cpus=$(nproc)
echo systemd=$(test -d /run/systemd/system && echo yes)
for ns in mnt net pid uts ipc; do test -e /proc/self/ns/$ns || echo missing=$ns; done
test -d /sys/fs/cgroup && echo cgroup=yes
echo salt=$(cat /opt/corpus/.runtime 2>/dev/null)
python3 -c 'import sys; print("python=%d.%d" % sys.version_info[:2])' 2>/dev/null
"""


def findings(facts: Mapping[str, str]) -> list[str]:
    """Return why a machine cannot be a compute node, one phrase each; empty when it can.

    :param facts: of :func:`look`
    """
    found = []
    if facts.get("user") != "0":
        found.append("who logs in is not root")
    if facts.get("system") != "Linux":
        found.append(f"it runs {facts.get('system') or 'something unknown'}, not Linux")
    if "debian" not in (facts.get("os"), *facts.get("like", "").split()):
        found.append(f"its system is {facts.get('os') or 'unknown'}, and neither Debian nor made from it")
    if facts.get("systemd") != "yes":
        found.append("systemd does not run it")
    if int(facts.get("memory") or 0) << 10 < MEMORY:
        found.append(f"it has {int(facts.get('memory') or 0) >> 10} MiB of memory, {MEMORY >> 20} are needed")
    if int(facts.get("disk") or 0) << 10 < DISK:
        found.append(f"/srv has {int(facts.get('disk') or 0) >> 10} MiB free, {DISK >> 20} are needed")
    if facts.get("missing"):
        found.append(f"its kernel has no {facts['missing']} namespaces")
    if facts.get("cgroup") != "yes":
        found.append("its kernel has no control groups")
    if tuple(int(part) for part in (facts.get("python") or "0.0").split(".")) < (3, 9):
        found.append("it has no python3 of 3.9 or newer")
    return found
