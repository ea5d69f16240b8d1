"""Salt and this pack as a machine has them: below ``/opt/corpus``, for the machine's own Python.

It is put together here, where packages are to be had, and not there. The same packages make the same files.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PathDistribution, version
from pathlib import Path
from typing import IO

import corpus
from corpus import processes, tree
from corpus.errors import CorpusError

#: Where it is, as the machine names it
HOME = "/opt/corpus"
#: Files of an image are never younger: 2025-01-01, in seconds since 1970
EPOCH = 1735689600

_PROGRAMS = ("salt-call", "salt-minion")
_UNTOLD = ("direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED", "INSTALLER")
_TAR = (
    "--sort=name",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
    "--format=posix",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    f"--mtime=@{EPOCH}",
    "--clamp-mtime",
)
_SOURCES = ("_[a-z]*", "projects", "salt", "setup.py", "pyproject.toml", "README.rst", "LICENSE")


@dataclass(frozen=True)
class Packed:
    """An archive that was written.

    :param digest: of the archive, SHA-256 in hexadecimal
    :param content: of what is in it, before it was compressed, likewise
    :param size: of the archive, in bytes
    """

    digest: str
    content: str
    size: int


def python_of(root: Path) -> str:
    """Return the version of a root file system's Python, ``3.11``.

    :raises CorpusError: it has none
    """
    interpreter = root / "usr/bin/python3"
    found = re.fullmatch(r"python(3\.[0-9]+)", os.readlink(interpreter) if interpreter.is_symlink() else "")
    if not found:
        raise CorpusError(f"There is no Python in {root}: install python3 in it.")
    return found[1]


def requirements() -> str:
    """Return what decides which packages are installed beside the pack, for a digest."""
    top = tree.checkout()
    told = (top / "pyproject.toml").read_text().partition("[project.opt")[0] if top else corpus.__version__
    return f"{told}\n{_salt()}"


def install(root: Path, say: Callable[[str], None]) -> None:
    """Install Salt, and what this pack needs, into a root file system, for its Python.

    Packages come from the index that this machine is configured for; nothing of that configuration stays in the root.

    :raises CorpusError: a package was not to be had
    """
    python = python_of(root)
    say(f"Salt for Python {python}")
    home = _places(root)[0]
    shutil.rmtree(home, ignore_errors=True)
    (home / "bin").mkdir(parents=True)
    (home / "bin/python").symlink_to("/usr/bin/python3")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    top = tree.checkout()
    _add(root, *(["-r", str(top / "pyproject.toml")] if top else [f"corpus-salt=={corpus.__version__}"]), _salt())
    _compile(root, f"{HOME}/lib")
    for program in _PROGRAMS:
        link = root / "usr/local/bin" / program
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"{HOME}/bin/{program}")


def install_pack(root: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Install this pack into a root file system that has Salt already.

    :returns: the version of each Python package, by name
    """
    packages = _places(root)[1]
    if tree.checkout() is not None:
        say(f"corpus {corpus.__version__}")
        with tempfile.TemporaryDirectory(prefix="corpus-pack-") as folder:
            _copy_sources(Path(folder))
            _add(root, "--no-deps", folder)
        _compile(root, f"{HOME}/{packages.relative_to(root / HOME.lstrip('/'))}/corpus")
    return dict(_versions(packages))


def _places(root: Path) -> tuple[Path, Path]:
    """Where Salt's home and its Python packages are, seen from here."""
    home = root / HOME.lstrip("/")
    return home, home / f"lib/python{python_of(root)}/site-packages"


def _add(root: Path, *wanted: str) -> None:
    home, packages = _places(root)
    words = ["--quiet", "--python", sys.executable, "--python-version", python_of(root), "--link-mode=copy"]
    processes.run(
        ["uv", "pip", "install", *words, "--target", packages, *wanted],
        env={"VIRTUAL_ENV": None, "PYTHONPATH": None, **_index()},
        cwd="/",
        timeout=900,
    )
    _programs(home, packages)
    _untold(packages)


def source_digest() -> str:
    """Return a digest of this pack's own files, so that an image is known to be of another state of them."""
    top = tree.checkout()
    if top is None:
        return f"version {corpus.__version__}"
    total = hashlib.sha256()
    for path in _sources(top):
        total.update(f"{path.relative_to(top)}\0{stat.S_IMODE(path.stat().st_mode) & 0o111}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def pack(folder: Path, archive: Path, *names: str, exclude: tuple[str, ...] = ()) -> Packed:
    """Write files of a folder into an archive (tar, zstd); the same files make the same archive.

    :param names: what to put in, relative to the folder
    :param exclude: patterns of what to leave out
    """
    import zstandard

    inside, outside = hashlib.sha256(), hashlib.sha256()
    words = [processes.which("tar"), *_TAR, *(f"--exclude={pattern}" for pattern in exclude), "-c", "--", *names]
    with archive.open("wb") as out, tempfile.TemporaryFile() as errors:
        packer = zstandard.ZstdCompressor(level=3).compressobj()
        with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=errors) as process:
            assert process.stdout is not None
            for block in _blocks(process.stdout):
                inside.update(block)
                _put(out, packer.compress(block), outside)
        _put(out, packer.flush(), outside)
        if process.returncode:
            errors.seek(0)
            raise CorpusError(
                f"{archive.name} could not be written: {errors.read().decode('utf-8', 'replace').strip()}"
            )
        out.flush()
        os.fsync(out.fileno())
        return Packed(outside.hexdigest(), inside.hexdigest(), out.tell())


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(1 << 20):
        yield block


def _put(out: IO[bytes], block: bytes, digest: hashlib._Hash) -> None:
    out.write(block)
    digest.update(block)


def _sources(top: Path) -> list[Path]:
    """Every file of the pack, sorted; none that was made of them."""
    found: list[Path] = []
    for pattern in _SOURCES:
        for place in top.glob(pattern):
            found += place.rglob("*") if place.is_dir() else [place]
    made = re.compile(r"__pycache__|\.egg-info|\.pyc$")
    return sorted(path for path in found if path.is_file() and not made.search(str(path.relative_to(top))))


def _copy_sources(folder: Path) -> None:
    """Copy this pack's sources: building would litter the checkout."""
    top = tree.checkout()
    assert top is not None
    for path in _sources(top):
        copy = folder / path.relative_to(top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def _salt() -> str:
    """A minion is not newer than its master."""
    return f"salt=={version('salt')}"


def _index() -> dict[str, str]:
    """An index that only pip was told of in the environment counts, too."""
    url = os.environ.get("PIP_INDEX_URL")
    told = any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"))
    return {"UV_DEFAULT_INDEX": url} if url and not told else {}


def _programs(home: Path, packages: Path) -> None:
    """Move the programs to where they are looked for, and let them run by the machine's Python."""
    for program in sorted((packages / "bin").glob("*")):
        content = program.read_bytes()
        if content.startswith(b"#!"):
            lines = content.split(b"\n")
            # a path that is too long for the first line is called by a shell on the next two
            del lines[: 3 if lines[0] == b"#!/bin/sh" and b"exec" in lines[1] else 1]
            content = b"\n".join([f"#!{HOME}/bin/python".encode(), *lines])
        target = home / "bin" / program.name
        target.write_bytes(content)
        target.chmod(0o755)
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _untold(packages: Path) -> None:
    """Remove what tells of the machine on which this was installed, and of the moment."""
    (packages / ".lock").unlink(missing_ok=True)
    for information in packages.glob("*.dist-info"):
        for name in _UNTOLD:
            (information / name).unlink(missing_ok=True)
        record = information / "RECORD"
        if record.exists():
            lines = sorted(
                line
                for line in record.read_text().splitlines()
                if not line.startswith(("bin/", "../"))
                and not line.partition(",")[0].endswith((".pyc", *(f".dist-info/{name}" for name in _UNTOLD)))
            )
            record.write_text("".join(f"{line}\n" for line in lines))


def _versions(packages: Path) -> Iterator[tuple[str, str]]:
    for information in sorted(packages.glob("*.dist-info")):
        found = PathDistribution(information)
        yield found.metadata["Name"].lower(), found.version


def _compile(root: Path, folder: str) -> None:
    """Compile what is in a folder once, here; the machine trusts it without looking at times, which are not kept."""
    words = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", folder]
    clean = {name: None for name in os.environ if name.startswith("PYTHON")}
    processes.run(
        ["chroot", root, "/usr/bin/python3", *words], env={**clean, "PYTHONHASHSEED": "0"}, check=False, timeout=600
    )
