"""The virtual environment of a release: made from a lock where there is one, or taken over when nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import processes
from corpus.errors import CorpusError
from corpus.project import commands, manifests, reuse
from corpus.project.python import dependencies, interpreters
from corpus.project.python.dependencies import Source

#: what uv should do on a machine: use its certificates, copy (no links into a cache that others share), fetch no Python
_UV = {
    "UV_SYSTEM_CERTS": "1",
    "UV_NATIVE_TLS": "1",
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}


@dataclass(frozen=True)
class Outcome:
    """What became of an environment.

    :param reused: whether it was taken over from the version that runs
    :param words: what was done
    """

    reused: bool
    words: str


class Environment:
    """The virtual environment of the release that is built.

    :param cfg: the project's configuration
    :param say: gets every line that whoever pushed should see
    """

    def __init__(self, cfg: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.cfg, self.say = cfg, say
        self.settings = cfg["data"]["python"]
        self.tree = Path(cfg["project_root"])
        self.folder = self.tree / str(self.settings["environment"])
        if not self.folder.resolve().is_relative_to(self.tree.resolve()) or self.folder == self.tree:
            raise CorpusError(f"data.python.environment: {self.settings['environment']!r} leads out of the tree.")
        self.uv = interpreters.uv(cfg.get("user"))
        self.interpreter = interpreters.configured(cfg)
        self.source = self._source()
        self.itself = bool(self.settings["install_project"]) and self._is_package()

    def make(self) -> Outcome:
        """Make the environment hold what the tree asks for.

        :raises CorpusError: it cannot; the message says why
        """
        python = self.interpreter.version if self.interpreter else "fetched by uv"
        self._tell()
        wanted = self._digest()
        reused = reuse.made_from(self.folder) == wanted or reuse.take(
            self.cfg, str(self.settings["environment"]), wanted, self.say
        )
        if not reused:
            self._run(["rm", "-rf", str(self.folder)])
            self._create()
            self._install()
            self._beside()
        if self.itself:
            self._install_itself()
        if not reused:
            self._compile()
            self._run(reuse.mark(self.folder, wanted))
        what = f"from {self.source.files[0]}" if self.source else "with nothing in it"
        if reused:
            return Outcome(True, f"Python {python}, {what}: unchanged, nothing was installed.")
        return Outcome(False, f"Python {python}, {what}.")

    def _source(self) -> Source | None:
        listed = [str(name) for name in self.settings["requirements"]]
        source = dependencies.chosen(self.tree, listed)
        if source and not self.uv and source.kind in ("uv", "pylock", "poetry", "project"):
            raise CorpusError(
                f"{source.files[0]} is installed by uv, and there is none that {self.cfg.get('user') or 'we'} may run: "
                "put uv into /usr/local/bin (pip install uv)."
            )
        return source

    def _is_package(self) -> bool:
        """Requirements files say it themselves (``-e .``); everything else leaves it to the tree."""
        if self.source is None or self.source.kind in ("requirements", "pipenv", "pylock"):
            return False
        return dependencies.installs_itself(self.tree)

    def _tell(self) -> None:
        source = self.source
        if source is None:
            self.say("No requirements, lock file or pyproject.toml with a project: the environment stays empty.")
        elif source.kind == "requirements" and not dependencies.has_hashes(self.tree, source):
            open_ones = dependencies.unpinned(self.tree, source)
            if open_ones:
                self.say(
                    f"{source.files[0]} leaves versions open ({', '.join(open_ones[:5])}{'…' if len(open_ones) > 5 else ''}): "
                    "the same push may get others tomorrow. Pin them, or use a lock file."
                )
        elif source.kind == "project":
            self.say("There is no lock file: the same push may get other versions tomorrow. `uv lock` writes one.")

    def _digest(self) -> str:
        return reuse.digest(
            self.tree,
            self.source.files if self.source else (),
            interpreter=[self.interpreter.path, self.interpreter.version] if self.interpreter else None,
            installer=self._installer_version(),
            itself=self.itself,
            server=self.settings.get("server"),
            root=str(self.folder),
        )

    def _installer_version(self) -> str:
        if not self.uv:
            return "pip"
        stat = os.stat(self.uv)
        return f"uv {stat.st_size} {int(stat.st_mtime)}"

    def _create(self) -> None:
        python = self.interpreter.path if self.interpreter else self._version_to_fetch()
        if self.uv:
            self._run([self.uv, "venv", "--quiet", "--python", python, str(self.folder)])
        else:
            self._run([python, "-m", "venv", str(self.folder)])

    def _version_to_fetch(self) -> str:
        wish = interpreters.wished(self.tree)
        return str(wish.versions) if wish else "3"

    def _install(self) -> None:
        source = self.source
        if source is None:
            return
        if source.kind == "uv":
            self._synchronize()
        elif source.kind == "pylock":
            self._run(
                [
                    self.uv,
                    "pip",
                    "sync",
                    "--quiet",
                    "--preview-features",
                    "pylock",
                    "--python",
                    self._python,
                    source.files[0],
                ]
            )
        elif source.kind == "poetry":
            self._install_file(self._exported_by_poetry(), True)
        elif source.kind == "pipenv":
            text = dependencies.from_pipfile_lock(self.tree)
            self._install_file(self._kept("Pipfile.lock.txt", text), "--hash=" in text and " @ " not in text)
        elif source.kind == "requirements":
            hashed = dependencies.has_hashes(self.tree, source)
            for name in source.files:
                if name in self.settings["requirements"]:
                    self._install_file(name, hashed)
        else:
            self._run([*self._pip, "--requirement", source.files[0]])

    def _synchronize(self) -> None:
        """uv's own lock: checked to be up to date, hashes checked, no development dependencies."""
        try:
            self._run([self.uv, "sync", "--quiet", "--locked", "--no-dev", "--no-install-project"])
        except commands.CommandFailed as err:
            if "needs to be updated" in str(err):
                raise CorpusError(
                    "uv.lock is out of date: it does not fit pyproject.toml. Run `uv lock`, and commit what it writes."
                ) from err
            raise

    def _exported_by_poetry(self) -> str:
        """Let Poetry itself say what its lock means, in an environment of its own."""
        poetry = self.settings["tools"]["poetry"]
        target = Path(self.cfg["build_root"]) / "poetry.lock.txt"
        words = [self.uv, "tool", "run", "--quiet", "--from", poetry[0]]
        for extra in poetry[1:]:
            words += ["--with", extra]
        words += [
            "poetry",
            "export",
            "--only",
            "main",
            "--format",
            "requirements.txt",
            "--output",
            str(target),
        ]
        try:
            self._run(words)
        except commands.CommandFailed as err:
            if "poetry lock" in str(err) or "poetry.lock" in str(err):
                raise CorpusError(
                    "poetry.lock is out of date: it does not fit pyproject.toml. Run `poetry lock`, and commit what it writes."
                ) from err
            raise
        return str(target)

    def _kept(self, name: str, text: str) -> str:
        """Have the project's user write a file into the scratch folder of the build."""
        target = Path(self.cfg["build_root"]) / name
        argv = ["/bin/sh", "-c", 'cat > "$1"', "sh", str(target)]
        processes.run(argv, user=self.cfg.get("user"), cwd="/", stdin=text)
        return str(target)

    def _install_file(self, name: str, hashed: bool) -> None:
        self._run([*self._pip, *(["--require-hashes"] if hashed else []), "--requirement", name])

    def _beside(self) -> None:
        """Install what serves the application when it does not bring that itself."""
        server = self.settings.get("server")
        if server:
            self.say(f"{server} is installed beside, because nothing that the application brings can serve it.")
            self._run([*self._pip, str(server)])

    def _install_itself(self) -> None:
        """The tree as a package: its dependencies are there, and its code is new each time."""
        assert self.source is not None
        if self.source.kind == "poetry" and not self._has_code():
            self.say("The project itself is not installed: pyproject.toml names a package that is not in the tree.")
            return
        if self.source.kind == "uv":
            self._run([self.uv, "sync", "--quiet", "--locked", "--no-dev", "--inexact"])
            return
        fresh = ["--reinstall"] if self.uv else ["--force-reinstall"]
        self._run([*self._pip, "--no-deps", *fresh, "."])

    def _has_code(self) -> bool:
        said = manifests.mapping(manifests.toml(self.tree, "pyproject.toml"), "tool", "poetry")
        project = manifests.mapping(manifests.toml(self.tree, "pyproject.toml"), "project")
        name = str(said.get("name") or project.get("name") or "").replace("-", "_").replace(".", "_")
        if "packages" in said or not name:
            return True
        places = (name, f"src/{name}", f"{name}.py", f"src/{name}.py", name.lower(), f"src/{name.lower()}")
        return any((self.tree / place).exists() for place in places)

    def _compile(self) -> None:
        """Byte-compile what was installed, so that the first request does not wait for it; what cannot be, stays source.

        By the hash of the source, not by its time: so it holds in production, too, where the tree is unpacked.
        """
        how = ["-q", "-q", "-f", "-j", "0", "--invalidation-mode", "checked-hash"]
        self._run([self._python, "-m", "compileall", *how, str(self.folder / "lib")], check=False)

    @property
    def _python(self) -> str:
        return str(self.folder / "bin/python")

    @property
    def _pip(self) -> list[str]:
        if self.uv:
            return [self.uv, "pip", "install", "--quiet", "--python", self._python]
        return [self._python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]

    def _run(self, argv: Sequence[str], check: bool = True) -> None:
        env = {**_UV, "VIRTUAL_ENV": str(self.folder), "UV_PROJECT_ENVIRONMENT": str(self.folder)}
        if self.interpreter:
            env["UV_PYTHON"] = self.interpreter.path
        else:
            env["UV_PYTHON_DOWNLOADS"] = "automatic"
        try:
            commands.run(self.cfg, argv, self.say, env=env)
        except commands.CommandFailed:
            if check:
                raise
