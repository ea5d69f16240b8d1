"""What brings the traffic of a node back when it starts: two units of systemd, which need none of our Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.node.traffic import haproxy
from corpus.node.traffic.places import Places

TRAFFIC = "corpus-traffic.service"

_TRAFFIC = """\
# Written by corpus: salt-call --local mc_node.boot.
[Unit]
Description=The wall around the guests, and their ssh ports (nftables)
ConditionPathExists={places.table}
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=local-fs.target systemd-modules-load.service nftables.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {places.table}
ExecReload={nft} -f {places.table}

[Install]
WantedBy=multi-user.target
"""
# Debian's own unit throws every table away, whatever it is told to do: ours comes back after each.
_BESIDE = """\
# Written by corpus: salt-call --local mc_node.boot.
[Service]
ExecStartPost=-{nft} -f {places.table}
ExecReload=-{nft} -f {places.table}
ExecStopPost=-{nft} -f {places.table}
"""
_PROXY = """\
# Written by corpus: salt-call --local mc_node.boot.
[Unit]
Description=The guests' web traffic (haproxy)
ConditionPathExists={places.proxy}
After=network.target corpus-bridge.service corpus-traffic.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStartPre={mkdir} -p {places.run}
ExecStart={haproxy} -Ws -f {places.proxy} -p {places.pid} -S {places.master},mode,600
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
SuccessExitStatus=143
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""


def plan(places: Places) -> dict[str, Any]:
    """Return what would change; empty when everything comes back at boot already.

    :raises MissingTool: nft or haproxy is not installed
    """
    lacking = [str(path) for path, text in _units(places).items() if _read(path) != text]
    disabled = [unit for unit in (TRAFFIC, haproxy.UNIT) if places.booted and not enabled(unit)]
    return {**({"files": lacking} if lacking else {}), **({"enabled": disabled} if disabled else {})}


def make(places: Places) -> dict[str, Any]:
    """Write the units and let them start at boot; return what changed. What runs is left alone."""
    changes = plan(places)
    for path, text in _units(places).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text)
    if changes and places.booted:
        processes.run(["systemctl", "daemon-reload"])
        processes.run(["systemctl", "enable", TRAFFIC, haproxy.UNIT])
    return changes


def _units(places: Places) -> dict[Path, str]:
    programs = {name: processes.which(name) for name in ("nft", "haproxy", "mkdir")}
    return {
        places.units / TRAFFIC: _TRAFFIC.format(places=places, **programs),
        places.units / "nftables.service.d/corpus.conf": _BESIDE.format(places=places, **programs),
        places.units / haproxy.UNIT: _PROXY.format(places=places, **programs),
    }


def enabled(unit: str) -> bool:
    """Tell whether systemd starts a unit at boot."""
    return processes.run(["systemctl", "is-enabled", "--quiet", unit], check=False).status == 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
