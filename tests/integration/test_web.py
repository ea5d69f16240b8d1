"""The API, with a real master behind it: who gets in, what they see, and what they have done."""

import datetime
from collections.abc import Iterator

import pytest
from corpus.controller.registry.models import Audit, ComputeNode, Guest, IdempotencyKey, Owner, Platform, now
from sqlalchemy import select

from tests.web import PASSWORD, Web, web


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("w")) as made:
        with made.registry.session() as session:
            node = ComputeNode(name="node1", minion_id="node1.corpus.test", host="192.0.2.1", state="ready")
            ada = Owner(name="ada", email="ada@corpus.test")
            session.add_all([node, ada])
            session.flush()
            platform = Platform(uuid="p-1", node=node, type="prod", operation_mode="final", owner=ada)
            session.add_all([platform, Guest(name="shop", minion_id="shop.corpus.test", platform=platform)])
        yield made


def test_a_password_lets_in_and_a_wrong_one_does_not(there: Web) -> None:
    assert there.client().get("/me").status_code == 401
    assert there.person("ada").get("/me").json()["name"] == "ada"
    wrong = there.client().post("/login", json={"username": "ada", "password": "x"})
    assert wrong.status_code == 401
    assert wrong.headers["Content-Type"] == "application/problem+json"
    assert "wrong" in wrong.json()["detail"]


def test_logout_ends_a_session(there: Web) -> None:
    ada = there.person("ada")
    assert ada.post("/logout").status_code == 204
    assert ada.get("/me").status_code == 401


def test_one_sees_what_is_ones_own(there: Web) -> None:
    assert [one["name"] for one in there.person("ada").get("/guests").json()["items"]] == ["shop"]
    assert there.person("eve").get("/guests").json()["items"] == []
    assert there.person("eve").post("/guests/shop/stop").status_code == 404


def test_a_plan_is_made_by_the_master_and_changes_nothing(there: Web) -> None:
    ada = there.person("ada")
    answer = ada.post("/guests/shop/stop?plan=true")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "guest:shop"
    (told,) = ada.get("/audit?limit=1").json()["items"]
    assert (told["action"], told["subject"], told["operation"]) == ("guest.stop", "guest:shop", None)
    assert told["detail"] == "A plan: nothing was changed."


def test_an_operation_is_done_by_the_master_and_can_be_followed(there: Web) -> None:
    root = there.person("root1", sysadmin=True)
    answer = root.post("/guests/shop/stop")
    found = there.done(root, answer)
    assert found["who"] == "root1"
    assert found["state"] in ("failed", "undone")  # no such minion answers
    with root.stream("GET", f"/operations/{found['operation']}/events") as stream:
        words = [line for line in stream.iter_lines() if line.startswith("event:")]
    assert words[-1] == "event: operation.end"
    assert there.person("eve").get(f"/operations/{found['operation']}").status_code == 404
    with there.registry.reading() as session:
        row = session.scalar(select(Audit).where(Audit.operation == found["operation"]))
        assert (row.who, row.action, row.subject, row.status) == ("root1", "guest.stop", "guest:shop", 202)


def test_the_same_request_with_the_same_key_is_done_once(there: Web) -> None:
    ada = there.person("ada")
    key = {"Idempotency-Key": "ada-1"}
    first = ada.post("/guests/shop/restart", headers=key)
    assert first.status_code == 202, first.text
    assert first.headers["Location"] == first.json()["href"]
    there.done(ada, first)
    again = ada.post("/guests/shop/restart", headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    other = ada.post("/guests/shop/stop", headers=key)
    assert other.status_code == 422
    assert "another request" in other.json()["detail"]
    with there.registry.reading() as session:
        keys = session.scalars(select(IdempotencyKey).where(IdempotencyKey.key == "ada-1")).all()
        assert [(one.status, one.answer) for one in keys] == [(202, first.json())]


def test_a_request_that_is_not_answered_yet_is_not_done_twice(there: Web) -> None:
    """The first one's process took the key, and did not say what came of it."""
    ada = there.person("ada")
    key = {"Idempotency-Key": "ada-3"}
    first = ada.post("/owners/ada/keys", headers=key, json={"public": "ssh-ed25519 nonsense"})
    assert first.status_code == 422  # nothing was begun, so that the key is free again
    named = {"platform": "p-1", "name": "slow"}
    assert ada.post("/guests", headers=key, json=named).status_code == 202

    def unanswered(seconds: float) -> None:
        with there.registry.session() as session:
            row = session.scalars(select(IdempotencyKey).where(IdempotencyKey.key == "ada-3")).one()
            row.status, row.answer, row.created = None, None, now() - datetime.timedelta(seconds=seconds)

    unanswered(1)
    again = ada.post("/guests", headers=key, json=named)
    assert (again.status_code, again.headers["Retry-After"]) == (409, "1")
    unanswered(600)  # that process died
    assert "Idempotency-Replayed" not in ada.post("/guests", headers=key, json=named).headers


def test_a_key_of_a_request_that_was_refused_may_be_used_again(there: Web) -> None:
    ada = there.person("ada")
    key = {"Idempotency-Key": "ada-2"}
    for _ in range(2):
        assert ada.post("/guests/nothing/stop", headers=key).status_code == 404
    assert ada.post("/guests", headers=key, json={"platform": "p-1", "name": "new"}).status_code == 202


def test_no_password_stands_in_any_log(there: Web) -> None:
    there.person("ada")
    assert PASSWORD not in there.log.read_text()
    assert PASSWORD not in (there.master.folder / "master.out").read_text()
