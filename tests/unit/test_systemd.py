"""What systemd is told, and whether it understands that."""

from pathlib import Path

import pytest
from corpus import files, processes
from corpus.project.layout import Roots
from corpus.project.running import systemd
from corpus.project.running.supervision import Program

RELEASE = "20260101T000000Z-00000001"
WEB = Program(
    "web.1",
    ("/usr/bin/python3", "-S", "/opt/100%/view.py", "a $HOME", 'a "quote"'),
    drain=7,
    writable=(Path("/srv/projects/shop"), Path("/srv/with space")),
    memory=512 << 20,
    cpu=50.0,
    tasks=200,
)


def verified(path: Path) -> list[str]:
    """What systemd itself says of a unit."""
    done = processes.run(["systemd-analyze", "verify", "--man=no", path], check=False)
    return [line for line in (done.output + done.errors).splitlines() if path.name in line]


@pytest.mark.parametrize("program", [WEB, Program("nginx", ("/usr/bin/true",), Path("/var/log/x"), start_seconds=0)])
def test_systemd_understands_the_units(tmp_path: Path, program: Program) -> None:
    path = tmp_path / "corpus-shop-web.service"
    files.write(path, systemd.text(Roots(), f"shop.{RELEASE}", program))
    assert verified(path) == []


def test_what_belongs_to_a_project_is_confined_and_limited() -> None:
    lines = systemd.text(Roots(), f"shop.{RELEASE}", WEB).splitlines()
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        'ReadWritePaths="/srv/projects/shop" "/srv/with space"',
        "MemoryMax=536870912",
        "CPUQuota=50%",
        "TasksMax=200",
        "TimeoutStopSec=7",
        "KillMode=mixed",
        'ExecStart="/usr/bin/python3" "-S" "/opt/100%%/view.py" "a $$HOME" "a \\"quote\\""',
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith("Environment")], "everybody may read units"


def test_projects_in_a_home_are_seen() -> None:
    assert "ProtectHome" not in systemd.text(Roots(Path("/home/ada/projects")), f"shop.{RELEASE}", WEB)


def test_no_two_programs_have_one_unit() -> None:
    pairs = [("a-b", "c"), ("a", "b-c"), ("a-b-c", "d"), ("a_b", "c"), ("a", "b"), ("front", "web")]
    names = {systemd.unit_name(f"{project}.{RELEASE}", f"{kind}.1") for project, kind in pairs}
    names |= {systemd.unit_name(group, "nginx") for group in ("front", "logs")}
    assert len(names) == len(pairs) + 2
    assert f"corpus-a-b_c@{RELEASE}.1.service" in names
