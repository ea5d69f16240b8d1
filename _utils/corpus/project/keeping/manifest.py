"""The manifest of a release: every file with its sum, and what a machine must know before it takes the release."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corpus.errors import ReleaseRefused
from corpus.project.keeping import bytecode, trees

MANIFEST = "manifest.json"
SBOM = "sbom.cdx.json"
#: of manifests that this version writes, and the highest that it reads
FORMAT = 1


def parsed(text: str, where: str) -> dict[str, Any]:
    """Return a manifest that was fetched.

    :param where: it came from, for a message
    :raises ReleaseRefused: it is no manifest, or one of a later format
    """
    try:
        manifest = json.loads(text)
    except ValueError as err:
        raise ReleaseRefused(f"{where} is no manifest: {err}.") from err
    if not isinstance(manifest, dict) or not isinstance(manifest.get("artifacts"), dict):
        raise ReleaseRefused(f"{where} is no manifest: it lists no artifacts.")
    if not isinstance(manifest.get("format", 0), int) or manifest.get("format", 0) > FORMAT:
        raise ReleaseRefused(f"{where} was written by a later corpus (format {manifest['format']}): update this one.")
    return manifest


def file_mode(mode: int) -> int:
    """Return the permission bits that a file has once it was unpacked (those that Python's ``data`` filter leaves)."""
    mode = (mode & 0o755) | 0o600
    return mode if mode & 0o100 else mode & ~0o111


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that ``folder`` holds every file and every link of a manifest as it was released.

    :raises ReleaseRefused: the first that differs
    """
    for words in differences(folder, manifest):
        raise ReleaseRefused(f"{words}.")


def differences(folder: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what of a release ``folder`` does not hold as it was released. More files are no difference."""
    for relative, expected in manifest.get("files", {}).items():
        path = folder / relative
        about = expected if isinstance(expected, Mapping) else {"sha256": expected}
        if path.is_symlink() or not path.is_file() or trees.sha256(path) != about.get("sha256"):
            yield f"{relative} is not what the release's manifest says"
        elif "mode" in about and f"{file_mode(path.stat().st_mode):04o}" != about["mode"]:
            yield f"{relative} has other permissions than the release's manifest says"
    for relative, target in manifest.get("links", {}).items():
        path = folder / relative
        if not path.is_symlink() or os.readlink(path) != target:
            yield f"{relative} does not lead where the release's manifest says"


def additional(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return the files below ``folder`` that its release does not have; ``.git`` is not looked into.

    What Python compiles when it runs is left out, too: it is made from files that the release has, or that are named here.
    """
    known = {*manifest.get("files", {}), *manifest.get("links", {})}
    found = []
    for path in trees.walk(folder):
        relative = str(path.relative_to(folder))
        if relative.split("/")[0] == ".git" or relative in known or bytecode.is_cached(path):
            continue
        if path.is_symlink() or not path.is_dir():
            found.append(relative)
    return found
