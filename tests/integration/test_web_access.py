"""Who gets in and what with: tokens, cookies, the audit; and what is refused before anybody works for it."""

import asyncio
import datetime
import socket
import statistics
import time
from collections.abc import Iterator

import httpx
import pytest
from corpus.controller.credentials import Credentials
from corpus.controller.registry.models import (
    AccessToken,
    ComputeNode,
    Event,
    Guest,
    Owner,
    Placement,
    Project,
    Role,
    now,
)
from sqlalchemy import delete, select, update

from tests.machine import deadline
from tests.web import PASSWORD, Web, web


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("a"), body_seconds=2) as made:
        with made.registry.session() as session:
            node = ComputeNode(name="node1", minion_id="node1.corpus.test", host="192.0.2.1", state="ready")
            ada = Owner(name="ada")
            session.add_all([node, ada, Guest(name="shop", minion_id="shop.corpus.test", node=node, owner=ada)])
        yield made


@pytest.fixture(scope="module")
def ada(there: Web) -> httpx.Client:
    return there.person("ada")


@pytest.fixture(scope="module")
def root(there: Web) -> httpx.Client:
    return there.person("root1", sysadmin=True)


def _token(person: httpx.Client, *scopes: str, name: str = "ci", **more: object) -> dict:
    answer = person.post("/tokens", json={"name": name, "scopes": scopes, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_token_lets_in_until_it_is_revoked_and_is_shown_once(there: Web, ada: httpx.Client) -> None:
    made = _token(ada, days=3)
    machine = there.client(made["token"])
    assert machine.get("/me").json() == {"name": "ada", "sysadmin": False, "scopes": [], "kind": "personal"}
    listed = {one["uuid"]: one for one in ada.get("/tokens").json()["items"]}
    assert made["token"] not in ada.get("/tokens").text
    assert listed[made["uuid"]]["name"] == "ci"
    assert [one["kind"] for one in listed.values() if one["current"]] == ["session"]
    assert ada.delete(f"/tokens/{made['uuid']}").status_code == 204
    assert machine.get("/me").status_code == 401
    assert ada.delete(f"/tokens/{made['uuid']}").status_code == 404


def test_a_token_is_good_for_its_scopes_and_makes_none_that_is_good_for_more(there: Web, ada: httpx.Client) -> None:
    made = _token(ada, "read", "token.create", "guest.stop", days=1)
    machine = there.client(made["token"])
    assert machine.get("/guests/shop").status_code == 200
    assert machine.post("/guests/shop/stop?plan=true").status_code == 200
    refused = machine.post("/guests/shop/start?plan=true")
    assert refused.status_code == 403
    assert "its scopes are" in refused.json()["detail"]
    for scopes in ([], ["guest"], ["guest.start"], ["token"]):
        answer = machine.post("/tokens", json={"name": "more", "scopes": scopes})
        assert answer.status_code == 403, answer.text
    less = _token(machine, "read", days=300)
    assert less["expires"] == made["expires"]  # it ends with the one that made it
    assert there.client(less["token"]).post("/tokens", json={"name": "x", "scopes": ["read"]}).status_code == 403
    assert machine.delete(f"/tokens/{less['uuid']}").status_code == 403


@pytest.mark.parametrize("body", [{"name": ""}, {"name": "x", "scopes": ["guest.fly"]}, {"name": "x", "days": 0}, {}])
def test_a_token_that_cannot_be_is_refused(ada: httpx.Client, body: dict) -> None:
    assert ada.post("/tokens", json=body).status_code == 422


def test_tokens_are_ones_own_or_a_sysadmins_to_see_and_revoke(
    there: Web, ada: httpx.Client, root: httpx.Client
) -> None:
    made = _token(ada, "read")
    bob = there.person("bob")
    assert bob.get("/tokens?owner=ada").status_code == 403
    assert bob.delete(f"/tokens/{made['uuid']}").status_code == 404
    assert made["uuid"] in root.get("/tokens?owner=ada").text
    first = root.get("/tokens?owner=ada&limit=1").json()
    second = root.get("/tokens", params={"owner": "ada", "limit": 1, "after": first["next"]}).json()
    assert first["items"][0]["uuid"] != second["items"][0]["uuid"]
    assert root.delete(f"/tokens/{made['uuid']}").status_code == 204
    assert there.client(made["token"]).get("/me").status_code == 401


def test_what_is_over_lets_nobody_in(there: Web) -> None:
    for kind in ("session", "personal"):
        eve = there.person("eve")
        token = _token(eve)["token"] if kind == "personal" else eve.headers["Authorization"].split()[1]
        client = there.client(token)
        assert client.get("/me").json()["kind"] == kind
        with there.registry.session() as session:
            mine = select(Owner.id).where(Owner.name == "eve").scalar_subquery()
            over = now() - datetime.timedelta(seconds=1)
            session.execute(update(AccessToken).where(AccessToken.owner_id == mine).values(expires=over))
        assert client.get("/me").status_code == 401
        assert client.get("/me").headers["WWW-Authenticate"] == "Bearer"


def test_the_audit_tells_who_did_what_to_themselves_and_all_to_sysadmins(
    there: Web, ada: httpx.Client, root: httpx.Client
) -> None:
    before = now().isoformat()
    there.client().post("/login", json={"username": "bob", "password": "wrong"})
    bob = there.person("bob")
    token = _token(bob, "read")["token"]
    bob.post("/guests/shop/stop")
    mine = bob.get("/audit", params={"since": before}).json()["items"]
    told = [(one["who"], one["action"], one["status"], one["subject"]) for one in mine]
    assert told == [
        ("bob", "POST /api/v1/guests/shop/stop", 404, None),  # there is no such guest for him
        ("bob", "token.create", 201, "owner:bob"),
        ("bob", "login", 201, "owner:bob"),
        ("bob", "login", 401, "owner:bob"),
    ]
    assert {one["address"] for one in mine} == {"127.0.0.1"}
    assert {one["who"] for one in ada.get("/audit").json()["items"]} == {"ada"}
    assert ada.get("/audit?who=bob").json()["items"] == []
    everybodys = root.get("/audit", params={"since": before, "who": "bob", "action": "login", "limit": 1}).json()
    assert [one["status"] for one in everybodys["items"]] == [201]
    rest = root.get("/audit", params={"since": before, "who": "bob", "action": "login", "after": everybodys["next"]})
    assert [one["status"] for one in rest.json()["items"]] == [401]
    assert {one["action"] for one in root.get("/audit?action=token").json()["items"]} >= {"token.create"}
    assert root.get("/audit", params={"until": "2000-01-01T00:00:00Z"}).json()["items"] == []
    assert root.get("/audit?after=x").status_code == 422
    assert token not in root.get("/audit").text


def test_a_link_shows_a_password_once_to_whoever_has_its_token(
    there: Web, ada: httpx.Client, root: httpx.Client
) -> None:
    with there.registry.session() as session:
        uuid = session.scalars(select(Guest.uuid).where(Guest.name == "shop")).one()
        Credentials.of(there.registry).store(session, f"guest:{uuid}", "root", "w0rd of shop")
    assert there.person("bob").post("/guests/shop/credentials").status_code == 404
    answer = ada.post("/guests/shop/credentials")
    assert answer.status_code == 201, answer.text
    token = answer.json()["token"]
    assert answer.json()["url"] == f"{there.url}/links#{token}"
    stranger = there.client()
    assert stranger.get("/links").status_code == 405  # what reads ahead uses nothing up
    shown = stranger.post("/links", json={"token": token})
    assert shown.json() == {"subject": "guest:shop", "name": "root", "value": "w0rd of shop"}
    for wrong in (token, "x" * 40, token):
        refused = stranger.post("/links", json={"token": wrong})
        assert refused.status_code == 404
        assert "This link shows nothing" in refused.json()["detail"]
    page = httpx.get(f"{there.url}/links")
    assert 'name="token"' in page.text
    token = ada.post("/guests/shop/credentials").json()["token"]
    assert "w0rd of shop" in httpx.post(f"{there.url}/links", data={"token": token}).text
    audit = root.get("/audit?action=link").json()["items"]
    told = [(one["status"], one["subject"], one["detail"]) for one in audit]
    assert told == [(200, "guest:shop", "root"), *[(404, None, None)] * 3, (200, "guest:shop", "root")]
    jobs = [path.read_bytes() for path in (there.master.folder / "master").rglob("*") if path.is_file()]
    for said in (root.get("/audit").text, there.log.read_text(), *(one.decode(errors="replace") for one in jobs)):
        assert token not in said
        assert "w0rd of shop" not in said


def test_too_many_wrong_tokens_are_not_even_tried(there: Web) -> None:
    answers = [there.client().post("/links", json={"token": "x" * 40}) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert "Retry-After" in answers[-1].headers


def test_too_many_wrong_passwords_are_not_even_tried(there: Web) -> None:
    def tries(name: str, password: str) -> httpx.Response:
        return there.client().post("/login", json={"username": name, "password": password})

    assert [tries("cat", "wrong").status_code for _ in range(5)] == [401] * 5
    for name in ("cat", "CAT", " cat"):
        answer = tries(name, PASSWORD)  # the right one does not help either
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 900
    assert tries("bob", PASSWORD).status_code == 201  # others are not kept out


@pytest.mark.parametrize(
    ("origin", "status"), [(None, 403), ("https://evil.example", 403), ("null", 403), ("own", 204), ("own/", 204)]
)
def test_a_cookie_counts_for_our_own_pages_alone(there: Web, origin: str | None, status: int) -> None:
    token = there.person("ada").headers["Authorization"].split()[1]
    with httpx.Client(base_url=f"{there.url}/api/v1", cookies={"corpus": token}) as browser:
        assert browser.get("/me").status_code == 200
        headers = {} if origin is None else {"Origin": origin.replace("own", there.url)}
        also = {**headers, "Authorization": "Basic YTpi"}  # what a browser may send for http://a:b@…
        assert browser.post("/tokens", headers=also, json={"name": ""}).status_code == (422 if status == 204 else 403)
        assert browser.post("/logout", headers=headers).status_code == status
        assert browser.get("/me").status_code == (401 if status == 204 else 200)


def test_a_page_of_an_action_tells_a_stranger_nothing(there: Web) -> None:
    with there.registry.session() as session:
        shop = session.scalars(select(Guest).where(Guest.name == "shop")).one()
        session.add(Placement(project=Project(name="hidden"), guest=shop))
    token = there.person("bob").headers["Authorization"].split()[1]
    own = {"Origin": there.url}
    with httpx.Client(base_url=there.url, cookies={"corpus": token}, headers=own) as browser:
        for kind in ("push", "rollback", "destroy", "close"):
            for more in ({}, {"guest": "shop"}, {"guest": "other"}):
                for send in (browser.get, browser.post):
                    told = []
                    for name in ("hidden", "nothing"):
                        given = {"name": name, "counts": "web=1", **more}
                        given = {"params": given} if send == browser.get else {"data": given}
                        answer = send(f"/do/project.{kind}", **given)  # type: ignore[operator]
                        told.append((answer.status_code, answer.text.replace(name, "X")))
                    assert told[0] == told[1]
                    assert told[0][0] == 404


def test_what_no_database_takes_is_refused(there: Web, ada: httpx.Client) -> None:
    for path in ("/operations?state=%00", "/operations/%00", "/events?guest=%00", "/tokens?owner=%00"):
        assert ada.get(path).status_code == 422, path
    assert ada.delete("/tokens/%00").status_code == 422
    assert ada.get("/events", headers={"Last-Event-ID": str(2**63)}).status_code == 422


def test_questions_are_answered_without_a_runner(there: Web, root: httpx.Client) -> None:
    password = there.log.with_name("web.password")
    word = password.read_text()
    password.write_text("wrong: no runner is let in")
    try:
        assert root.get("/controller").json()["parts"]["registry"] == "ok"
    finally:
        password.write_text(word)


def test_every_answer_forbids_what_browsers_do_by_themselves(there: Web, ada: httpx.Client) -> None:
    for answer in (ada.get("/me"), there.client().get("/me"), httpx.get(f"{there.url}/nothing")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert ada.get("/me").headers["Cache-Control"] == "no-store"


def test_too_much_is_refused_before_it_is_read(there: Web, ada: httpx.Client) -> None:
    told = ada.post("/tokens", content=b"x" * 1_000_001, headers={"Content-Type": "application/json"})
    untold = ada.post("/tokens", content=iter([b"x" * 600_000] * 3), headers={"Content-Type": "application/json"})
    for answer in (told, untold):
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert ada.post("/tokens", json={"name": "x" * 900_000}).status_code == 422


def test_who_does_not_finish_a_request_is_not_waited_for(there: Web) -> None:
    host, port = there.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as slow:
        slow.sendall(b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_who_may_no_more_follows_no_more(there: Web, ada: httpx.Client) -> None:
    revoked = _token(ada, "read")
    root = there.person("bob", sysadmin=True)

    def happens(word: str) -> None:
        with there.registry.session() as session:
            session.add(Event(kind="operation.says", subject="compute_node:node1", data={"line": word}))
            session.add(Event(kind="operation.says", subject="guest:shop", data={"line": word}))

    async def followed() -> tuple[list[str], bool, int]:
        heard: list[str] = []
        ready = [asyncio.Event(), asyncio.Event()]

        async def follow(headers: httpx.Headers, sign: asyncio.Event, lines: list[str]) -> None:
            events = f"{there.url}/api/v1/events"
            async with (
                httpx.AsyncClient(headers=headers, timeout=None) as client,
                client.stream("GET", events) as stream,
            ):
                sign.set()
                async for line in stream.aiter_lines():
                    lines += [line] if line.startswith("data:") else []

        ends = asyncio.create_task(follow(there.client(revoked["token"]).headers, ready[0], []))
        sees = asyncio.create_task(follow(root.headers, ready[1], heard))
        await asyncio.wait_for(asyncio.gather(*(sign.wait() for sign in ready)), 20)
        happens("before")
        for _ in range(200):
            if len(heard) == 2:
                break
            await asyncio.sleep(0.1)
        before = len(heard)
        assert ada.delete(f"/tokens/{revoked['uuid']}").status_code == 204
        with there.registry.session() as session:
            mine = select(Owner.id).where(Owner.name == "bob").scalar_subquery()
            session.execute(delete(Role).where(Role.owner_id == mine))
        await asyncio.wait_for(ends, 60)  # whoever is known no more is told so by the end of the stream
        for number in range(60):
            count = len(heard)
            happens(f"after {number}")
            await asyncio.sleep(1)
            if len(heard) == count:
                break
        over = sees.done()
        sees.cancel()
        return heard[:before], over, len(heard) - count

    first, over, more = asyncio.run(followed())
    assert len(first) == 2
    assert (over, more) == (False, 0)


def test_two_hundred_who_follow_do_not_slow_those_who_read(there: Web, ada: httpx.Client) -> None:
    def measured() -> float:
        """The 95th percentile of reads, in seconds."""
        times = []
        for _ in range(60):
            began = time.perf_counter()
            assert ada.get("/guests").status_code == 200
            times.append(time.perf_counter() - began)
        return statistics.quantiles(times, n=20)[-1]

    async def followed() -> tuple[float, float, int]:
        heard = 0

        async def follow(client: httpx.AsyncClient, ready: asyncio.Event) -> None:
            nonlocal heard
            async with client.stream("GET", f"{there.url}/api/v1/events") as stream:
                assert stream.status_code == 200
                ready.set()
                async for line in stream.aiter_lines():
                    heard += line.startswith("event: operation.says")

        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(headers=ada.headers, limits=limits, timeout=None) as client:
            alone = await asyncio.to_thread(measured)
            signs = [asyncio.Event() for _ in range(200)]
            streams = [asyncio.create_task(follow(client, sign)) for sign in signs]
            await asyncio.wait_for(asyncio.gather(*(sign.wait() for sign in signs)), 60)
            beside = await asyncio.to_thread(measured)
            with there.registry.session() as session:
                session.add(Event(kind="operation.says", subject="guest:shop", data={"line": "hello"}))
            for _ in range(300):
                if heard == len(streams):
                    break
                await asyncio.sleep(0.1)
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        return alone, beside, heard

    alone, beside, heard = asyncio.run(followed())
    assert heard == 200
    assert beside < 3 * alone + 0.05, (alone, beside)
    for _ in deadline(20):  # they are gone, and so is what they held
        if measured() < 3 * alone + 0.05:
            break
