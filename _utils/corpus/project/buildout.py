"""A tree that zc.buildout builds: its parts, as far as its configuration says them without being run."""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import identifiers
from corpus.errors import CorpusError

#: folder of the tree with what corpus adds: a configuration that extends the tree's, and the launcher
FOLDER = ".zope"
_INSTANCE = "plone.recipe.zope2instance"
_ON = ("on", "true", "yes", "1")


@dataclass(frozen=True)
class Buildout:
    """What a tree's buildout says.

    :param instances: names of the parts that are Zope instances, in the order of the files
    :param shared: whether several processes may use its database at once (ZEO or RelStorage)
    :param version: of zc.buildout that it pins, or an empty text
    """

    instances: tuple[str, ...]
    shared: bool
    version: str


def read(tree: Path, name: str = "buildout.cfg") -> Buildout:
    """Read a buildout's configuration and the files of the tree that it extends.

    :raises CorpusError: it cannot be read, or it has no Zope instance
    """
    sections: dict[str, dict[str, str]] = {}
    for path in _files(tree, tree / name, ()):
        for section, values in _parsed(path, tree).items():
            sections.setdefault(section, {}).update(values)
    instances = [part for part, values in sections.items() if values.get("recipe", "").split("[")[0] == _INSTANCE]
    if not instances:
        raise CorpusError(f"{name} has no part with the recipe {_INSTANCE}: there is no Zope instance to run.")
    web = sections[instances[0]]
    shared = web.get("zeo-client", "").lower() in _ON or "rel-storage" in web or "storage-wrapper" in web
    return Buildout(tuple(instances), shared, sections.get("versions", {}).get("zc.buildout", ""))


def _files(tree: Path, path: Path, seen: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files that make a configuration, the weakest first; those elsewhere are buildout's to fetch."""
    path = path.resolve()
    if path in seen or not path.is_relative_to(tree.resolve()):
        return
    extends = _parsed(path, tree).get("buildout", {}).get("extends", "").split()
    for other in extends:
        if "://" not in other:
            yield from _files(tree, path.parent / other, (*seen, path))
    yield path


def _parsed(path: Path, tree: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(
        strict=False, allow_no_value=True, delimiters=("=",), comment_prefixes=("#", ";")
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as err:
        words = " ".join(str(err).split())
        raise CorpusError(f"{path.name} of the buildout cannot be read: {words}") from err
    return {
        section: {key.rstrip(" +-"): value or "" for key, value in parser.items(section)}
        for section in parser.sections()
    }


def instance(cfg: Mapping[str, Any], found: Buildout) -> str:
    """Return the instance that is the web process.

    :raises CorpusError: the configured one is none of the buildout's
    """
    wanted = cfg["data"]["zope"]["instance"] or found.instances[0]
    if wanted not in found.instances:
        raise CorpusError(
            f"data.zope.instance: {identifiers.shown(wanted)} is no instance: the buildout has {', '.join(found.instances)}."
        )
    return str(wanted)


def overlay(cfg: Mapping[str, Any]) -> str:
    """Return the configuration that buildout is run with: the tree's own, its caches in the home of the project's user."""
    cache = f"{cfg['home']}/.buildout"
    return f"""\
# Written by corpus.
[buildout]
extends = ../{cfg["data"]["zope"]["buildout"]}
directory = {cfg["project_root"]}
eggs-directory = {cfg["project_root"]}/eggs
download-cache = {cache}/downloads
extends-cache = {cache}/extends
"""


def launcher(name: str) -> str:
    """Return the program of the web process: the instance's own WSGI configuration, but for the port."""
    return f'''\
"""Written by corpus: serves the instance {name} on $PORT."""

import configparser
import os
import sys
import tempfile

tree = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
part = os.path.join(tree, "parts", "{name}")
ini = configparser.RawConfigParser()
ini.optionxform = str
if not ini.read(os.path.join(part, "etc", "wsgi.ini")):
    sys.exit("The instance {name} has no parts/{name}/etc/wsgi.ini: is it a WSGI instance?")
server = ini["server:main"]
key = "fast-listen" if "fast-listen" in server else "listen"
for other in ("fast-listen", "listen", "host", "port"):
    server.pop(other, None)
server[key] = "127.0.0.1:" + os.environ["PORT"]
for folder in ("log", "filestorage", "blobstorage", "cache", "{name}"):
    os.makedirs(os.path.join(tree, "var", folder), exist_ok=True)
with tempfile.NamedTemporaryFile("w", suffix=".ini", delete=False) as stream:
    ini.write(stream)
interpreter = os.path.join(part, "bin", "interpreter")
os.execv(interpreter, [interpreter, "-m", "Zope2.Startup.serve", stream.name])
'''
