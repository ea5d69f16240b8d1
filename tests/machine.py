"""A machine for tests: roots of its own, a minion configuration, people who push. Everything on it is real."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
SALT_CALL = Path(sys.executable).parent / "salt-call"
IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}


@dataclass(frozen=True)
class Ended:
    """A program that ended: its status, what it printed (both streams apart), and its JSON answer, if any."""

    status: int
    output: str
    errors: str

    @property
    def answer(self) -> Any:
        """What ``salt-call --out json`` returned."""
        return json.loads(self.output)["local"]

    @property
    def said(self) -> str:
        """Everything that a person saw."""
        return self.output + self.errors


@dataclass
class Machine:
    """A machine with corpus on it.

    :param folder: everything lies below it; other users can walk through
    :param grains: minion grains to set
    """

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    address: str = field(default="127.0.0.1", init=False)
    """Where the machine's web front answers."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name in ("etc", "srv/salt", "srv/pillar", "people"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self, **options: Any) -> None:
        """Write the minion's configuration; ``options`` are added to it."""
        self.options.update(options)
        settings = {
            "id": "machine",
            "file_client": "local",
            "master_type": "disable",
            "root_dir": str(self.folder / "root"),
            "module_dirs": [str(CHECKOUT)],
            "file_roots": {"base": [str(self.folder / "srv/salt")]},
            "pillar_roots": {"base": [str(self.folder / "srv/pillar")]},
            "corpus.projects_root": str(self.projects),
            "corpus.states_root": str(self.folder / "srv/salt"),
            "corpus.pillar_root": str(self.folder / "srv/pillar"),
            "enable_fqdns_grains": False,
            **self.options,
        }
        (self.folder / "root").mkdir(exist_ok=True)
        (self.folder / "etc/minion").write_text(json.dumps(settings))  # JSON is YAML

    @property
    def projects(self) -> Path:
        return self.folder / "srv/projects"

    def project(self, name: str) -> Path:
        """The folder of a project."""
        return self.projects / name

    def argv(self, function: str, *arguments: str, out: str = "json", **keywords: Any) -> list[str]:
        words = [str(SALT_CALL), "-c", str(self.folder / "etc"), "--local", "--log-level=quiet", f"--out={out}"]
        return [*words, function, *arguments, *(f"{key}={json.dumps(value)}" for key, value in keywords.items())]

    def call(self, function: str, *arguments: str, out: str = "json", **keywords: Any) -> Ended:
        """Run ``salt-call`` as a person would."""
        return WarmSalt.shared().run(self.argv(function, *arguments, out=out, **keywords))

    def refused(self, function: str, *arguments: str, **keywords: Any) -> str:
        """Run ``salt-call`` and return its complaint; it must have failed, with words for a person."""
        ended = self.call(function, *arguments, **keywords)
        assert ended.status != 0, ended.said
        assert "Traceback" not in ended.said, ended.said
        return ended.errors.strip()

    def begin(self, function: str, *arguments: str, who: str = "", **keywords: Any) -> "subprocess.Popen[str]":
        """Start ``salt-call`` and do not wait for it.

        :param who: the name that the project's records will know the caller by
        """
        return subprocess.Popen(
            self.argv(function, *arguments, **keywords),
            env={**os.environ, **({"CORPUS_WHO": who} if who else {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ok(self, function: str, *arguments: str, **keywords: Any) -> Any:
        """Run ``salt-call`` and return its answer; it must have worked."""
        ended = self.call(function, *arguments, **keywords)
        assert ended.status == 0, ended.said
        return ended.answer

    def init(self, name: str, **settings: Any) -> dict[str, Any]:
        """Initialize a project, with the settings that fit the machine where the test names none."""
        given = {**self.fitting(), **settings}
        self.ok("mc_project.init_project", name, **given)
        return given

    def fitting(self) -> dict[str, Any]:
        """Settings of one more project: it serves on a free loopback port; as root its user is root."""
        user = {"user": "root"} if os.geteuid() == 0 else {}
        return {"http_address": self.address, "http_port": free_port(), **user}

    def work_tree(self, name: str, files: Mapping[str, str] | None = None, like: Path | None = None) -> "WorkTree":
        """A person's own clone, with its first commit: some files, or a copy of a folder."""
        tree = self.clone(name, self.folder / "people" / name)
        if like is not None:
            shutil.copytree(like, tree.folder)
        tree.folder.mkdir(exist_ok=True)
        tree.git("init", "--quiet", "--initial-branch=main")
        tree.commit(files or {})
        return tree

    def clone(self, name: str, folder: Path) -> "WorkTree":
        """A work tree of a person who works on this machine."""
        return WorkTree(self, name, folder)

    def pillar_tree(self, name: str, files: Mapping[str, str]) -> "WorkTree":
        """A person's clone of the pillar of a project."""
        tree = WorkTree(self, name, self.folder / "people" / f"{name}-pillar", repository="pillar")
        tree.folder.mkdir(exist_ok=True)
        tree.git("init", "--quiet", "--initial-branch=main")
        tree.commit(files)
        return tree

    def page(self, port: int, path: str = "/", host: str = "localhost") -> tuple[int, str]:
        """Return the status and the text that the web front answers."""
        return page(port, path, host, self.address)

    def releases(self, name: str) -> list[dict[str, Any]]:
        return list(self.ok("mc_project.list_releases", name))

    def stop(self) -> None:
        """Stop everything that runs on the machine."""
        stop_processes(self.projects)


def stop_processes(projects: Path) -> None:
    """End what runs for the projects below a folder: their supervisor, if it is supervisord."""
    pid_file = projects / ".corpus/supervisor/supervisord.pid"
    if pid_file.exists():
        pid = int(pid_file.read_text())
        try:
            os.kill(pid, 15)
        except ProcessLookupError:
            return
        for _ in deadline(30):
            if not Path(f"/proc/{pid}").exists():
                return


class WarmSalt:
    """A process that has imported everything and forks for each program of Salt's: the same code, a second less."""

    _SERVER = """
import importlib, json, os, pkgutil, sys, traceback
import salt.cli.call, salt.cli.run, salt.cli.salt, salt.loader, salt.minion, salt.output, salt.pillar, salt.runner, salt.scripts, salt.state
import corpus, salt.runners, sqlalchemy.orm
found = [*pkgutil.walk_packages(corpus.__path__, "corpus."), *pkgutil.iter_modules(salt.runners.__path__, "salt.runners.")]
for one in found:
    if one.name.startswith(("corpus.project", "corpus.controller", "corpus.node", "salt.runners")):
        if "migrations" not in one.name:
            try:
                importlib.import_module(one.name)
            except ImportError:  # Salt has runners for what is not installed
                pass
sqlalchemy.orm.configure_mappers()
programs = {"salt": "salt_main", "salt-call": "salt_call", "salt-run": "salt_run"}
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, job["out"], os.O_WRONLY), (2, job["err"], os.O_WRONLY)):
            os.dup2(os.open(path, flags), number)
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        sys.argv, status = job["argv"], 0
        try:
            getattr(salt.scripts, programs[os.path.basename(sys.argv[0])])()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else bool(end.code)
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
    _shared: "WarmSalt | None" = None

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # ends with us: its standard input does

    @classmethod
    def shared(cls) -> "WarmSalt":
        cls._shared = cls._shared or cls()
        return cls._shared

    def run(self, argv: list[str]) -> Ended:
        """Run one program of Salt's to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn, tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            job = {"argv": argv, "out": out.name, "err": err.name, "env": dict(os.environ), "cwd": str(Path.cwd())}
            try:
                self._process.stdin.write(json.dumps(job) + "\n")
                self._process.stdin.flush()
                status = int(self._process.stdout.readline())
            except BaseException:  # a test's time is over: the answer would be taken for the next one's
                self._process.kill()
                WarmSalt._shared = None
                raise
            return Ended(status, out.read(), err.read())


@dataclass(frozen=True)
class WorkTree:
    """A person's git work tree."""

    machine: Machine
    name: str
    folder: Path
    repository: str = "project"

    @property
    def remote(self) -> Path:
        return self.machine.project(self.name) / "git" / f"{self.repository}.git"

    def git(self, *words: str, check: bool = True) -> Ended:
        ended = run(["git", *words], cwd=self.folder, env=IDENTITY)
        assert ended.status == 0 or not check, ended.said
        return ended

    def write(self, files: Mapping[str, str]) -> None:
        for path, content in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)

    def commit(self, files: Mapping[str, str] | None = None, message: str = "Change") -> str:
        """Write files, commit everything, return the revision."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").output.strip()

    def push(self, *words: str, refs: str = "HEAD:main") -> Ended:
        """``git push`` to the project's own repository.

        :param refs: what to push, separated by spaces
        """
        return self.git("push", *words, str(self.remote), *refs.split(), check=False)

    def branch(self, name: str = "main") -> str:
        """The revision that a branch of the project's repository names; empty when there is none."""
        return run(
            ["git", "-C", str(self.remote), "rev-parse", "--verify", "--quiet", f"refs/heads/{name}"]
        ).output.strip()


def run(argv: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 120) -> Ended:
    """Run a program to its end."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page(port: int, path: str = "/", host: str = "localhost", address: str = "127.0.0.1") -> tuple[int, str]:
    """GET a page; status 0 when nobody answers."""
    request = urllib.request.Request(f"http://{address}:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode(errors="replace")
    except OSError as err:
        return 0, str(err)


def deadline(seconds: float, interval: float = 0.05) -> Iterator[None]:
    """Yield until a deadline; then fail the test."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(interval)
    raise AssertionError(f"It did not happen within {seconds} seconds.")


def digests(folder: Path) -> dict[str, str]:
    """Return what stands below a folder: mode and content of every entry, by relative path; no times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = f"-> {os.readlink(path)}"
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = "folder" if path.is_dir() else "something else"
        found[str(path.relative_to(folder))] = f"{path.lstat().st_mode:o} {content}"
    return found
