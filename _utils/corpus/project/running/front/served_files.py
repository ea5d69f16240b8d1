"""What the front serves as files by itself: the document root, and folders of the tree or of the data.

A path is checked before nginx sees it; what a link in such a folder leads to is checked by nginx, at each request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import ConfigurationError
from corpus.identifiers import shown

_PREFIX = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?")
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Served:
    """A folder or a file that is served below a prefix.

    :param prefix: of the url's path; ends with ``/`` when a folder is served
    :param path: of the folder or file, absolute
    :param base: the folder, absolute, out of which no link may lead
    :param max_age: seconds for which clients may keep a file without asking again; None: nothing is said
    :param hashed: whether a file with a hash in its name may be kept forever
    """

    prefix: str
    path: str
    base: str
    max_age: int | None = None
    hashed: bool = False


def nameable(key: str, path: str) -> str:
    """Return a path that can stand in nginx's configuration.

    :raises ConfigurationError: it has a sign that would mean something there
    """
    if any(sign in path for sign in '"\\${};') or not path.isprintable():
        raise ConfigurationError(f"{key}: {path!r} has a character that a web server cannot name.")
    return path


def document_root(cfg: Mapping[str, Any], tree: Path) -> Path | None:
    """Return the folder of ``tree`` that is served as files, or None.

    :raises ConfigurationError: it leads out of the tree, or nginx could not name it
    """
    given = cfg["document_root"]
    if given is None:
        return None
    nameable("document_root", given)
    folder = (tree / str(given)).resolve()
    if given.startswith("/") or not folder.is_relative_to(tree.resolve()):
        raise ConfigurationError(f"document_root: {given!r} leads out of the project's tree.")
    return folder


def static_files(cfg: Mapping[str, Any], tree: Path) -> list[Served]:
    """Return what ``static_files`` serves, as it lies in ``tree`` or in the data, longest prefix first.

    :param tree: absolute; where the tree is now
    :raises ConfigurationError: a prefix is none, a folder leads out, or a setting is unknown
    """
    found = [_served(prefix, given, cfg, tree) for prefix, given in cfg["static_files"].items()]
    return sorted(found, key=lambda served: (-len(served.prefix), served.prefix))


def _served(prefix: object, given: object, cfg: Mapping[str, Any], tree: Path) -> Served:
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix) or len(prefix) > 200:
        raise ConfigurationError(
            f"static_files: {shown(prefix)} is no prefix of a url: write it as /static/, or /robots.txt for one file."
        )
    options = dict(given) if isinstance(given, Mapping) else {"folder": given}
    unknown = sorted(str(key) for key in set(options) - {"folder", "max_age", "hashed"})
    if unknown:
        raise ConfigurationError(
            f"static_files: {prefix} has no setting {shown(unknown[0])}: use folder, max_age, hashed."
        )
    path, base = _place(prefix, options.get("folder"), Path(str(cfg["data_root"])), tree)
    if not prefix.endswith("/") and path.is_dir():
        raise ConfigurationError(f"static_files: {prefix} names one file, but a folder is there: write {prefix}/.")
    age, hashed = options.get("max_age"), options.get("hashed", False)
    if age is not None and (isinstance(age, bool) or not isinstance(age, int) or not 0 <= age <= 10 * _YEAR):
        raise ConfigurationError(f"static_files: max_age of {prefix} is a whole number of seconds, not {shown(age)}.")
    if not isinstance(hashed, bool):
        raise ConfigurationError(f"static_files: hashed of {prefix} is yes or no, not {shown(hashed)}.")
    return Served(prefix, str(path), str(base), age, hashed)


def _place(prefix: str, folder: object, data: Path, tree: Path) -> tuple[Path, Path]:
    """Return a served path and the folder that it must stay in, without links."""
    if not isinstance(folder, str) or not folder:
        raise ConfigurationError(f"static_files: {prefix} needs a folder of the tree or of data_root.")
    nameable("static_files", folder)
    path = tree / folder  # an absolute one stands alone
    for base in (tree, data):
        inside = ".." not in path.parts and path.is_relative_to(base)
        if inside and path.resolve().is_relative_to(base.resolve()):
            return path.resolve(), base.resolve()  # below it nginx looks at links, on the way there we did
    raise ConfigurationError(
        f"static_files: {folder!r} (for {prefix}) leads out of the project's tree and its data_root."
    )
