"""PowerDNS' own REST API: what is in a zone, and changes of it.

Facts that this rests on: a PATCH is atomic and replaces whole RRsets. Writers that come at once get status 500, and
can lose each other's values: so there is one at a time (:meth:`Server.writing`), and a 500 is tried again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from corpus import locks
from corpus.controller.dns.records import Record
from corpus.errors import CorpusError, UsageError

#: Marks, as the account of a comment on an RRset or of a zone, what corpus made
ACCOUNT = "corpus"
#: Seconds for which a failing server is asked again, and for which we wait for another writer
PATIENCE = 15
QUEUE = 120
#: Bytes of one PATCH; the server takes 2 MB
_BODY = 1_500_000


@dataclass(frozen=True)
class Zone:
    """A zone of the server.

    :param name: without the dot at its end
    :param ours: corpus made it
    :param dnssec: it is signed
    :param serial: of its SOA
    :param kind: ``Native``, ``Master`` …
    """

    name: str
    ours: bool
    dnssec: bool
    serial: int
    kind: str


@dataclass(frozen=True)
class Rrset:
    """What a zone has for a name and a type, whoever wrote it.

    :param name: without the dot at its end
    :param values: as the server has them, sorted; those that are switched off begin with ``disabled``
    :param ours: corpus wrote it
    """

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int
    ours: bool

    @property
    def key(self) -> tuple[str, str]:
        """What there is one of in a zone: name and type."""
        return self.name, self.type


class Server:
    """A PowerDNS server.

    :param url: of its API, without ``/api``: ``http://127.0.0.1:8081``
    :param key_file: absolute path of the file with the API's key; nobody but its owner may read it
    :param lock: absolute path of the file that writers take turns by; None: beside the key
    :raises UsageError: the key's file is not there, or open to others
    """

    def __init__(self, url: str, key_file: Path, lock: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self.key_file = Path(key_file)
        self.lock = lock or self.key_file.with_name(f".{self.key_file.name}.lock")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us, and no ~/.netrc has another key
        self._session.headers["X-API-Key"] = _key(self.key_file)

    def __repr__(self) -> str:
        """Where it is; not the key."""
        return f"<Server {self.url}>"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer while the block runs; others wait.

        :raises Locked: another one did not end in time
        """
        refusal = f"Another process writes to the DNS server {self.url} for {QUEUE} seconds: try again."
        with locks.held(self.lock, {"what": "dns"}, lambda _other: refusal, wait=QUEUE):
            yield

    def zones(self) -> list[Zone]:
        """Every zone, sorted by name."""
        return sorted((_zone(found) for found in self._call("GET", "zones").json()), key=lambda zone: zone.name)

    def zone(self, name: str) -> Zone | None:
        """The zone of that name, or None."""
        answer = self._call("GET", f"zones/{name}.?rrsets=false", allowed=(404,))
        return None if answer.status_code == 404 else _zone(answer.json())

    def rrsets(self, zone: str, names: Sequence[str] = ()) -> list[Rrset]:
        """What is in a zone, or at some names of it.

        :raises UsageError: there is no such zone
        """
        if not names:
            return [_rrset(found) for found in self._of_zone("GET", zone).json()["rrsets"]]
        found: dict[tuple[str, str], Rrset] = {}
        for name in names:
            # The answer has more than that name when there are comments.
            for raw in self._of_zone("GET", zone, f"?rrset_name={name}.").json()["rrsets"]:
                if raw["name"] == f"{name}.":
                    found[raw["name"], raw["type"]] = _rrset(raw)
        return list(found.values())

    def patch(self, zone: str, gone: Sequence[tuple[str, str]], there: Sequence[Record]) -> None:
        """Change a zone in one go (some, when it is more than the server takes; a name is never split).

        :param gone: names and types to delete
        :param there: records to write, marked as ours
        """
        changes = [_deletion(*key) for key in gone] + [_replacement(record) for record in there]
        for body in _portions(sorted(changes, key=lambda change: (change["name"], change["changetype"]))):
            self._of_zone("PATCH", zone, body={"rrsets": body})

    def create(self, zone: str, soa: str, nameservers: Sequence[str], ttl: int) -> None:
        """Make a zone of ours that holds its SOA and NS.

        :param soa: its content, with serial 0
        :param nameservers: with the dot at their end
        """
        body = {
            "name": f"{zone}.",
            "kind": "Native",
            "account": ACCOUNT,
            "nameservers": [],
            "rrsets": [_authority(zone, "SOA", [soa], ttl), _authority(zone, "NS", nameservers, ttl)],
        }
        # 409: it was made by a request whose answer was lost
        self._call("POST", "zones", body, allowed=(409,))

    def set_authority(self, zone: str, soa: str, nameservers: Sequence[str], ttl: int) -> None:
        """Write a zone's SOA and NS."""
        rrsets = [_authority(zone, "SOA", [soa], ttl), _authority(zone, "NS", nameservers, ttl)]
        self._of_zone("PATCH", zone, body={"rrsets": rrsets})

    def delete(self, zone: str) -> None:
        """Delete a zone and all that is in it."""
        self._of_zone("DELETE", zone)

    def sign(self, zone: str, on: bool) -> None:
        """Sign a zone from now on, or throw its keys away."""
        self._of_zone("PUT", zone, body={"dnssec": on, "api_rectify": True})

    def keys(self, zone: str) -> list[dict[str, Any]]:
        """The public halves of a zone's keys, as the server describes them, ``ds`` among it."""
        return [
            {name: value for name, value in key.items() if name != "privatekey"}
            for key in self._of_zone("GET", zone, "/cryptokeys").json()
        ]

    def export(self, zone: str) -> str:
        """A zone as a zone file, in no order."""
        return self._of_zone("GET", zone, "/export").text

    def _of_zone(
        self, method: str, zone: str, more: str = "", body: Mapping[str, Any] | None = None
    ) -> requests.Response:
        answer = self._call(method, f"zones/{zone}.{more}", body, allowed=(404,))
        if answer.status_code == 404:
            raise UsageError(f"There is no zone {zone} on the DNS server {self.url}: mc_dns.create_zone makes it.")
        return answer

    def answers(self) -> bool:
        """Tell whether it does, in this moment."""
        answer, _ = self._once("GET", "zones", None)
        return answer is not None and answer.ok

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, allowed: Sequence[int] = ()
    ) -> requests.Response:
        """Ask the API; again for a while when it fails."""
        end, pause = time.monotonic() + PATIENCE, 0.05
        while True:
            answer, failure = self._once(method, path, body)
            if answer is not None and (answer.ok or answer.status_code in allowed):
                return answer
            if answer is not None and answer.status_code < 500:
                raise self._refusal(answer)
            if time.monotonic() + pause > end:
                raise CorpusError(f"The DNS server {self.url} failed for {PATIENCE} seconds ({failure}): see its log.")
            time.sleep(pause)
            pause = min(pause * 2, 1)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[requests.Response | None, str]:
        data = None if body is None else json.dumps(body)
        try:
            answer = self._session.request(
                method, f"{self.url}/api/v1/servers/localhost/{path}", data=data, timeout=60, allow_redirects=False
            )
        except requests.ConnectionError:
            return None, "it does not answer"
        except requests.Timeout:
            return None, "it does not answer in time"
        except requests.RequestException as err:
            raise UsageError(f"The DNS server's url {self.url} cannot be asked: {type(err).__name__}.") from err
        return answer, f"status {answer.status_code}"

    def _refusal(self, answer: requests.Response) -> CorpusError:
        if answer.status_code in (401, 403):
            return UsageError(
                f"The DNS server {self.url} refuses us: {self.key_file} must hold the api-key of its configuration, "
                "and its webserver-allow-from must name this machine."
            )
        try:
            words = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            words = answer.text.strip()[:200] or f"status {answer.status_code}"
        return CorpusError(f"The DNS server {self.url} refuses: {words.rstrip('.')}.")


def _key(path: Path) -> str:
    try:
        mode, text = path.stat().st_mode, path.read_text()
    except OSError as err:
        raise UsageError(f"The key of the DNS server, {path}, cannot be read: {err.strerror}.") from err
    if mode & 0o077:
        raise UsageError(f"The key of the DNS server, {path}, is open to others: chmod 0600 {path}.")
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"The key of the DNS server, {path}, must be one line of plain text.")
    return key


def _zone(found: Mapping[str, Any]) -> Zone:
    return Zone(
        found["name"].removesuffix("."), found["account"] == ACCOUNT, found["dnssec"], found["serial"], found["kind"]
    )


def _rrset(found: Mapping[str, Any]) -> Rrset:
    values = (("disabled " if record["disabled"] else "") + record["content"] for record in found["records"])
    ours = any(comment["account"] == ACCOUNT for comment in found["comments"])
    return Rrset(found["name"].removesuffix("."), found["type"], tuple(sorted(values)), found["ttl"], ours)


def _deletion(name: str, kind: str) -> dict[str, Any]:
    return {"name": f"{name}.", "type": kind, "changetype": "DELETE"}


def _replacement(record: Record) -> dict[str, Any]:
    return {
        "name": f"{record.name}.",
        "type": record.type,
        "ttl": record.ttl,
        "changetype": "REPLACE",
        "records": [{"content": value, "disabled": False} for value in record.values],
        "comments": [{"content": "computed by corpus", "account": ACCOUNT}],
    }


def _authority(zone: str, kind: str, values: Sequence[str], ttl: int) -> dict[str, Any]:
    """SOA or NS of a zone; they bear no mark: they belong to the zone, whatever else is in it."""
    return {
        "name": f"{zone}.",
        "type": kind,
        "ttl": ttl,
        "changetype": "REPLACE",
        "records": [{"content": value, "disabled": False} for value in values],
    }


def _portions(changes: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Split changes, sorted by name, into bodies that the server takes; deletions of a name come first."""
    portion: list[dict[str, Any]] = []
    size = 0
    for change in changes:
        length = len(json.dumps(change)) + 2
        if portion and size + length > _BODY and portion[-1]["name"] != change["name"]:
            yield portion
            portion, size = [], 0
        portion.append(change)
        size += length
    if portion:
        yield portion
