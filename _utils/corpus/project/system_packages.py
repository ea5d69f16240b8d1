"""Packages of the system that a project needs: named in its configuration, or told by what was built.

Nothing of a tree is run to find out: ELF files are read (pyelftools), names are asked of ldconfig and dpkg.
"""

from __future__ import annotations

import re
import shutil
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corpus import identifiers, processes
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.keeping import trees
from corpus.project.minion import Minion, first_line

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.+:_-]{0,99}")
_PYTHON = re.compile(r"/usr/bin/(python3(?:\.\d+)?)")
#: programs of every Debian system, whose packages need not be named
_EVERYWHERE = frozenset({"sh", "bash", "env", "true", "false", "cat", "exec"})
_LDCONFIG_LINE = re.compile(r"\s*(\S+) \(.*\) => (/\S+)")


def configured(cfg: Mapping[str, Any], grains: Mapping[str, Any]) -> list[str]:
    """Return the packages that ``system_packages`` names for this system.

    :raises ConfigurationError: one of them is no name of a package
    """
    value = cfg.get("system_packages") or []
    if isinstance(value, Mapping):
        value = [name for grain in ("os_family", "os") for name in _listed(value.get(str(grains.get(grain))))]
    names = sorted({str(name) for name in value})
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"system_packages: {identifiers.shown(name)} is no name of a package.")
    return names


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def ensure(minion: Minion, names: Iterable[str], install: bool | None) -> str:
    """See that packages are installed; return what was done, in words.

    :param install: whether to install what is missing; None: when we are root
    :raises CorpusError: one of them is missing still; the sentence names it
    """
    wanted = sorted(set(names))
    gone = _missing(minion, wanted)
    if gone and (minion.privileged if install is None else install):
        try:
            minion.functions["pkg.install"](pkgs=gone)
        except Exception as err:  # Salt's, of many kinds
            raise CorpusError(f"System packages cannot be installed ({', '.join(gone)}): {first_line(err)}") from err
        left = _missing(minion, gone)
        if left:
            raise CorpusError(f"The package system knows no {', '.join(left)}: correct system_packages.")
        return f"system packages installed: {', '.join(gone)}"
    if gone:
        raise CorpusError(f"System packages are missing: have an administrator install {' '.join(gone)}.")
    return f"{len(wanted)} system packages are there" if wanted else ""


def _missing(minion: Minion, names: list[str]) -> list[str]:
    if not names:
        return []
    if shutil.which("dpkg-query"):
        return sorted(set(names) - set(versions(names)))
    return [name for name in names if not minion.functions["pkg.version"](name)]


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those Debian packages that are installed; one that another provides counts as installed."""
    wanted = {name.partition(":")[0] for name in names}
    shown = processes.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Abbrev}\t${Provides}\n"], check=False
    ).output
    found: dict[str, str] = {}
    for row in shown.splitlines():
        name, version, status, provides = (*row.split("\t"), "", "", "")[:4]
        if not status.startswith("ii"):
            continue
        for word in (name, *(part.split("(")[0].strip() for part in provides.split(","))):
            if word in wanted and (word == name or word not in found):
                found[word] = version
    return {name: found[name.partition(":")[0]] for name in names if name.partition(":")[0] in found}


def needed(tree: Path, links: Mapping[str, str], commands: Iterable[str]) -> dict[str, str]:
    """Return the Debian packages that a built tree needs, with the versions that are installed.

    They have the shared libraries that its extensions link to, what its links lead to (the interpreter of a virtual
    environment), the interpreters of its scripts, and the programs of its processes.

    :param tree: a built tree
    :param links: its links that lead out of it: ``{path: absolute target}``
    :param commands: command lines of its processes
    :returns: ``{name: version}``; empty where dpkg is not the package system
    """
    if not shutil.which("dpkg-query"):
        return {}
    files = {target for target in links.values() if not _PYTHON.fullmatch(target)}
    names = {match[1] for target in links.values() if (match := _PYTHON.fullmatch(target))}
    libraries, interpreters = _read(tree)
    cache = _library_cache()
    files |= {cache[library] for library in libraries if library in cache}
    for program in interpreters | {words[0] for command in commands if (words := command.split())}:
        place = program if program.startswith("/") else shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
        if (
            Path(program).name in _EVERYWHERE
            or not place
            or (program != place and (tree / "venv/bin" / program).exists())
        ):
            continue
        match = _PYTHON.fullmatch(place)
        names |= {match[1]} if match else set()
        files |= set() if match else {place}
    return versions(sorted(names | _owners(files)))


def native(tree: Path) -> bool:
    """Tell whether a tree holds machine code, which runs on one kind of machine only."""
    return any(_is_elf(entry.path) for entry in trees.entries(tree) if entry.is_file(follow_symlinks=False))


def _is_elf(path: str) -> bool:
    with open(path, "rb", buffering=0) as stream:
        return stream.read(4) == b"\x7fELF"


def _read(tree: Path) -> tuple[set[str], set[str]]:
    """Return the libraries that a tree's ELF files want and it does not bring, and its scripts' interpreters."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    wanted: set[str] = set()
    brought: set[str] = set()
    interpreters: set[str] = set()
    for entry in trees.entries(tree):
        if not entry.is_file(follow_symlinks=False):
            continue
        with open(entry.path, "rb") as stream:
            beginning = stream.read(256)
            if beginning.startswith(b"\x7fELF"):
                brought.add(entry.name)
                try:
                    for section in ELFFile(stream).iter_sections("SHT_DYNAMIC"):
                        if isinstance(section, DynamicSection):
                            wanted |= {str(getattr(tag, "needed", "")) for tag in section.iter_tags("DT_NEEDED")}
                except (ELFError, ValueError, KeyError):
                    continue
            elif beginning.startswith(b"#!") and entry.stat().st_mode & 0o100:
                words = beginning[2:].partition(b"\n")[0].decode("utf-8", "replace").split()
                words = [word for word in words if word != "-S"]
                if words and set(words[0]) <= set(string.printable):
                    interpreters.add(words[1] if words[0].endswith("/env") and len(words) > 1 else words[0])
    return wanted - brought, {word for word in interpreters if not word.startswith(str(tree))}


def _library_cache() -> dict[str, str]:
    """Return the system's shared libraries: ``{soname: path}``."""
    shown = processes.run(["ldconfig", "-p"], check=False).output
    matches = (_LDCONFIG_LINE.fullmatch(row) for row in shown.splitlines())
    return {match[1]: match[2] for match in matches if match}


def _owners(paths: Iterable[str]) -> set[str]:
    """Return the Debian packages that own files; dpkg knows some below /usr, and some by the names before usrmerge."""
    asked: set[str] = set()
    for path in paths:
        for one in {path, str(Path(path).resolve())}:
            asked |= {one, one.removeprefix("/usr") if one.startswith("/usr/") else f"/usr{one}"}
    if not asked:
        return set()
    shown = processes.run(["dpkg-query", "-S", *sorted(asked)], check=False).output
    return {
        row.partition(": ")[0].split(",")[0].partition(":")[0]
        for row in shown.splitlines()
        if ": " in row and not row.startswith("diversion ")
    }
