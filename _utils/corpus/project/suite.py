"""A project's own test suite: run before the new version starts, on a copy of its tree, away from the project's data.

What ran before goes on serving from ``data/`` and from its databases meanwhile. So the suite sees a copy of the tree
at the tree's own path, an empty folder in the place of ``data/``, and none of the project's environment: what names the
databases of production is not there to be used by mistake.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from corpus import files, processes
from corpus.errors import ConfigurationError, CorpusError
from corpus.identifiers import shown
from corpus.project.changes.tree import plain_content
from corpus.project.keeping import trees
from corpus.project.layout import Layout
from corpus.project.running import view
from corpus.project.takeover import own

_KEYS = ("command", "junit", "required", "timeout", "env")
_FILES = 200  # that a pattern may match
_FILE = 16 << 20  # bytes
_FAILURES = 50  # that are told one by one
_SLOWEST = 5
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Settings:
    """What a project's configuration says of its suite.

    :param command: for the shell, in the tree
    :param junit: patterns of the JUnit XML files that it writes, in the tree
    :param required: whether a test that fails fails the deployment
    :param timeout: seconds that it may take
    :param env: environment variables
    """

    command: str
    junit: tuple[str, ...]
    required: bool
    timeout: float
    env: Mapping[str, str]

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Settings | None:
        """Read ``tests`` of a configuration; None when it names no command.

        :raises ConfigurationError: something in it cannot be
        """
        given = cfg["tests"]
        for key in given:
            if key not in _KEYS:
                raise ConfigurationError(f"tests: there is no key {shown(key)}: it has {', '.join(_KEYS)}.")
        command, required, env = given.get("command"), given.get("required", True), given.get("env") or {}
        if command is None:
            if given:
                raise ConfigurationError("tests: it lacks the command.")
            return None
        if not isinstance(command, str) or not command.strip() or "\0" in command:
            raise ConfigurationError(f"tests: command is a command line, not {shown(command)}.")
        if not isinstance(required, bool):
            raise ConfigurationError(f"tests: required is true or false, not {shown(required)}.")
        timeout = given.get("timeout", cfg["timeout"])
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < 1e7:
            raise ConfigurationError(f"tests: timeout is a number of seconds, not {shown(timeout)}.")
        if not isinstance(env, Mapping) or not all(
            isinstance(key, str) and _VARIABLE.fullmatch(key) and "\0" not in str(value) for key, value in env.items()
        ):
            raise ConfigurationError("tests: env is a mapping of environment variables.")
        patterns = given.get("junit") or []
        patterns = [patterns] if isinstance(patterns, str) else patterns
        return cls(
            command,
            tuple(map(_pattern, patterns)),
            required,
            float(timeout),
            {key: str(value) for key, value in env.items()},
        )


def _pattern(value: object) -> str:
    if isinstance(value, str) and value and not value.startswith("/") and ".." not in Path(value).parts:
        return value
    raise ConfigurationError(f"tests: junit is a pattern of files inside of the tree, not {shown(value)}.")


@dataclass(frozen=True)
class Failure:
    """A test that failed.

    :param name: of the test
    :param where: its class or file
    :param kind: ``failed``, or ``error``: it could not be run
    :param message: in a line
    :param excerpt: the end of what it printed about it
    """

    name: str
    where: str
    kind: str
    message: str
    excerpt: str


@dataclass
class Suite:
    """How a test suite went.

    :param command: that ran it
    :param required: whether a test that fails fails the deployment
    :param status: exit status; None: it did not end in time
    :param seconds: it took
    :param told: whether there were JUnit files: the numbers are known then
    :param failures: what failed, the first 50
    :param slowest: the slowest tests with their seconds
    :param problems: what could not be read, in words
    """

    command: str
    required: bool
    status: int | None = None
    seconds: float = 0.0
    told: bool = False
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    slowest: list[tuple[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return self.status == 0 and not self.failed and not self.errors

    @property
    def words(self) -> str:
        """The result in a few words."""
        numbers = (
            (self.failed, "failed"),
            (self.errors, "with errors" if self.errors != 1 else "with an error"),
            (self.passed, "passed"),
            (self.skipped, "skipped"),
        )
        told = ", ".join(f"{number} {word}" for number, word in numbers if number)
        if self.status is None:
            return "not ended in time" + (f" ({told})" if told else "")
        if self.status and not (self.failed or self.errors):
            return f"failed with exit status {self.status}" + (f" ({told})" if told else "")
        return told or ("no test was run" if self.told else "passed")


def run(
    layout: Layout,
    release: str,
    cfg: Mapping[str, Any],
    settings: Settings,
    say: Callable[[str], None],
    tree: Path,
    views: bool,
) -> Suite:
    """Run the suite and read what it tells.

    :param tree: where the new tree is now
    :param views: whether a private view is possible; without, the suite runs in the tree itself, where it stands
    :raises CorpusError: it cannot be started
    """
    scratch = layout.release(release) / ".tests"
    trees.remove(scratch)
    scratch.mkdir(mode=0o711, parents=True)
    suite = Suite(settings.command, settings.required)
    try:
        for name in ("data", "home"):
            (scratch / name).mkdir(mode=0o700)
            own(scratch / name, cfg["user"], cfg["group"])
        if views:
            processes.run(["cp", "-a", "--reflink=auto", tree, scratch / "project"])
            tree = scratch / "project"
        specification = _specify(layout, release, cfg, settings, scratch, tree if views else None)
        began, wall = time.monotonic(), time.time()
        try:
            argv = [
                sys.executable,
                "-S",
                view.__file__,
                str(specification),
                view.ONE_OFF,
                "/bin/sh",
                "-c",
                settings.command,
            ]
            suite.status, _ = processes.stream(argv, say, timeout=settings.timeout)
        except CorpusError:
            suite.status = None
        suite.seconds = time.monotonic() - began
        if settings.junit:
            _read(suite, tree, settings.junit, wall)
    finally:
        trees.remove(scratch)
    return suite


def _specify(
    layout: Layout,
    release: str,
    cfg: Mapping[str, Any],
    settings: Settings,
    scratch: Path,
    tree: Path | None,
) -> Path:
    """Write down what :mod:`corpus.project.running.view` starts."""
    root = layout.project
    data = layout.data if tree is not None and Path(cfg["data_root"]) == layout.data else scratch / "data"
    folders = [f"{root}/{folder}" for folder in cfg.get("paths", ("venv/bin", "bin", "node_modules/.bin"))]
    env = {
        "PATH": ":".join([*folders, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(scratch / "home"),
        "LANG": "C.UTF-8",
        "DATA_ROOT": str(data),
        "CORPUS_PROJECT": layout.name,
        "CORPUS_RELEASE": release,
        "CI": "true",
        "PYTHONUNBUFFERED": "1",
        **settings.env,
    }
    path = scratch / "specification.json"
    files.write_json(
        path,
        {
            "project_dir": str(layout.folder),
            "cwd": str(root),
            "tree": str(tree),
            "view": str(layout.view) if tree is not None else None,
            "instead": {"data": str(scratch / "data")},
            "user": cfg["user"] if os.geteuid() == 0 else None,
            "env": env,
        },
    )
    return path


def _read(suite: Suite, tree: Path, patterns: tuple[str, ...], since: float) -> None:
    """Add what the JUnit files of this run tell."""
    found = list(_written(tree, patterns, since))
    if not found:
        suite.problems.append(f"No file that matches {', '.join(patterns)} was written by the tests.")
    for path in found[:_FILES]:
        content = plain_content(path, _FILE)
        try:
            if content is None:
                raise CorpusError(f"it is no plain file of at most {_FILE >> 20} MiB")
            read(suite, content)
        except CorpusError as err:
            suite.problems.append(f"{path.relative_to(tree)} cannot be read: {err}.")


def _written(tree: Path, patterns: tuple[str, ...], since: float) -> Iterator[Path]:
    """Yield what the suite wrote, not what came with the commit; nothing that a link leads out of the tree for."""
    root = tree.resolve()
    for path in sorted({path for pattern in patterns for path in tree.glob(pattern)}):
        if path.parent.resolve().is_relative_to(root) and not path.is_dir() and path.lstat().st_mtime >= since - 2:
            yield path


def read(suite: Suite, xml: bytes) -> None:
    """Add the results of one JUnit XML file.

    :raises CorpusError: it is not well-formed, or would do harm: entities, external references
    """
    from defusedxml import DefusedXmlException, ElementTree  # what a test suite writes is not to be trusted

    try:
        root = ElementTree.fromstring(xml)
    except DefusedXmlException:
        raise CorpusError("it has entities or external references") from None
    except (ParseError, ValueError, LookupError) as err:
        raise CorpusError(f"it is not well-formed XML ({err})") from None
    if _tag(root) not in ("testsuites", "testsuite"):
        raise CorpusError("it is no JUnit XML: its root is neither testsuites nor testsuite")
    suite.told = True
    timed = list(suite.slowest)
    for case in root.iter():
        if _tag(case) != "testcase":
            continue
        kinds = {_tag(child): child for child in reversed(list(case))}
        where, name = _text(case.get("classname") or case.get("file")), _text(case.get("name"))
        if "failure" in kinds or "error" in kinds:
            kind = "failed" if "failure" in kinds else "error"
            suite.failed += kind == "failed"
            suite.errors += kind == "error"
            if len(suite.failures) < _FAILURES:
                suite.failures.append(_failure(name, where, kind, kinds["failure" if kind == "failed" else "error"]))
        elif "skipped" in kinds:
            suite.skipped += 1
        else:
            suite.passed += 1
        timed.append((f"{where} {name}".strip(), _seconds(case.get("time"))))
    suite.slowest = sorted(timed, key=lambda test: -test[1])[:_SLOWEST]


def _failure(name: str, where: str, kind: str, about: Element) -> Failure:
    printed = (about.text or "").strip("\n")
    said = about.get("message") or about.get("type") or printed
    first = next((line for line in said.splitlines() if line.strip()), "")
    return Failure(
        name,
        where,
        kind,
        _text(first, 400),
        "\n".join(printed.splitlines()[-20:])[-3000:],
    )


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(value: str | None, limit: int = 200) -> str:
    return " ".join((value or "").split())[:limit]


def _seconds(value: str | None) -> float:
    try:
        seconds = float((value or "0").replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e7 else 0.0
