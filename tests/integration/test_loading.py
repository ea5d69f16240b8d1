"""The pack loads in each of the ways that people install it, and no other copy of it is in reach."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
NOT_THE_PACK = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "_build")
SALT_CALL = "import salt.scripts; salt.scripts.salt_call()"


@dataclass(frozen=True)
class Venv:
    """A virtual environment in which only what a test installs is corpus."""

    root: Path
    """Absolute."""

    @property
    def python(self) -> Path:
        return self.root / "bin/python"

    def run(self, *argv: object) -> str:
        """Run a program; return what it wrote to its output."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            list(map(str, argv)), cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[ERROR" not in done.stderr, done.stderr  # of Salt's loader: it goes on without what it cannot load
        return done.stdout

    def install(self, *what: object) -> None:
        """Install the pack alone, without a network: setuptools is lent, Salt comes later."""
        self.borrow(lambda name: name.startswith(("setuptools", "_distutils_hack")))
        offline = ("--offline", "--no-build-isolation", "--no-deps")
        uv = Path(sysconfig.get_path("scripts")) / "uv"
        self.run(uv, "pip", "install", *offline, "--python", self.python, *what)

    def borrow(self, wanted: Callable[[str], bool]) -> None:
        """Link packages of the environment that runs the tests into this one."""
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        here = Path(self.run(self.python, "-c", code).strip())
        for package in entries(sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
            link = here / package.name
            if wanted(package.name) and not link.exists():
                link.symlink_to(package)


def entries(*folders: str) -> Iterable[Path]:
    """Return what lies in the folders and may be lent: not corpus, and no file that leads to it."""
    for folder in sorted(set(folders)):
        for entry in Path(folder).iterdir():
            if "corpus" not in entry.name and entry.suffix != ".pth":
                yield entry


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    """An environment without Salt and without corpus."""
    made = Venv(tmp_path / "venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made.root], check=True)
    return made


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A copy of the checkout, so that building it leaves nothing behind."""
    return Path(shutil.copytree(CHECKOUT, tmp_path / "pack", ignore=NOT_THE_PACK))


class Minion:
    """``salt-call --local`` with a configuration of its own."""

    def __init__(self, venv: Venv, root: Path, **settings: Any) -> None:
        venv.borrow(lambda _: True)
        self._program = venv.root / "bin/salt-call"
        self._program.write_text(f"#!{venv.python}\n{SALT_CALL}\n")
        self._program.chmod(0o755)
        (root / "etc").mkdir(parents=True)
        configuration = {
            "id": "loading",
            "root_dir": str(root),
            "file_client": "local",
            "corpus.projects_root": str(root / "projects"),
            "corpus.states_root": str(root / "salt"),
            "corpus.pillar_root": str(root / "pillar"),
            **settings,
        }
        (root / "etc/minion").write_text(yaml.safe_dump(configuration))
        self._venv, self._etc = venv, root / "etc"

    def call(self, *words: str) -> Any:
        """Return what a function returned."""
        argv = ["-c", self._etc, "--local", "--out", "json", *words]
        return json.loads(self._venv.run(self._program, *argv))["local"]


def loads(minion: Minion) -> None:
    """The doors answer, find the installers, document whatever they pass on, and states have theirs."""
    assert minion.call("mc_project.list_projects") == {}
    settings = ["user=root"] if os.geteuid() == 0 else []
    assert minion.call("mc_project.init_project", "shop", "installer=static", *settings)["result"] is True
    assert list(minion.call("mc_project.list_projects")) == ["shop"]
    assert minion.call("sys.list_state_functions", "mc_project")
    docs = minion.call("sys.doc", "mc_project", "mc_project_2")
    functions = [name.removeprefix("mc_project_2.") for name in docs if name.startswith("mc_project_2.")]
    assert "list_projects" in functions
    assert [name for name in functions if "CLI Example" not in (docs.get(f"mc_project.{name}") or "")] == []


def brings_installers(python: Venv) -> None:
    """The package finds its own installers."""
    code = "from corpus.project import installers; print(installers.official_root())"
    root = Path(python.run(python.python, "-c", code).strip())
    assert (root / "2/static/configure.sls").is_file()


def brings_migrations(python: Venv, folder: Path) -> None:
    """The package makes and upgrades the controller's registry."""
    code = (
        "import pathlib, sys; from corpus.controller.registry.store import Registry; "
        f"print(Registry('sqlite:///{folder}/registry.sqlite3', pathlib.Path('{folder}/key'), upgrade=True).revision())"
    )
    assert python.run(python.python, "-c", code).strip().isdigit()


def test_module_dirs(venv: Venv, tmp_path: Path) -> None:
    """One line in the minion's configuration, pointing at a checkout."""
    loads(Minion(venv, tmp_path / "minion", module_dirs=[str(CHECKOUT)]))


def test_sync_from_a_file_root(venv: Venv, pack: Path, tmp_path: Path) -> None:
    """``saltutil.sync_all`` fetches doors and rooms from a file root that holds the pack."""
    minion = Minion(venv, tmp_path / "minion", file_roots={"base": [str(pack)]})
    assert "modules.mc_project" in minion.call("saltutil.sync_all")["modules"]
    loads(minion)
    rooms = tmp_path / "minion/var/cache/salt/minion/extmods/utils"
    for migration in (CHECKOUT / "_utils/corpus/controller/registry/migrations").rglob("*.py"):
        assert (rooms / migration.relative_to(CHECKOUT / "_utils")).is_file()


@pytest.mark.parametrize("options", [(), ("--editable",)], ids=["wheel", "editable"])
def test_pip(venv: Venv, pack: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """``pip install``, as a wheel or editable, is all that Salt needs."""
    venv.install(*options, pack)
    loads(Minion(venv, tmp_path / "minion"))
    brings_installers(venv)
    brings_migrations(venv, tmp_path)
