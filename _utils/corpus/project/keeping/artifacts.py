"""Artifacts: the files of a release where production fetches them from, each verified before it counts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from corpus import files, identifiers, processes
from corpus.errors import CorpusError, ReleaseRefused
from corpus.project.keeping import manifest as manifests
from corpus.project.keeping import trees
from corpus.project.keeping.manifest import MANIFEST, SBOM
from corpus.project.keeping.signature import SUFFIX, Trust

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
#: added to an artifact's name: who signed its release
_SIGNER = "signer.json"
_NOBODY = Trust()
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


def fetch(
    entries: Sequence[object],
    folder: Path,
    user: str | None = None,
    trust: Trust = _NOBODY,
    accept: Callable[[Mapping[str, Any]], object] = lambda manifest: None,
) -> list[Path]:
    """Fetch every artifact into ``folder`` and verify it.

    Its manifest comes first: what is not signed as it must be, or what ``accept`` refuses, is not even fetched.

    :param entries: of ``release_artifacts_urls``
    :param user: whose ssh key ssh urls are fetched with
    :param trust: whose releases are taken
    :param accept: gets each manifest; raises :class:`ReleaseRefused` for what cannot run here
    :returns: the verified files, in order
    :raises ReleaseRefused: a sum is wrong or unknown, or the release is not trusted
    :raises CorpusError: something cannot be fetched
    """
    fetched: list[Path] = []
    for artifact in [Artifact.parsed(entry) for entry in entries]:
        target = folder / artifact.file_name
        if target in fetched:
            raise ReleaseRefused(f"release_artifacts_urls: two artifacts are called {artifact.file_name}.")
        manifest = _manifest(artifact, folder, user, trust)
        accept(manifest)
        _fetch(artifact.url, target, user)
        check_sum(target, artifact.sha256, _without_password(artifact.url))
        if manifest:
            check_sum(target, manifest["artifacts"][artifact.file_name]["sha256"], _without_password(artifact.url))
        if manifest.get("sbom"):
            sbom = beside(target, SBOM)
            _fetch(_neighbour(artifact.url, SBOM), sbom, user)
            check_sum(sbom, manifest["sbom"]["sha256"], _without_password(_neighbour(artifact.url, SBOM)))
        fetched.append(target)
    return fetched


def check_sum(path: Path, expected: str | None, name: str) -> None:
    """Check what a file's content digests to; one that is wrong is removed.

    :param expected: SHA-256 in hexadecimal; None: nobody knows
    :param name: what to call the file in a message
    :raises ReleaseRefused: it is another
    """
    actual = trees.sha256(path)
    if expected is not None and actual != expected:
        path.unlink()
        raise ReleaseRefused(f"{name} is not what was released: its sha256 is {actual}, the manifest says {expected}.")


def manifest_of(fetched: Path) -> dict[str, Any]:
    """Return the manifest that was fetched with an artifact.

    Empty when there was none, and when it names other artifacts, too: its files may be theirs then.
    """
    manifest = dict(files.read_json(beside(fetched, MANIFEST), {}))
    return manifest if set(manifest.get("artifacts", ())) == {fetched.name} else {}


def signer_of(fetched: Path) -> str | None:
    """Return who of the trusted keys signed the release of an artifact that was fetched."""
    found = files.read_json(beside(fetched, _SIGNER))
    return str(found) if found else None


def beside(fetched: Path, name: str) -> Path:
    """Return where a file that belongs to a fetched artifact is kept: its manifest, its SBOM."""
    return fetched.with_name(f"{fetched.name}.{name}")


def _neighbour(url: str, name: str) -> str:
    """Return the url of another file in the folder of ``url``."""
    if url.startswith("ssh:"):  # urljoin knows no ssh
        return url.rsplit("/", 1)[0] + "/" + name
    return urljoin(url, name)


def _manifest(artifact: Artifact, folder: Path, user: str | None, trust: Trust) -> dict[str, Any]:
    """Fetch the manifest beside an artifact and check who signed it.

    :returns: it; empty when the artifact's url tells the sum itself, and no signature is required
    """
    url, shown = _neighbour(artifact.url, MANIFEST), _without_password(artifact.url)
    target = beside(folder / artifact.file_name, MANIFEST)
    signature = target.with_name(target.name + SUFFIX)
    for stale in (target, signature):
        stale.unlink(missing_ok=True)
    try:
        _fetch(url, target, user)
        manifest = manifests.parsed(target.read_text(encoding="utf-8"), _without_password(url))
        told = manifest["artifacts"][artifact.file_name]["sha256"]
        if not isinstance(told, str):
            raise TypeError(f"the sum of {artifact.file_name} is no text")
    except (CorpusError, ValueError, KeyError, TypeError) as err:
        target.unlink(missing_ok=True)
        if artifact.sha256 and not trust.required:
            return {}
        raise ReleaseRefused(
            f"{shown} cannot be verified: {_without_password(url)} does not tell its sha256 ({err}). "
            + ("A signature is required, and it stands there." if trust.required else "")
            + ("" if trust.required else "Keep the manifest beside the archive, or add #sha256=… to the url.")
        ) from err
    try:
        _fetch(url + SUFFIX, signature, user)
    except CorpusError:
        signature.unlink(missing_ok=True)
    signer = trust.signer(target, shown)
    files.write_json(beside(folder / artifact.file_name, _SIGNER), signer)
    return manifest


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
        with _porch(target.parent, user) as porch:
            processes.run(
                ["scp", "-q", "-o", "BatchMode=yes", *port, "--", f"{place}:{unquote(parts.path)}", porch / "file"],
                user=user,
            )
            _take(porch / "file", target)
    else:
        _download(url, target)


@contextmanager
def _porch(folder: Path, user: str | None) -> Iterator[Path]:
    """A folder for a user to put a file in, which we take over before it is looked at: it must not change afterwards."""
    porch = Path(tempfile.mkdtemp(prefix=".porch-", dir=folder))
    try:
        if os.geteuid() == 0 and user:
            shutil.chown(porch, user)
        yield porch
    finally:
        shutil.rmtree(porch, ignore_errors=True)


def _take(source: Path, target: Path) -> None:
    """Copy a file out of a folder that somebody else may write to, without following a link."""
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as came, target.open("wb") as stream:
        shutil.copyfileobj(came, stream, 1 << 20)


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
