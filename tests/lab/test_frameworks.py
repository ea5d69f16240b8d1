"""The same applications as on a machine with supervisord, under systemd in a guest: no visitor is lost."""

import sys
from pathlib import Path

import pytest

from tests import frameworks
from tests.asking import asking
from tests.lab.guest import Guest
from tests.machine import run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def wheels(guest: Guest) -> Path:
    """The Python packages of the applications, in the guest, which reaches no network."""
    folder = guest.folder / "people/wheels"
    folder.mkdir()
    for application in (frameworks.FLASK, frameworks.DJANGO):
        needed = folder / "requirements.txt"
        needed.write_text(application["requirements.txt"])
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.11"]
        ended = run([*pip, "--no-deps", f"--dest={folder}", f"--requirement={needed}"])
        assert ended.status == 0, ended.said
    return folder


@pytest.mark.parametrize("name", frameworks.ALL)
def test_no_visitor_is_lost(guest: Guest, wheels: Path, name: str) -> None:
    """A page every 10 ms, and slow pages under way all the time."""

    def get(port: int, path: str, host: str) -> tuple[int, str]:
        return guest.page(port, path, host)

    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels)}
    # Debian's npm would triple the guest's size; what nothing is installed for needs no installer.
    settings = {"installer": "generic"} if name == "nodejs" else {}
    health = {"path": "/health", "timeout": 5}
    port = guest.init(name, healthcheck=health, env=offline, **settings)["http_port"]
    tree = guest.work_tree(name, {**frameworks.ALL[name], "VERSION": "one"})
    first = tree.push()
    assert first.status == 0, first.said
    with (
        asking(port, get=get) as quick,
        asking(port, "/slow", every=0.25, visitors=8, get=get) as slow,
    ):
        tree.commit({"VERSION": "two"})
        good = tree.push()
        tree.commit({"VERSION": "ill"})
        bad = tree.push()
        guest.ok("mc_project.rollback", name)
    assert good.status == 0, good.said
    assert "/health answers 500" in bad.said
    assert (quick.lost, slow.lost) == ([], [])
    assert quick.texts == ["one", "two", "one"]
    assert len(slow) > 8
    assert {unit.split("@")[0] for unit in guest.units(name)} == {f"corpus-{name}-web"}
