"""Promotion: a release of this machine is handed to another that runs it, or put where it can be fetched from."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from corpus import files, identifiers, processes
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import release_id
from corpus.project import projects, verification
from corpus.project.git import hook
from corpus.project.handover import BLOCK, HAVE, SEND, Offer
from corpus.project.keeping.manifest import MANIFEST
from corpus.project.keeping.signature import SUFFIX
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.telling.console import ENDING, Console

_PLACE = re.compile(
    r"(?:(?P<user>[a-z_][a-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?"
)
_CONNECT_SECONDS = 20
_PUT_SECONDS = 600


@dataclass(frozen=True)
class Place:
    """Where a release goes.

    :param kind: ssh, file or http
    :param address: ``user@host``, a folder, or a url without a slash at the end
    :param port: of ssh, or None
    """

    kind: str
    address: str
    port: int | None = None

    @classmethod
    def parsed(cls, to: object) -> Place:
        """Read ``user@host[:port]``, ``ssh://user@host[:port]``, ``file:///folder`` or ``http(s)://…``.

        :raises UsageError: it is none of these
        """
        text = str(to or "")
        scheme = text.partition("://")[0] if "://" in text else "ssh"
        if scheme == "file" and unquote(urlsplit(text).path).startswith("/"):
            return cls("file", unquote(urlsplit(text).path))
        if scheme in ("http", "https") and urlsplit(text).hostname:
            return cls("http", text.rstrip("/"))
        match = _PLACE.fullmatch(text.removeprefix("ssh://").rstrip("/")) if scheme == "ssh" else None
        port = int(match["port"]) if match and match["port"] else None
        if match is None or (port is not None and not 0 < port < 65536):
            raise UsageError(
                f"to: {identifiers.shown(text)} is no place for a release: user@host, ssh://user@host:port, file:///folder "
                "or https://… ."
            )
        host = match["host"].strip("[]")
        return cls("ssh", f"{match['user']}@{host}" if match["user"] else host, port)


def promote(
    minion: Minion, name: str, release: str | None, to: object, who: str, deploy: bool = True, wait: float = 0
) -> dict[str, Any]:
    """Hand a release to another machine and have it deployed there; or copy it where it can be fetched from.

    :param release: id; None: the newest that was bundled
    :param to: see :meth:`Place.parsed`
    :param deploy: whether the other side deploys it at once (ssh)
    :param wait: seconds that it may wait there for another deployment
    :returns: ``{name, result, changes, comment}``
    :raises UsageError: there is no such release, or no such place
    :raises CorpusError: the release is damaged, or cannot be handed over
    """
    layout = Layout.existing(minion.roots, name)
    place = Place.parsed(to)
    folder, manifest = _bundled(layout, release)
    console = Console(None, minion.talks_to_a_terminal)
    console.headline(f"Promoting {name} {manifest['release']} to {_shown(place.address)} by {who}")
    cfg = projects.assembled(minion, layout).values
    verification.check_bundle(folder, manifest)
    (archive, about), *_ = manifest["artifacts"].items()
    parts = [path.name for path in (folder / MANIFEST, folder / (MANIFEST + SUFFIX)) if path.is_file()]
    parts += [str(manifest["sbom"]["name"])] if manifest.get("sbom") else []
    if place.kind == "ssh":
        sending = _Sending(layout, cfg["user"] if minion.privileged else None, place, console)
        offer = Offer({part: (folder / part).read_bytes() for part in parts}, deploy, wait)
        sending.run(offer, folder / archive)
        comment = f"{archive} {'runs' if deploy else 'is kept'} at {place.address}."
        url = None
    else:
        put = _copy if place.kind == "file" else _put
        # the manifest last: what has one is whole
        for part in [archive, *sorted(parts, key=lambda part: (part == MANIFEST, part))]:
            put(folder / part, place.address, str(manifest["release"]))
        url = (
            f"{Path(place.address).as_uri() if place.kind == 'file' else place.address}/{manifest['release']}/{archive}"
        )
        comment = f"{archive} lies at {_shown(url)}: name it in release_artifacts_urls of production."
    console.ending(comment)
    return {
        "name": name,
        "result": True,
        "changes": {"promoted": {"release": manifest["release"], "to": _shown(place.address), "size": about["size"]}},
        "comment": comment,
        **({"url": _shown(url)} if url else {}),
    }


def _bundled(layout: Layout, release: str | None) -> tuple[Path, dict[str, Any]]:
    """Return the folder and the manifest of a release that was bundled here.

    :raises UsageError: there is none
    """
    names = [release_id(release)] if release else sorted((p.name for p in layout.deployed.glob("[0-9]*")), reverse=True)
    for candidate in names:
        manifest = files.read_json(layout.manifest(candidate), {})
        if manifest.get("artifacts"):
            return layout.release(candidate), manifest
    asked = f"{release} of {layout.name!r} was" if release else f"No release of {layout.name!r} was"
    raise UsageError(
        f"{asked} {'not ' if release else ''}bundled here: cooking mode makes releases, mc_project.bundle too."
    )


class _Sending:
    """A release on its way over ssh, to the command ``receive-release`` of the other side's project user."""

    def __init__(self, layout: Layout, user: str | None, place: Place, console: Console) -> None:
        self.layout, self.user, self.place, self.console = layout, user, place, console
        self.verdict = self.last_words = ""

    def run(self, offer: Offer, archive: Path) -> None:
        """Hand it over and wait for the end of its deployment; what the other side prints is passed on.

        :raises CorpusError: the other side refused it, its deployment failed, or there is no connection
        """
        with (
            archive.open("rb") as content,
            subprocess.Popen(
                self._argv(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=processes.environment(self.user, {"SSH_ASKPASS_REQUIRE": "never"}),
                cwd="/",
                **processes.identity(self.user),  # type: ignore[call-overload]
            ) as ssh,
        ):
            listener = threading.Thread(target=self._listen, args=(ssh.stderr,), daemon=True)
            listener.start()
            try:
                accepted = self._talk(ssh, offer, content, archive)
            except BrokenPipeError:
                accepted = False
            except BaseException:
                ssh.kill()
                raise
            finally:
                listener.join(5 if ssh.poll() is None else None)
            status = ssh.wait()
        if status or not accepted:
            raise CorpusError(self._reason(status))

    def _talk(self, ssh: subprocess.Popen[bytes], offer: Offer, content: Any, archive: Path) -> bool:
        """Offer, send what is asked for, and return whether the other side accepted the release in the end."""
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        offer.write(ssh.stdin)
        verb, _, offset = ssh.stdout.readline().decode("utf-8", "replace").strip().partition(" ")
        if verb == HAVE:
            self.console.line("the other side has it already")
        elif verb == SEND and offset.isdigit():
            self._send(ssh.stdin, content, int(offset), archive.stat().st_size)
        else:
            return False
        ssh.stdin.close()
        answers = ssh.stdout.read().decode("utf-8", "replace").split()
        return hook.ACCEPTED in answers

    def _send(self, stream: Any, content: Any, offset: int, size: int) -> None:
        if offset:
            self.console.line(f"going on after {offset / 1e6:.1f} MB that arrived before")
        content.seek(offset)
        told = offset * 10 // max(size, 1)
        while block := content.read(BLOCK):
            stream.write(block)
            offset += len(block)
            if offset * 10 // size > told or offset == size:
                told = offset * 10 // size
                self.console.line(f"{offset / 1e6:8.1f} of {size / 1e6:.1f} MB sent")
        stream.flush()

    def _argv(self) -> list[str]:
        ssh = self.layout.home / ".ssh"
        options = ["BatchMode=yes", f"ConnectTimeout={_CONNECT_SECONDS}", "ServerAliveInterval=15", "ForwardAgent=no"]
        options += [f"UserKnownHostsFile={ssh}/known_hosts ~/.ssh/known_hosts"]
        words = [word for option in options for word in ("-o", option)]
        words += ["-i", str(ssh / "id_ed25519")]
        words += ["-p", str(self.place.port)] if self.place.port else []
        return [processes.which("ssh"), "-T", *words, "--", self.place.address, hook.RECEIVE_RELEASE_COMMAND]

    def _listen(self, stream: Any) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip()
            if text.strip():
                self.last_words = text.strip()
                if text.startswith(ENDING):
                    self.verdict = text.removeprefix(ENDING)
                self.console.line(text)

    def _reason(self, status: int) -> str:
        """Say why it did not work, and what to do."""
        words = self.verdict or self.last_words.removeprefix("-----> ")
        known, key = self.layout.home / ".ssh/known_hosts", self.layout.home / ".ssh/id_ed25519.pub"
        host = self.place.address.rpartition("@")[2]
        if status == 255 and "Host key" in words:
            port = f"-p {self.place.port} " if self.place.port else ""
            return f"The host key of {host} is not known: put it into {known} (ssh-keyscan {port}{shlex.quote(host)})."
        if status == 255 and "Permission denied" in words:
            return f"{host} does not let us in: add {key} to release_keys or authorized_keys of the project there."
        if status == 255:
            return f"{host} cannot be reached by ssh: {words}"
        return f"{self.place.address} did not take the release: {words or f'exit status {status}'}"


def _copy(source: Path, folder: str, release: str) -> None:
    """Put a file of a release into a folder, whole or not at all, readable by everybody: a web server may serve it."""
    target = Path(folder) / release / source.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, half)
        half.chmod(0o644)
        half.replace(target)
    except OSError as err:
        raise CorpusError(f"{target} cannot be written: {err.strerror}.") from err


def _put(source: Path, url: str, release: str) -> None:
    """PUT a file of a release to a web server."""
    import requests

    shown = _shown(f"{url}/{release}/{source.name}")
    try:
        with source.open("rb") as content:
            answer = requests.put(f"{url}/{release}/{source.name}", data=content, timeout=_PUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as err:
        status = getattr(getattr(err, "response", None), "status_code", None)
        reason = f"the server answered {status}" if status else type(err).__name__
        raise CorpusError(f"{shown} cannot be put there: {reason}.") from err


def _shown(address: str) -> str:
    password = urlsplit(address).password if "://" in address else None
    return address.replace(f":{password}@", ":***@") if password else address
