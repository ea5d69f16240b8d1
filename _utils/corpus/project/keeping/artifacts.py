"""Artifacts: the archive files of a release, packed by staging; fetched, verified and unpacked by production."""

from __future__ import annotations

import io
import json
import lzma
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from corpus import files, identifiers, processes
from corpus.errors import CorpusError, MissingTool, ReleaseRefused
from corpus.project.keeping import trees
from corpus.project.keeping.releases import MANIFEST
from corpus.project.layout import Layout

if sys.version_info >= (3, 12):
    import tarfile
else:  # Debian 12's Python 3.11.2 has no extraction filters, and would unpack anything
    from backports import tarfile

#: member that lists the links to programs of the system: {path in the tree: absolute target}
_LINKS = ".corpus-links.json"
_SYSTEM = ("/usr/", "/bin/", "/lib/", "/lib64/")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_SECONDS = 30  # connect and read timeout of one request


@dataclass(frozen=True)
class Artifact:
    """One archive file of a release.

    :param url: where it is fetched from
    :param sha256: what its content must digest to, or None when only the release's manifest knows
    """

    url: str
    sha256: str | None

    @property
    def file_name(self) -> str:
        return Path(unquote(urlsplit(self.url).path)).name

    @classmethod
    def parsed(cls, entry: object) -> Artifact:
        """Read an entry of ``release_artifacts_urls``: a url, a url with ``#sha256=…``, or ``{url: …, sha256: …}``.

        :raises ReleaseRefused: it is none of these
        """
        digest: object = None
        if isinstance(entry, Mapping):
            url, digest = entry.get("url"), entry.get("sha256")
        else:
            url = entry
        if isinstance(url, str) and digest is None:
            url, fragment = urldefrag(url)
            digest = fragment.removeprefix("sha256=") or None
        if not isinstance(url, str) or _scheme(url) not in ("file", "http", "https", "ssh"):
            raise ReleaseRefused(
                f"release_artifacts_urls: {identifiers.shown(entry)} is no file, http, https or ssh url."
            )
        shown = _without_password(url)
        if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
            raise ReleaseRefused(f"release_artifacts_urls: the sha256 of {shown} must be 64 hexadecimal digits.")
        artifact = cls(url, digest.lower() if digest else None)
        if not artifact.file_name.endswith((".tar.zst", ".tar.gz", ".tgz", ".tar.xz", ".tar")):
            raise ReleaseRefused(
                f"release_artifacts_urls: {shown} is no .tar.zst, .tar.gz, .tgz, .tar.xz or .tar archive."
            )
        return artifact


def bundle(layout: Layout, release: str, cfg: Mapping[str, Any], facts: Mapping[str, Any], when: int) -> dict[str, Any]:
    """Pack ``deploy/`` into the release: a reproducible archive and a manifest.

    Names sorted, owners 0, one time stamp: the same content gives the same bytes.

    :param facts: what the manifest says besides (revision, who, when …)
    :param when: time stamp of every member, seconds since the epoch
    :returns: the manifest
    """
    folder = layout.release(release)
    name = f"{layout.name}-{release}.tar.zst"
    half = folder / f".{name}"
    contents = {}
    with (
        _compressed(half) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        links = _links_out(layout.deploy)
        if links:
            _add_text(tar, _LINKS, json.dumps(links, indent=1, sort_keys=True), when)
        for path in trees.walk(layout.deploy):
            relative = str(path.relative_to(layout.deploy))
            if relative in links:
                continue
            info = tar.gettarinfo(str(path), arcname=relative)
            if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                continue  # sockets and pipes do not travel
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = when
            if info.islnk() or info.isreg():
                info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
                contents[relative] = trees.sha256(path)
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    half.rename(folder / name)
    manifest = {
        **facts,
        "name": layout.name,
        "release": release,
        "api_version": cfg["api_version"],
        "mode": cfg["operation_mode"],
        "artifacts": {name: {"sha256": trees.sha256(folder / name), "size": (folder / name).stat().st_size}},
        "files": contents,
    }
    files.write_json(folder / MANIFEST, manifest)
    return manifest


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    zstandard = _zstandard()
    with (
        open(path, "wb", opener=_private) as raw,
        zstandard.ZstdCompressor(level=8, threads=0).stream_writer(raw) as stream,
    ):
        yield stream


def _private(path: str, flags: int) -> int:
    """Open for the owner alone: a release holds what the tree holds, settings with passwords too."""
    return os.open(path, flags, 0o600)


def _links_out(folder: Path) -> dict[str, str]:
    """Return the absolute links of a tree, to the Python that a virtual environment was made with, say."""
    found = {}
    for path in trees.walk(folder):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            found[str(path.relative_to(folder))] = os.readlink(path)
    return found


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


def fetch(entries: Sequence[object], folder: Path, user: str | None = None) -> list[Path]:
    """Fetch every artifact into ``folder`` and verify it.

    :param entries: of ``release_artifacts_urls``
    :param user: whose ssh key ssh urls are fetched with
    :returns: the verified files, in order
    :raises ReleaseRefused: a sum is wrong or unknown
    :raises CorpusError: something cannot be fetched
    """
    fetched: list[Path] = []
    for artifact in [Artifact.parsed(entry) for entry in entries]:
        target = folder / artifact.file_name
        if target in fetched:
            raise ReleaseRefused(f"release_artifacts_urls: two artifacts are called {artifact.file_name}.")
        _fetch(artifact.url, target, user)
        expected = artifact.sha256 or _sum_in_manifest(artifact, folder, user)
        actual = trees.sha256(target)
        if actual != expected:
            target.unlink()
            raise ReleaseRefused(
                f"{_without_password(artifact.url)} is not what was released: its sha256 is {actual}, the manifest says {expected}."
            )
        fetched.append(target)
    return fetched


def manifest_of(fetched: Path) -> dict[str, Any]:
    """Return the manifest that was fetched with an artifact.

    Empty when its url told the sum itself, and when it names other artifacts, too: its files may be theirs then.
    """
    manifest = dict(files.read_json(_manifest_beside(fetched), {}))
    return manifest if set(manifest.get("artifacts", ())) == {fetched.name} else {}


def _manifest_beside(fetched: Path) -> Path:
    return fetched.with_name(f"{fetched.name}.{MANIFEST}")


def _sum_in_manifest(artifact: Artifact, folder: Path, user: str | None) -> str:
    url = urljoin(artifact.url, MANIFEST) if "://" in artifact.url else artifact.url
    if artifact.url.startswith("ssh:"):  # urljoin knows no ssh
        url = artifact.url.rsplit("/", 1)[0] + "/" + MANIFEST
    target = _manifest_beside(folder / artifact.file_name)
    try:
        _fetch(url, target, user)
        manifest = json.loads(target.read_text(encoding="utf-8"))
        return str(manifest["artifacts"][artifact.file_name]["sha256"])
    except (CorpusError, ValueError, KeyError, TypeError) as err:
        raise ReleaseRefused(
            f"{_without_password(artifact.url)} cannot be verified: {_without_password(url)} "
            f"does not tell its sha256 ({err}). "
            "Keep the manifest beside the archive, or add #sha256=… to the url."
        ) from err


def _fetch(url: str, target: Path, user: str | None) -> None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        try:
            shutil.copyfile(unquote(parts.path), target)
        except OSError as err:
            raise CorpusError(f"{url} cannot be read: {err.strerror or err}.") from err
    elif parts.scheme == "ssh":
        if not parts.hostname or parts.hostname.startswith("-") or (parts.username or "").startswith("-"):
            raise ReleaseRefused(f"{identifiers.shown(url)} names no host.")
        place = f"{parts.username}@{parts.hostname}" if parts.username else parts.hostname
        port = ["-P", str(parts.port)] if parts.port else []
        processes.run(
            ["scp", "-q", "-o", "BatchMode=yes", *port, "--", f"{place}:{unquote(parts.path)}", target],
            user=user,
        )
    else:
        _download(url, target)


def _download(url: str, target: Path) -> None:
    import requests
    import urllib3

    # As it lies there: a server that compresses on the way would change the sum.
    headers = {"Accept-Encoding": "identity"}
    try:
        with requests.get(url, stream=True, timeout=_SECONDS, headers=headers) as answer:
            answer.raise_for_status()
            with target.open("wb") as stream:
                shutil.copyfileobj(answer.raw, stream, 1 << 20)
            expected = answer.headers.get("Content-Length")
            if expected and "Content-Encoding" not in answer.headers and target.stat().st_size != int(expected):
                raise CorpusError(
                    f"{_without_password(url)} was cut short: {target.stat().st_size} of {expected} bytes came."
                )
    except requests.RequestException as err:
        status = getattr(getattr(err, "response", None), "status_code", None)
        reason = f"the server answered {status}" if status else type(err).__name__
        raise CorpusError(f"{_without_password(url)} cannot be fetched: {reason}.") from err
    except urllib3.exceptions.HTTPError as err:
        raise CorpusError(f"{_without_password(url)} was cut short: {type(err).__name__}.") from err
    except OSError as err:
        raise CorpusError(f"{_without_password(url)} cannot be stored: {err.strerror or err}.") from err


def _without_password(url: str) -> str:
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


def _scheme(url: str) -> str | None:
    """Return the scheme of a url, or None when it is malformed."""
    try:
        parts, port = urlsplit(url), urlsplit(url).port
    except ValueError:
        return None
    return None if port == 0 else parts.scheme


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


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that ``folder`` holds every file of the manifest with its content.

    :raises ReleaseRefused: the first that differs
    """
    for relative, expected in manifest.get("files", {}).items():
        path = folder / relative
        if not path.is_file() or trees.sha256(path) != expected:
            raise ReleaseRefused(f"{relative} is not what the release's manifest says.")
