"""What a Python application depends on: the file that says so, and the commands by which it is installed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from corpus.errors import CorpusError
from corpus.project import manifests

_PINNED = re.compile(r"===?\s*[^*\s,;]+\s*(?:$|[;\s\\])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: a package in a lock: its writers put the name first, and parsing the whole file takes a hundred times as long
_LOCKED_NAME = re.compile(r'^\[\[packages?\]\]\s*\nname = "([^"\n]+)"', re.MULTILINE)
#: what counts when nobody names a file: locks first, for they say exactly what is meant
ORDER = ("uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock")
DECLARED = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True)
class Source:
    """Where the dependencies of a tree are written down.

    :param kind: uv, pylock, poetry, pipenv, requirements or project
    :param files: that say it, relative to the tree; what decides whether an environment is still right
    """

    kind: str
    files: tuple[str, ...]

    @property
    def locked(self) -> bool:
        """Whether it is a lock file, whose hashes are checked."""
        return self.kind in ("uv", "pylock", "poetry", "pipenv")


def chosen(tree: Path, requirements: list[str]) -> Source | None:
    """Return where the dependencies of a tree are written down; None when they are nowhere.

    :param requirements: names of requirements files, relative to the tree
    """
    kinds = {"uv.lock": "uv", "pylock.toml": "pylock", "poetry.lock": "poetry", "Pipfile.lock": "pipenv"}
    declared = tuple(name for name in DECLARED if manifests.present(tree, name))
    for lock in ORDER:
        if manifests.present(tree, lock):
            beside = {"Pipfile.lock": ("Pipfile",), "pylock.toml": ()}.get(lock, declared)
            return Source(kinds[lock], (lock, *beside))
    named = [name for name in requirements if manifests.present(tree, name)]
    if named:
        return Source("requirements", (*named, *_included(tree, named)))
    if manifests.present(tree, "Pipfile"):
        raise CorpusError("There is a Pipfile and no Pipfile.lock: run `pipenv lock`, and commit what it writes.")
    if declared and (declared != ("pyproject.toml",) or is_project(tree)):
        return Source("project", declared)
    return None


def is_project(tree: Path) -> bool:
    """Tell whether ``pyproject.toml`` describes a project, and not only the settings of some tools."""
    said = manifests.toml(tree, "pyproject.toml")
    return "project" in said or "build-system" in said or bool(manifests.mapping(said, "tool", "poetry"))


def installs_itself(tree: Path) -> bool:
    """Tell whether the tree is a package that wants to be installed, too (PEP 517), and not just dependencies."""
    said = manifests.toml(tree, "pyproject.toml")
    if manifests.mapping(said, "tool", "poetry").get("package-mode") is False:
        return False
    if manifests.mapping(said, "tool", "uv").get("package") is False:
        return False
    return "build-system" in said or manifests.present(tree, "setup.py")


def _included(tree: Path, names: list[str]) -> Iterator[str]:
    """Files that requirements files include (``-r``, ``-c``), each once."""
    seen, queue = set(names), list(names)
    while queue:
        name = queue.pop()
        for found in re.finditer(
            r"^\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", manifests.text(tree, name), re.MULTILINE
        ):
            inner = str(Path(name).parent / found[1])
            if inner not in seen and manifests.present(tree, inner):
                seen.add(inner)
                queue.append(inner)
                yield inner


def lines(text: str) -> list[str]:
    """Return the requirements of a requirements file, each on one line, without options and comments."""
    joined = re.sub(r"\\\r?\n", " ", text)
    plain = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in plain if line and not line.startswith("-")]


def has_hashes(tree: Path, source: Source) -> bool:
    """Tell whether requirements files carry hashes: then every requirement must."""
    return any("--hash=" in manifests.text(tree, name) for name in source.files)


def unpinned(tree: Path, source: Source) -> list[str]:
    """Return the names of those requirements whose version is left open."""
    found = []
    for name in source.files:
        for line in lines(manifests.text(tree, name)):
            plain = _NAME.match(line)
            if plain and not _PINNED.search(line.split(";")[0] + " ") and "@" not in line:
                found.append(plain[0])
    return sorted(set(found))


def names(tree: Path, requirements: list[str]) -> set[str]:
    """Return the names of all packages that a tree asks for, as far as its files say them (PEP 503 spelling)."""
    try:
        source = chosen(tree, requirements)
    except CorpusError:
        source = None
    if source is None:
        return set()
    if source.kind in ("uv", "poetry", "pylock"):
        found = _LOCKED_NAME.findall(manifests.text(tree, source.files[0]))
    elif source.kind == "pipenv":
        found = list(manifests.mapping(manifests.json_mapping(tree, "Pipfile.lock"), "default"))
    elif source.kind == "requirements":
        found = [
            name[0]
            for file in source.files
            for line in lines(manifests.text(tree, file))
            if (name := _NAME.match(line)) is not None
        ]
    else:
        said = manifests.toml(tree, "pyproject.toml")
        declared = manifests.mapping(said, "project").get("dependencies")
        found = [str(one) for one in declared] if isinstance(declared, list) else []
        found += list(manifests.mapping(said, "tool", "poetry", "dependencies"))
        found += re.findall(r"[\"'\s]([a-z][a-z0-9_-]+)\s*(?:[<>=~!]=|[\"'\n])", manifests.text(tree, "setup.py"))
        found += re.findall(r"^\s+([A-Za-z][\w.-]+)", manifests.text(tree, "setup.cfg"), re.MULTILINE)
        found = [match[0] for one in found if (match := _NAME.match(one))]
    return {canonicalize_name(name) for name in found if isinstance(name, str) and name}


def from_pipfile_lock(tree: Path) -> str:
    """Return the locked packages of a ``Pipfile.lock`` as a requirements file, with their hashes.

    :raises CorpusError: the lock is older than its Pipfile, or names something that has no hash and no url
    """
    lock = manifests.json_mapping(tree, "Pipfile.lock")
    _check_pipfile(tree, lock)
    text = []
    sources = [
        one
        for one in manifests.mapping(lock, "_meta").get("sources") or ()
        if isinstance(one, Mapping) and one.get("url")
    ]
    for number, source in enumerate(sources):
        text.append(f"{'--extra-index-url' if number else '--index-url'} {source['url']}")
    for name, package in manifests.mapping(lock, "default").items():
        text.append(_locked(name, package if isinstance(package, Mapping) else {}))
    return "\n".join(text) + "\n"


def _locked(name: str, package: Mapping[str, Any]) -> str:
    extras = f"[{','.join(package['extras'])}]" if package.get("extras") else ""
    marker = f" ; {package['markers']}" if package.get("markers") else ""
    if package.get("git"):
        return f"{name}{extras} @ git+{package['git']}@{package.get('ref', 'HEAD')}{marker}"
    if package.get("path"):
        return f"{'-e ' if package.get('editable') else ''}{package['path']}{extras}"
    if package.get("file"):
        return f"{name}{extras} @ {package['file']}{marker}"
    if not package.get("version"):
        raise CorpusError(f"Pipfile.lock: {name} has no version: run `pipenv lock`, and commit what it writes.")
    hashes = "".join(f" --hash={one}" for one in package.get("hashes") or ())
    return f"{name}{extras}{package['version']}{marker}{hashes}"


def _check_pipfile(tree: Path, lock: Mapping[str, Any]) -> None:
    """Compare what the lock remembers of its Pipfile with the Pipfile that is here."""
    if not manifests.present(tree, "Pipfile"):
        return
    said = manifests.toml(tree, "Pipfile")
    remembered = manifests.mapping(lock, "_meta", "hash").get("sha256")
    pypi = [{"url": "https://pypi.org/simple", "verify_ssl": True, "name": "pypi"}]
    meant: dict[str, Any] = {
        "_meta": {"sources": said.get("source", pypi), "requires": said.get("requires", {})},
        "default": said.get("packages", {}),
        "develop": said.get("dev-packages", {}),
    }
    known = {"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv", "default", "develop"}
    meant.update({name: values for name, values in said.items() if name not in known})
    now = hashlib.sha256(json.dumps(meant, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    if remembered and remembered != now:
        raise CorpusError(
            "Pipfile.lock is out of date: it was made from another Pipfile. Run `pipenv lock`, and commit what it writes."
        )
