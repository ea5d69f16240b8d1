"""The unit that starts all projects at boot, read by systemd itself."""

from pathlib import Path

from corpus import files, processes
from corpus.project.layout import Roots
from corpus.project.running import boot
from corpus.project.running.supervisord import Supervisord


def test_systemd_understands_the_unit(roots: Roots, tmp_path: Path) -> None:
    path = tmp_path / boot.unit(roots).name
    files.write(path, boot.text(roots))
    verified = processes.run(["systemd-analyze", "verify", "--man=no", path], check=False)
    ours = [line for line in (verified.output + verified.errors).splitlines() if path.name in line]
    assert ours == []
    assert str(Supervisord(roots).settings) in boot.text(roots)


def test_each_projects_root_has_a_unit_of_its_own() -> None:
    assert boot.unit(Roots()).name == "corpus-srv-projects.service"
    assert boot.unit(Roots(projects=Path("/other"))).name == "corpus-other.service"
