"""Start at boot under supervisord where systemd runs: a unit that starts it, and with it every project of the machine.

Under systemd itself nothing of this is needed: each process has a unit.
"""

from __future__ import annotations

from pathlib import Path

from corpus import files, processes
from corpus.project.layout import Roots
from corpus.project.running.supervisord import Supervisord

_UNITS = Path("/etc/systemd/system")

_UNIT = """\
# Written by corpus.
[Unit]
Description=Projects under {projects} (corpus)
After=network.target
ConditionPathExists={settings}

[Service]
Type=forking
PIDFile={folder}/supervisord.pid
ExecStart={program} -c {settings}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec=60
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def unit(roots: Roots) -> Path:
    """Return where the unit of a projects root lies."""
    return _UNITS / f"corpus{str(roots.projects).replace('/', '-')}.service"


def text(roots: Roots) -> str:
    """Return the unit."""
    supervisor = Supervisord(roots)
    return _UNIT.format(
        projects=_escaped(str(roots.projects)),
        folder=_escaped(str(supervisor.folder)),
        settings=_escaped(str(supervisor.settings)),
        program=_escaped(" ".join(supervisor.program())),
    )


def missing(roots: Roots) -> bool:
    """Tell whether :func:`enable` would change anything."""
    try:
        return unit(roots).read_text(encoding="utf-8") != text(roots)
    except FileNotFoundError:
        return True


def enable(roots: Roots) -> None:
    """Have the supervisor started at every boot."""
    files.write(unit(roots), text(roots))
    processes.run(["systemctl", "daemon-reload"])
    processes.run(["systemctl", "enable", "--quiet", unit(roots).name])


def _escaped(value: str) -> str:
    """A value for a unit, where ``%`` introduces a specifier (systemd.unit(5))."""
    return value.replace("%", "%%")
