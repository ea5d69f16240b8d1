"""What the web service's endpoints and pages take in a big registry, against a small one and against salt-api."""

import datetime
import importlib
import os
import pkgutil
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from corpus.controller.registry.models import AccessToken, Owner, now
from corpus.controller.registry.store import Registry
from corpus.web import pages
from corpus.web.login import digest
from sqlalchemy import select

from bench.figure import Figure, by_round, in_turns, median, seconds
from bench.registry import filled
from tests.machine import deadline, free_port
from tests.master import Master, master
from tests.web import PASSWORD, auth, serving, started

GOAL = 1.5
#: Seconds within which a page begins, and within which somebody who logs in sees the first one.
PAGE, LOGIN = 0.1, 1.0
#: Nodes, and guests on each; each guest has a project with ten deployments.
SMALL, BIG = (10, 10), (1000, 100)
#: How often each thing is asked for.
TIMES = 40
CLIENTS, CALLS = 8, 10
STREAMS = 200

#: The endpoints that are used most.
ENDPOINTS = {
    "nodes": "/api/v1/nodes?limit=10",  # as many as the small one has
    "node": "/api/v1/nodes/{node}",
    "guests": "/api/v1/guests",
    "guest": "/api/v1/guests/{guest}",
    "projects": "/api/v1/projects",
    "deployments": "/api/v1/projects/{project}/deployments",
    "operations": "/api/v1/operations",
    "operation": "/api/v1/operations/{operation}",
    "statistics": "/api/v1/projects/{project}/statistics",
    "names": "/api/v1/dns/names",
    "audit": "/api/v1/audit",
    "overview": "/",
}
#: What needs the master's answer is not among them; every other page that the service has is.
_NO_PAGES = ("/login", "/logout", "/links")
#: These are for sysadmins.
_SYSADMINS = ("/controller", "/dns", "/people")

#: Who asks: root sees everything; few has five guests with their projects, many is viewer of fifty projects, and
#: lots of a twentieth of all projects and platforms.
PEOPLE = ("root", "few", "many", "lots")

_STAGES = ", ".join(
    f'"{stage}": {{"result": true, "seconds": {took}, "comment": "Everything is as it should be.", "changed": 3}}'
    for stage, took in (
        ("fetch", 0.4),
        ("archive", 1.2),
        ("build", 7.5),
        ("upgrade", 2.0),
        ("start", 1.1),
        ("check", 0.3),
    )
)
_REPORT = (
    '{"kind": "deploy", "comment": "Deployed.", "revision": "0123456789abcdef", "release": "20260101T000000Z-1", '
    '"mode": "final", "strategy": "blue-green", "summary": "3 commits", "notes": [], '
    f'"lead": {{"0123456789abcdef": 3600}}, "stages": {{{_STAGES}}}}}'
)

_MORE = """
INSERT INTO owners (name, created) SELECT 'root', {now};
INSERT INTO owners (name, created) SELECT 'few', {now};
INSERT INTO owners (name, created) SELECT 'many', {now};
INSERT INTO owners (name, created) SELECT 'lots', {now};
INSERT INTO roles (owner_id, name) SELECT id, 'sysadmin' FROM owners WHERE name = 'root';
UPDATE guests SET owner_id = (SELECT id FROM owners WHERE name = 'few') WHERE id % ({nodes} * {guests} / 5) = 1;
INSERT INTO roles (owner_id, project_id, name) SELECT o.id, p.id, 'owner' FROM projects p JOIN owners o ON o.name = 'few'
    WHERE p.id % ({nodes} * {guests} / 5) = 1;
INSERT INTO roles (owner_id, project_id, name) SELECT o.id, p.id, 'viewer' FROM projects p JOIN owners o ON o.name = 'many'
    WHERE p.id % ({nodes} * {guests} / 50) = 1;
INSERT INTO roles (owner_id, project_id, name) SELECT o.id, p.id, 'viewer' FROM projects p JOIN owners o ON o.name = 'lots'
    WHERE p.id % 20 = 1;
INSERT INTO roles (owner_id, platform_id, name) SELECT o.id, p.id, 'viewer' FROM platforms p JOIN owners o ON o.name = 'lots'
    WHERE p.id % 20 = 1;
INSERT INTO deployments (guest_id, guest_name, project_id, deployment_id, result, who, started, seconds, report)
    SELECT g.id, g.name, p.id, 'd' || (g.id * 10 + n), n % 7 <> 0, 'owner' || (g.id % 50),
        {since} (g.id * 7919 + n * 777600) % 7776000 {until}, 12.5 + n, '{report}'
    FROM numbers CROSS JOIN guests g JOIN projects p ON p.name = 'p' || g.id WHERE n <= 10;
INSERT INTO operations (uuid, kind, subject, arguments, state, who, created, started, finished, message, data)
    SELECT 'operation' || (g.id * 2 + n - 2), 'guest.start', 'guest:' || g.name, '{"name": "shop"}',
        CASE WHEN (g.id + n) % 10 = 0 THEN 'failed' ELSE 'done' END, 'owner' || (g.id % 50), {now}, {now}, {now},
        'Started.', '{}'
    FROM numbers CROSS JOIN guests g WHERE n <= 2;
INSERT INTO steps (operation_id, position, name, state, started, finished, message)
    SELECT o.id, n, 'step' || n, 'done', {now}, {now}, 'Done.' FROM operations o CROSS JOIN numbers WHERE n <= 3;
INSERT INTO operations (uuid, kind, subject, arguments, state, who, created, message, data)
    SELECT w.name || n, 'guest.start', 'guest:gone' || n, '{}', 'done', w.name, {now}, 'Started.', '{}'
    FROM owners w CROSS JOIN numbers WHERE n <= 60 AND w.name IN ('few', 'many');
INSERT INTO audit (at, who, action, subject, address, status)
    SELECT {now}, 'owner' || (g.id % 50), 'guest.start', 'guest:' || g.name, '192.0.2.1', 202
    FROM numbers CROSS JOIN guests g WHERE n <= 2;
INSERT INTO audit (at, who, action, subject, address, status)
    SELECT {now}, w.name, 'guest.start', 'guest:gone' || n, '192.0.2.1', 202
    FROM owners w CROSS JOIN numbers WHERE n <= 60 AND w.name IN ('few', 'many', 'lots')
"""
#: How the databases say that something was so many seconds ago.
_AGO = {
    "sqlite": ("strftime('%Y-%m-%d %H:%M:%S.000000', 'now', '-' || (", ") || ' seconds')"),
    "postgresql": ("now() - (", ") * interval '1 second'"),
}


class Asked:
    """A service that is asked.

    :param url: where it is
    :param tokens: of the people
    :param things: what each of them may see: the names of nodes, guests, projects, and uuids of operations
    """

    def __init__(self, url: str, tokens: Mapping[str, str], things: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.url, self.tokens, self.things = url, tokens, things
        self._dice = random.Random(1)
        self._clients = {
            name: httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
            for name, token in tokens.items()
        }

    def took(self, person: str, path: str) -> float:
        """Seconds until a person has the answer of a path; its braces are filled with things of theirs."""
        things = {
            noun: self._dice.choice(names) for noun, names in self.things[person].items() if f"{{{noun}}}" in path
        }
        whole = path.format(**things)
        begun = time.perf_counter()
        answer = self._clients[person].get(whole)
        took = time.perf_counter() - begun
        assert answer.status_code == 200, (whole, answer.text[:500])
        return took

    def seen_by(self, person: str) -> dict[str, list[str]]:
        """Some of what a person may see."""

        def listed(what: str, name: str) -> list[str]:
            answer = self._clients[person].get(f"/api/v1/{what}?limit=50").raise_for_status()
            return [str(one[name]) for one in answer.json()["items"]]

        return {
            "guest": listed("guests", "name"),
            "node": listed("guests", "node"),
            "project": listed("projects", "name"),
            "operation": listed("operations", "operation"),
        }

    def close(self) -> None:
        """Leave it."""
        for client in self._clients.values():
            client.close()


def measure(say: Callable[[str], None]) -> list[Figure]:
    """Reads in a big registry, pages there, a login, and reads beside streams and by many at once."""
    say(f"load of the machine: {os.getloadavg()[0]:.2f}")
    flat: dict[str, float] = {}
    slow: dict[str, float] = {}
    facts: dict[str, float | list[float]] = {}
    streams: Figure | None = None
    with ExitStack() as stack:
        databases_ = None
        for kind in ("sqlite", "postgresql"):
            if kind == "postgresql" and databases_ is None:
                from tests.registries import databases

                databases_ = stack.enter_context(databases())
            with _asked(kind, SMALL, databases_, say) as small, _asked(kind, BIG, databases_, say) as big:
                flat |= _flat(kind, big, small, facts, say)
                slow |= _pages(kind, big, facts, say)
                streams = streams or _streams(small, say)
    say(f"load of the machine: {os.getloadavg()[0]:.2f}")
    assert streams is not None
    return [
        Figure(
            "read by the API in a registry of 1,000,000 deployments, to one of 1,000",
            max(flat.values()),
            GOAL,
            {"missed": {what: round(ratio, 2) for what, ratio in flat.items() if ratio > GOAL}, **facts},
        ),
        Figure(
            "a page there at p95, to 100 ms",
            max(slow.values()) / PAGE,
            1.0,
            {"missed": {what: round(1000 * took) for what, took in slow.items() if took > PAGE}},
        ),
        streams,
        *_behind_a_master(say),
    ]


def _flat(
    kind: str, big: Asked, small: Asked, facts: dict[str, float | list[float]], say: Callable[[str], None]
) -> dict[str, float]:
    """The ratios of p50 and p95, by endpoint."""
    found = {}
    for name, path in ENDPOINTS.items():
        for person in PEOPLE[:3]:
            bigs, smalls = in_turns(
                TIMES,
                lambda path=path, person=person: big.took(person, path),
                lambda path=path, person=person: small.took(person, path),
                _nothing,
            )
            what = f"{kind} {name} {person}"
            found[f"{what} p50"] = median(bigs) / median(smalls)
            found[f"{what} p95"] = _p95(bigs) / _p95(smalls)
            say(
                f"{what}: p50 {1000 * median(bigs):.1f} ms against {1000 * median(smalls):.1f} ms, "
                f"p95 {1000 * _p95(bigs):.1f} ms against {1000 * _p95(smalls):.1f} ms"
            )
            for key, values in (("big", bigs), ("small", smalls)):
                facts[f"{kind}_{name}_{person}_{key}_p50_p95_ms"] = [
                    round(1000 * median(values), 1),
                    round(1000 * _p95(values), 1),
                ]
    return found


def _pages(
    kind: str, big: Asked, facts: dict[str, float | list[float]], say: Callable[[str], None]
) -> dict[str, float]:
    """Seconds at p95, by page, and of the API's figures of everything."""
    found = {}
    for path in [*_page_paths(), "/api/v1/statistics", "/api/v1/deployments"]:
        for person in ("root",) if path in _SYSADMINS else PEOPLE:
            big.took(person, path)
            took = [big.took(person, path) for _ in range(TIMES)]
            what = f"{kind} {path} {person}"
            if person != "lots":  # who sees a twentieth of everything has no promise
                found[what] = _p95(took)
            facts[f"{what} p50_p95_ms"] = [round(1000 * median(took), 1), round(1000 * _p95(took), 1)]
            say(f"{what}: p50 {1000 * median(took):.1f} ms, p95 {1000 * _p95(took):.1f} ms")
    return found


def _page_paths() -> list[str]:
    """Every page that shows something without asking the master."""
    nouns = {"/nodes/": "node", "/guests/": "guest", "/projects/": "project", "/operations/": "operation"}
    found = []
    for module in pkgutil.iter_modules(pages.__path__):
        router = getattr(importlib.import_module(f"{pages.__name__}.{module.name}"), "router", None)
        for route in router.routes if router is not None else ():
            path = str(getattr(route, "path", ""))
            noun = next((word for start, word in nouns.items() if path.startswith(start)), None)
            if "GET" not in (getattr(route, "methods", None) or ()) or path in _NO_PAGES:
                continue
            if "{" not in path:
                found.append(path)
            elif noun is not None and path.count("/") == 2:
                found.append(f"{path[: path.index('{')]}{{{noun}}}")
    return sorted(found)


def _streams(there: Asked, say: Callable[[str], None]) -> Figure:
    """Reads while many follow what happens, against reads while nobody does."""

    def read() -> float:
        return median([there.took("root", "/api/v1/guests") for _ in range(TIMES)])

    def beside() -> float:
        with ExitStack() as stack:
            for _ in range(STREAMS):
                stack.enter_context(closing(_followed(there)))
            return read()

    many, none = in_turns(3, beside, read, _nothing)
    say(f"guests beside {STREAMS} streams: {1000 * median(many):.1f} ms against {1000 * median(none):.1f} ms")
    facts = {"beside_ms": 1000 * median(many), "alone_ms": 1000 * median(none), "by_round": by_round(many, none)}
    return Figure(f"read beside {STREAMS} open streams, to alone", median(many) / median(none), GOAL, facts)


def _followed(there: Asked) -> socket.socket:
    """A stream of events that was begun."""
    host, port = there.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=60)
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {there.tokens['root']}\r\n\r\n"
    made.sendall(head.encode())
    assert made.recv(4096).startswith(b"HTTP/1.1 200")
    return made


@contextmanager
def _asked(kind: str, size: tuple[int, int], postgres: Any, say: Callable[[str], None]) -> Iterator[Asked]:
    """A service with a registry of a size, without a master: what is read needs none."""
    nodes, guests = size
    since, until = _AGO[kind]
    words = {"report": _REPORT, "since": since, "until": until}
    url = postgres.new() if kind == "postgresql" else None
    begun = time.monotonic()
    with filled(nodes, url, guests, _MORE, **words) as cloud, tempfile.TemporaryDirectory(prefix="cw-") as folder:
        say(f"{kind}: {nodes * guests * 10:,} deployments made in {time.monotonic() - begun:.0f} s")
        registry = Registry(url or f"sqlite:///{cloud.settings.home}/registry.sqlite3", Path(folder) / "key")
        tokens = {name: _token(registry, name) for name in PEOPLE}
        things = {"root": _things(nodes * guests, registry)}
        registry.close()
        (Path(folder) / "web.password").write_text("nobody asks the master")
        with started(Path(folder), str(registry.url.render_as_string(False)), groups_seconds=10**9) as (where, _, _):
            there = Asked(where, tokens, things)
            things |= {person: there.seen_by(person) for person in PEOPLE if person != "root"}
            try:
                yield there
            finally:
                there.close()


def _token(registry: Registry, name: str) -> str:
    token = f"corpus_{name}"
    with registry.session() as session:
        owner = session.scalars(select(Owner).where(Owner.name == name)).one()
        expires = now() + datetime.timedelta(days=1)
        session.add(AccessToken(owner_id=owner.id, kind="session", name="bench", digest=digest(token), expires=expires))
    return token


def _things(guests: int, registry: Registry) -> dict[str, list[str]]:
    """Some of what there is, all over the registry."""
    from corpus.controller.registry.models import ComputeNode, Guest

    numbers = random.Random(2).sample(range(1, guests + 1), min(50, guests))
    with registry.reading() as session:
        wanted = select(Guest.name, ComputeNode.name).join(ComputeNode, ComputeNode.id == Guest.node_id)
        rows = session.execute(wanted.where(Guest.id.in_(numbers))).all()
    return {
        "guest": [row[0] for row in rows],
        "node": [row[1] for row in rows],
        "project": [f"p{number}" for number in numbers],
        "operation": [f"operation{2 * number}" for number in numbers],
    }


def _behind_a_master(say: Callable[[str], None]) -> list[Figure]:
    """A login with the first page, and many clients at once against salt-api."""
    with (
        filled(10, None) as cloud,
        tempfile.TemporaryDirectory(prefix="cm-") as name,
    ):
        folder, port = Path(name), free_port()
        known = auth(folder, ("ada", "root1"))
        known["file"]["ada"] = ["@runner"]
        options = {
            "external_auth": known,
            "engines": [{"mc_controller": {}}],
            "netapi_enable_clients": ["runner"],
            "rest_cherrypy": {"host": "127.0.0.1", "port": port, "disable_ssl": True, "thread_pool": 30},
        }
        settings = {"registry_url": f"sqlite:///{cloud.settings.home}/registry.sqlite3"}
        with master(folder / "m", settings, **options) as behind, serving(folder, behind) as there:
            there.person("ada", sysadmin=True)
            logins = [seconds(lambda: _log_in(there.url)) for _ in range(11)][1:]
            say(f"login to the first page: p50 {1000 * median(logins):.0f} ms, p95 {1000 * _p95(logins):.0f} ms")
            token = there.person("ada").headers["Authorization"]
            ours = {"Authorization": token}
            with _salt_api(behind, port) as (api, theirs):
                node = "n1.corpus.test"
                body = [{"client": "runner", "fun": "mc_guest.list", "kwarg": {"node": node}}]
                want = {"node": node, "limit": 100}

                def ask(client: httpx.Client) -> int:
                    return len(client.get(f"{there.url}/api/v1/guests", params=want).raise_for_status().json()["items"])

                def ask_salt(client: httpx.Client) -> int:
                    return len(client.post(api, json=body).raise_for_status().json()["return"][0])

                report = [{"client": "runner", "fun": "mc_controller.report"}]

                def look() -> float:
                    return seconds(lambda: httpx.get(f"{there.url}/api/v1/controller", headers=ours).raise_for_status())

                def look_by_salt() -> float:
                    return seconds(lambda: httpx.post(api, json=report, headers=theirs, timeout=60).raise_for_status())

                asked, ran = in_turns(9, look, look_by_salt, _nothing)
                root = there.person("ada")
                platform = [{"client": "runner", "fun": "mc_compute_node.platform_create", "kwarg": {"node": node}}]

                def do() -> float:
                    def whole() -> None:
                        done = there.done(root, root.post("/platforms", json={"node": node}), every=0.02)
                        assert done["state"] == "done", done

                    return seconds(whole)

                def do_by_salt() -> float:
                    return seconds(
                        lambda: httpx.post(api, json=platform, headers=theirs, timeout=60).raise_for_status()
                    )

                did, called = in_turns(9, do, do_by_salt, _nothing)
                fast, slow = in_turns(2, lambda: _parallel(ours, ask), lambda: _parallel(theirs, ask_salt), _nothing)
    say(f"{CLIENTS} clients: {1000 * median(fast):.0f} ms a call against {1000 * median(slow):.0f} ms of salt-api")
    say(f"a platform made: {1000 * median(did):.0f} ms against {1000 * median(called):.0f} ms of salt-api")
    say(f"the controller's report: {1000 * median(asked):.0f} ms against {1000 * median(ran):.0f} ms of salt-api")
    looks: dict[str, float | list[float]] = {
        "web_ms": 1000 * median(asked),
        "salt_api_ms": 1000 * median(ran),
        "by_round": by_round(asked, ran),
    }
    does: dict[str, float | list[float]] = {
        "web_ms": 1000 * median(did),
        "salt_api_ms": 1000 * median(called),
        "by_round": by_round(did, called),
    }
    figures = {"web_ms": 1000 * median(fast), "salt_api_ms": 1000 * median(slow), "by_round": by_round(fast, slow)}
    return [
        Figure("log in and see the first page, to a second", _p95(logins) / LOGIN, 1.0, {"login_s": median(logins)}),
        Figure("a question that the master answers, to salt-api", median(asked) / median(ran), 1.0, looks),
        Figure("an operation until it is done, to salt-api", median(did) / median(called), 1.0, does),
        Figure(
            f"the guests of a node, for {CLIENTS} clients at once, to salt-api",
            median(fast) / median(slow),
            1.0,
            figures,
        ),
    ]


def _log_in(url: str) -> None:
    with httpx.Client(base_url=url, headers={"Origin": url}, timeout=60, follow_redirects=True) as browser:
        answer = browser.post("/login", data={"username": "ada", "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        assert "<h1>Overview</h1>" in answer.text, answer.text


@contextmanager
def _salt_api(behind: Master, port: int) -> Iterator[tuple[str, dict[str, str]]]:
    """salt-api of the same master: where it is, and the headers of who is logged in there."""
    log = behind.folder / "api.out"
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "salt-api"), "-c", str(behind.folder / "etc"), "--log-level=error"],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        headers = {"Accept": "application/json"}
        for _ in deadline(60, 0.3):
            assert process.poll() is None, log.read_text()
            with suppress(httpx.HTTPError):
                login = {"username": "ada", "password": PASSWORD, "eauth": "file"}
                answer = httpx.post(f"{url}/login", headers=headers, data=login, timeout=30)
                if answer.status_code == 200:
                    break
        yield url, {**headers, "X-Auth-Token": answer.json()["return"][0]["token"]}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _parallel(headers: Mapping[str, str], ask: Callable[[httpx.Client], int]) -> float:
    """Seconds that a call takes at the median, when several clients call all the time."""
    took: list[float] = []

    def call() -> None:
        with httpx.Client(headers=dict(headers), timeout=120) as client:
            for _ in range(CALLS):
                begun = time.perf_counter()
                assert ask(client) == 100
                took.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=call) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == CLIENTS * CALLS, "a client failed"
    return median(took)


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.95) - 1 if len(values) > 20 else -1]


def _nothing(_: str) -> None:
    """The turns of each endpoint are not told one by one."""
