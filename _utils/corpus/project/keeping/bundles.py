"""Bundles: the tree of a release in one file, packed by staging, unpacked by production."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from corpus import files, identifiers
from corpus.errors import CorpusError, MissingTool, ReleaseRefused
from corpus.project.keeping import bytecode, trees
from corpus.project.keeping.manifest import FORMAT, MANIFEST, file_mode
from corpus.project.layout import Layout

if sys.version_info >= (3, 12):
    import tarfile
else:  # Debian 12's Python 3.11.2 has no extraction filters, and would unpack anything
    from backports import tarfile

#: member that lists the links to programs of the system: {path in the tree: absolute target}
_LINKS = ".corpus-links.json"
#: of compression: 8 takes four times as long for a tenth less, and every push waits for it
_LEVEL = 3
_SYSTEM = ("/usr/", "/bin/", "/lib/", "/lib64/")


def pack(layout: Layout, release: str, cfg: Mapping[str, Any], facts: Mapping[str, Any], when: int) -> dict[str, Any]:
    """Pack ``deploy/`` into the release: a reproducible archive and a manifest.

    Names sorted, owners 0, one time stamp: the same content gives the same bytes. Compiled files that Python would write
    again there are left out.

    :param facts: what the manifest says besides (revision, who, when …)
    :param when: time stamp of every member, seconds since the epoch
    :returns: the manifest
    """
    folder = layout.release(release)
    name = f"{layout.name}-{release}.tar.zst"
    half = folder / f".{name}"
    contents: dict[str, dict[str, str]] = {}
    inner: dict[str, str] = {}
    own_path = str(layout.project).encode()
    bound = []
    with (
        _compressed(half) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        links = links_out(layout.deploy)
        if links:
            _add_text(tar, _LINKS, json.dumps(links, indent=1, sort_keys=True), when)
        start = len(str(layout.deploy)) + 1
        for entry in trees.entries(layout.deploy):
            path, relative = Path(entry.path), entry.path[start:]
            if relative in links or bytecode.passes(path):
                continue
            info = _member(entry, relative, when)
            if info is None:
                continue
            if info.isreg():
                with _Read(path, own_path) as content:
                    tar.addfile(info, content)
                contents[relative] = {"sha256": content.sha256, "mode": f"{info.mode:04o}"}
                if content.mentioned and not relative.endswith(".pyc"):
                    bound.append(relative)
            else:
                if info.issym():
                    inner[relative] = info.linkname
                tar.addfile(info)
    half.rename(folder / name)
    relocatable = cfg.get("relocatable")
    manifest = {
        **facts,
        "format": FORMAT,
        "name": layout.name,
        "release": release,
        "api_version": cfg["api_version"],
        "mode": cfg["operation_mode"],
        "project_root": str(layout.project),
        "relocatable": not bound if relocatable is None else relocatable,
        "bound_by": sorted(bound)[:5],
        "artifacts": {name: {"sha256": trees.sha256(folder / name), "size": (folder / name).stat().st_size}},
        "files": contents,
        "links": {**inner, **links},
    }
    files.write_json(folder / MANIFEST, manifest)
    return manifest


def _member(entry: os.DirEntry[str], name: str, when: int) -> tarfile.TarInfo | None:
    """Return how an entry of a tree is called in its archive; None for sockets and pipes, which do not travel."""
    status = entry.stat(follow_symlinks=False)
    info = tarfile.TarInfo(name)
    info.mtime = when
    if stat.S_ISREG(status.st_mode):
        info.type, info.size, info.mode = tarfile.REGTYPE, status.st_size, file_mode(status.st_mode)
    elif stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, stat.S_IMODE(status.st_mode)
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(entry.path), stat.S_IMODE(status.st_mode)
    else:
        return None
    return info


class _Read:
    """A file that is read once, from its beginning to its end, and tells of what it was.

    :param path: of the file
    :param text: to look for in it: a file that names a path works nowhere else
    """

    def __init__(self, path: Path, text: bytes) -> None:
        self._path, self._text, self._rest = path, text, b""
        self._digest = hashlib.sha256()
        self.mentioned = False

    def __enter__(self) -> _Read:
        self._stream = self._path.open("rb")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most ``size``."""
        block = self._stream.read(size)
        self._digest.update(block)
        self.mentioned = self.mentioned or self._text in self._rest + block
        self._rest = (self._rest + block)[-len(self._text) :]
        return block

    @property
    def sha256(self) -> str:
        """Of everything that was read, in hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    zstandard = _zstandard()
    # Without threads: a worker that is forked later would wait for them for ever.
    with (
        open(path, "wb", opener=_private) as raw,
        zstandard.ZstdCompressor(level=_LEVEL).stream_writer(raw) as stream,
    ):
        yield stream


def _private(path: str, flags: int) -> int:
    """Open for the owner alone: a release holds what the tree holds, settings with passwords too."""
    return os.open(path, flags, 0o600)


def links_out(folder: Path) -> dict[str, str]:
    """Return the absolute links of a tree, to the Python that a virtual environment was made with, say."""
    start = len(str(folder)) + 1
    links = ((entry.path[start:], os.readlink(entry.path)) for entry in trees.entries(folder) if entry.is_symlink())
    return {path: target for path, target in links if target.startswith("/")}


def _add_text(tar: tarfile.TarFile, name: str, text: str, when: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(text.encode()), when
    tar.addfile(info, io.BytesIO(text.encode()))


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as err:
        raise MissingTool("Releases are packed with zstd: install the Python package zstandard beside Salt.") from err
    return zstandard


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a verified archive into ``folder``.

    Python's ``data`` filter (PEP 706) refuses absolute members, ``..``, links that lead out, and devices. It judges a
    link by what is there when the link is made; what later members make of it, and what several versions of Python
    missed, is refused by two rules more: nothing goes through a link, and in the end every link leads inside.

    :raises ReleaseRefused: a member would leave the folder, or the archive is damaged
    """
    try:
        with _decompressed(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extraction_filter = _data_filter
            tar.extractall(folder)  # noqa: S202 - the filter above decides what may be unpacked
            while stream.read(1 << 20):  # the end of the compressed stream holds its check sum: read it
                pass
        _check_links(folder, archive.name)
        _make_system_links(folder, archive.name)
    except tarfile.FilterError as err:
        raise ReleaseRefused(f"{archive.name} is refused: {err}.") from err
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error, lzma.LZMAError) as err:
        if isinstance(err, OSError) and err.errno is not None:
            raise CorpusError(f"{archive.name} cannot be unpacked: {err.strerror}.") from err
        raise ReleaseRefused(f"{archive.name} is damaged or cut short: {err}.") from err


def _data_filter(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    if member.name.startswith("/"):  # the data filter only strips the slash: a release never has one
        raise tarfile.AbsolutePathError(member)
    place = Path(path, member.name)
    ways = [*place.parents, *([] if member.issym() else [place])]
    if member.islnk():
        ways += [Path(path, member.linkname), *Path(path, member.linkname).parents]
    if any(way.is_symlink() for way in ways if len(way.parts) > len(Path(path).parts)):
        raise tarfile.OutsideDestinationError(member, str(place))
    return tarfile.data_filter(member, path)


def _check_links(folder: Path, name: str) -> None:
    root = folder.resolve()
    for path in trees.walk(folder):
        if path.is_symlink() and not _leads_inside(path, root):
            path.unlink()
            raise ReleaseRefused(f"{name} is refused: {path.relative_to(folder)} is a link that leads out.")


def _make_system_links(folder: Path, name: str) -> None:
    """Make the links to programs of the system that the archive lists; no other link may lead out of the tree.

    :raises ReleaseRefused: a link would stand elsewhere, or lead elsewhere
    :raises CorpusError: the program is not installed here
    """
    listed = files.read_json(folder / _LINKS, {})
    (folder / _LINKS).unlink(missing_ok=True)
    for relative, target in listed.items() if isinstance(listed, dict) else ():
        link = Path(os.path.normpath(folder / relative))
        inside = link.is_relative_to(folder) and link.parent.resolve().is_relative_to(folder.resolve())
        if not inside or os.path.lexists(link) or os.path.normpath(str(target)) != target:
            raise ReleaseRefused(f"{name} is refused: its link {identifiers.shown(relative)} cannot be made.")
        if not target.startswith(_SYSTEM):
            raise ReleaseRefused(f"{name} is refused: {relative} leads to {target}, which is no program of the system.")
        if not os.path.exists(target):
            raise CorpusError(f"{name} needs {target}, which is not installed here.")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _leads_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop leads nowhere
        return False


@contextmanager
def _decompressed(archive: Path) -> Iterator[Any]:
    with archive.open("rb") as raw:
        if archive.name.endswith(".zst"):
            zstandard = _zstandard()
            try:
                with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                    yield stream
            except zstandard.ZstdError as err:
                raise ReleaseRefused(f"{archive.name} is damaged or cut short: {err}.") from err
        elif archive.name.endswith((".gz", ".tgz")):
            import gzip

            with gzip.open(raw) as stream:
                yield stream
        elif archive.name.endswith(".xz"):
            with lzma.open(raw) as stream:
                yield stream
        else:
            yield raw
