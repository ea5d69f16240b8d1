"""The web service, real, in front of a real master; for tests of the API and its pages."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from corpus.controller.registry.models import Owner, Role
from corpus.controller.registry.store import Registry
from sqlalchemy import select

from tests.machine import deadline, free_port
from tests.master import Master, master

#: Everybody's password.
PASSWORD = "correct horse"
_IDENTITY = "corpus-web"


@dataclass
class Web:
    """The service.

    :param master: the master behind it
    :param url: where it is
    """

    master: Master
    url: str
    registry: Registry
    process: "subprocess.Popen[bytes]"
    log: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, token: str | None = None) -> httpx.Client:
        """Who sends a token, or nobody."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)
        self.clients.append(made)
        return made

    def person(self, name: str, sysadmin: bool = False) -> httpx.Client:
        """A person of this name, logged in."""
        if sysadmin:
            with self.registry.session() as session:
                owner = session.scalar(select(Owner).where(Owner.name == name))
                if owner is None:
                    owner = Owner(name=name)
                    session.add(owner)
                    session.flush()
                known = select(Role).where(Role.owner_id == owner.id, Role.name == "sysadmin")
                if session.scalar(known) is None:
                    session.add(Role(owner_id=owner.id, name="sysadmin"))
        answer = self.client().post("/login", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return self.client(answer.json()["token"])

    def done(
        self, person: httpx.Client, answer: httpx.Response, seconds: float = 60, every: float = 0.1
    ) -> dict[str, Any]:
        """Wait for the operation of a 202 to be over; return it."""
        assert answer.status_code == 202, answer.text
        for _ in deadline(seconds, every):
            found: dict[str, Any] = person.get(answer.json()["href"].removeprefix("/api/v1")).json()
            if found["state"] in ("done", "failed", "undone"):
                return found
        raise AssertionError


def auth(folder: Path, people: tuple[str, ...]) -> dict[str, Any]:
    """Return a master's ``external_auth`` that knows people, and the service's identity."""
    words = {**dict.fromkeys(people, PASSWORD), _IDENTITY: "the service's own"}
    path = folder / "people"
    path.write_text("".join(f"{name}:{hashlib.sha512(word.encode()).hexdigest()}\n" for name, word in words.items()))
    (folder / "web.password").write_text(words[_IDENTITY])
    runners = [r"mc_controller\.answer$"]
    return {"file": {"^filename": str(path), "^hashtype": "sha512", _IDENTITY: [{"@runner": runners}]}}


@contextmanager
def web(
    folder: Path, people: tuple[str, ...] = ("ada", "bob", "cat", "eve", "root1"), **settings: Any
) -> Iterator[Web]:
    """A master and the service in front of it. Their folder's name is short, for sockets."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"external_auth": auth(folder, people), "engines": [{"mc_controller": {}}]}
    with master(folder / "m", **options) as behind, serving(folder, behind, **settings) as made:
        yield made


@contextmanager
def serving(folder: Path, behind: Master, **settings: Any) -> Iterator[Web]:
    """The service in front of a master."""
    registry = behind.registry()
    url = behind.opts["corpus"].get("registry_url") or f"sqlite:///{folder}/m/home/registry.sqlite3"
    try:
        with started(folder, url, master_port=behind.ports["ret_port"], **settings) as (made, process, log):
            there = Web(behind, made, registry, process, log)
            try:
                yield there
            finally:
                for client in there.clients:
                    client.close()
    finally:
        registry.close()


@contextmanager
def started(folder: Path, registry: str, **settings: Any) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Path]]:
    """The service alone: its url, its process and its log.

    :param registry: url of the registry, which is upgraded
    """
    port = free_port()
    told = {
        "registry": registry,
        "url": f"http://127.0.0.1:{port}",
        "port": port,
        "eauth": "file",
        "password_file": str(folder / "web.password"),
        **settings,
    }
    (folder / "web.yaml").write_text(yaml.safe_dump(told))
    log = folder / "web.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "corpus-web"), "--settings", str(folder / "web.yaml")],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        for _ in deadline(60, 0.1):
            with suppress(httpx.HTTPError):
                if httpx.get(f"{told['url']}/api/v1/openapi.json").status_code == 200:
                    break
            assert process.poll() is None, log.read_text()
        yield told["url"], process, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)
