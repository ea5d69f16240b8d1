"""The API's resources: guests, nodes, platforms, names, images, the controller; with a real master and no node."""

from collections.abc import Iterator
from typing import Any

import pytest
from corpus.controller.registry.models import (
    Audit,
    ComputeNode,
    DnsName,
    Guest,
    Image,
    NodeImage,
    Owner,
    Placement,
    Platform,
    Project,
)
from sqlalchemy import select

from tests.web import Web, web


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("w")) as made:
        with made.registry.session() as session:
            node = ComputeNode(
                name="node1.corpus.test",
                minion_id="node1.corpus.test",
                host="192.0.2.1",
                address="192.0.2.1",
                state="ready",
                slots=10,
                settings={"firewall": []},
            )
            other = ComputeNode(
                name="node2.corpus.test", minion_id="node2.corpus.test", host="192.0.2.2", state="draining"
            )
            ada, bob = Owner(name="ada"), Owner(name="bob")
            session.add_all([node, other, ada, bob])
            session.flush()
            platform = Platform(uuid="p-1", node=node, type="prod", operation_mode="final", owner=ada)
            session.add_all([platform, Platform(uuid="p-2", node=other, type="dev", operation_mode="editable")])
            for at in range(5):
                guest = Guest(name=f"shop{at}", minion_id=f"shop{at}.corpus.test", platform=platform, state="running")
                guest.names = [DnsName(fqdn=f"shop{at}.corpus.test")]
                session.add(guest)
            image = Image(name="debian", version="0123456789ab", digest="sha256:00", size=1)
            project = Project(name="till")
            session.add_all([image, project])
            session.flush()
            session.add_all([Placement(project=project, guest=guest), NodeImage(node=node, image=image)])
        yield made


@pytest.fixture(scope="module")
def root(there: Web) -> Any:
    return there.person("root1", sysadmin=True)


@pytest.fixture(scope="module")
def ada(there: Web) -> Any:
    return there.person("ada")


@pytest.fixture(scope="module")
def eve(there: Web) -> Any:
    return there.person("eve")


def items(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["name"] if "name" in one else one["uuid"] for one in answer.json()["items"]]


def test_a_list_comes_in_parts(ada: Any) -> None:
    seen, after = [], None
    while True:
        page = ada.get("/guests", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [one["name"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [f"shop{at}" for at in range(5)]


def test_lists_are_filtered(ada: Any, root: Any) -> None:
    assert items(ada.get("/guests", params={"project": "till"})) == ["shop4"]
    assert items(ada.get("/guests", params={"state": "stopped"})) == []
    assert len(items(ada.get("/guests", params={"node": "node1.corpus.test", "platform": "p-1"}))) == 5
    assert items(root.get("/nodes", params={"state": "draining"})) == ["node2.corpus.test"]
    assert items(root.get("/nodes", params={"platform_type": "prod"})) == ["node1.corpus.test"]
    assert items(root.get("/platforms", params={"owner": "ada"})) == ["p-1"]
    assert [one["fqdn"] for one in ada.get("/dns/names", params={"guest": "shop1"}).json()["items"]] == [
        "shop1.corpus.test"
    ]


def test_one_sees_ones_own(ada: Any, eve: Any, root: Any) -> None:
    assert items(root.get("/nodes")) == ["node1.corpus.test", "node2.corpus.test"]
    assert items(ada.get("/nodes")) == ["node1.corpus.test"]
    assert items(ada.get("/platforms")) == ["p-1"]
    for resource in ("nodes", "platforms", "guests", "dns/names"):
        assert items(eve.get(f"/{resource}")) == []
    for path in ("/guests/shop1", "/nodes/node1", "/platforms/p-1", "/guests/shop1/snapshots"):
        assert eve.get(path).status_code == 404, path
    assert ada.get("/nodes/node2").status_code == 404
    assert ada.get("/nodes/node1/settings").status_code == 403


def test_a_node_shows_what_is_for_who_looks(ada: Any, root: Any) -> None:
    mine = ada.get("/nodes/node1").json()
    assert (mine["name"], mine["guests"], mine["free_slots"], mine["keys"]) == ("node1.corpus.test", 5, 5, None)
    assert [one["uuid"] for one in mine["platforms"]] == ["p-1"]
    assert root.get("/nodes/node1").json()["host"] == "192.0.2.1"


def test_a_guest_is_found_by_what_it_is_called(ada: Any) -> None:
    found = ada.get("/guests/shop1").json()
    assert found["platform"] == "p-1"
    assert ada.get(f"/guests/{found['uuid']}").json() == found
    assert ada.get("/guests/shop1.corpus.test").json() == found


def test_who_deletes_says_the_name_twice(ada: Any, root: Any) -> None:
    for person, path, name in (
        (ada, "/guests/shop1", "shop1"),
        (root, "/nodes/node2.corpus.test", "node2.corpus.test"),
        (root, "/platforms/p-2", "p-2"),
        (root, "/dns/zones/corpus.test", "corpus.test"),
    ):
        refused = person.delete(path)
        assert refused.status_code == 422, path
        assert f"confirm={name}" in refused.json()["detail"]


def test_settings_are_edited_by_who_read_them(there: Web, root: Any) -> None:
    read = root.get("/nodes/node1/settings")
    tag = read.headers["ETag"]
    new = {"slots": 20, "settings": {"default_env": "prod"}}
    assert root.put("/nodes/node1/settings", json=new).status_code == 428
    stale = root.put("/nodes/node1/settings", json=new, headers={"If-Match": '"0123"'})
    assert stale.status_code == 412
    assert "changed meanwhile" in stale.json()["detail"]
    done = there.done(root, root.put("/nodes/node1/settings", json=new, headers={"If-Match": tag}))
    assert done["state"] == "done", done
    again = root.get("/nodes/node1/settings")
    assert again.json() == new
    assert again.headers["ETag"] != tag
    assert root.put("/nodes/node1/settings", json=new, headers={"If-Match": tag}).status_code == 412


def test_who_was_first_is_seen_by_the_master_too(there: Web, root: Any) -> None:
    """What is queued with an old tag is refused when it is done."""
    tag = root.get("/platforms/p-2/settings").headers["ETag"]
    with there.registry.session() as session:
        session.scalars(select(Platform).where(Platform.uuid == "p-2")).one().settings = {"a": 1}
    plan = there.master.cloud()
    from corpus.controller import operations

    report = operations.run(
        plan, "platform.configure", {"platform": "p-2", "settings": {"b": 2}, "was": tag.strip('"')}, "root"
    )
    assert not report["result"]
    assert "changed meanwhile" in report["comment"]
    plan.registry.close()


def test_a_platform_is_made_and_removed(there: Web, root: Any) -> None:
    made = there.done(root, root.post("/platforms", json={"node": "node2", "type": "staging", "owner": "bob"}))
    assert made["state"] == "done", made
    uuid = made["facts"]["platform"]
    found = root.get(f"/platforms/{uuid}").json()
    assert (found["operation_mode"], found["owner"], found["guests"]) == ("cooking", "bob", 0)
    assert there.person("bob").get(f"/platforms/{uuid}").status_code == 200
    gone = there.done(root, root.delete(f"/platforms/{uuid}", params={"confirm": uuid}))
    assert gone["state"] == "done", gone
    assert root.get(f"/platforms/{uuid}").status_code == 404
    full = root.delete("/platforms/p-1", params={"plan": True})
    assert full.json()["result"] is False
    assert "has guests" in full.json()["comment"]


def test_images_tell_which_nodes_have_them(ada: Any, eve: Any) -> None:
    assert [one["nodes"] for one in ada.get("/images").json()["items"]] == [["node1.corpus.test"]]
    assert [one["nodes"] for one in eve.get("/images").json()["items"]] == [[]]


def test_what_only_the_master_knows_is_asked(root: Any, ada: Any) -> None:
    report = root.get("/controller").json()
    assert report["parts"]["registry"] == "ok"
    assert report["nodes"] == {"ready": 1, "draining": 1}
    assert ada.get("/controller").status_code == 403
    none = root.get("/dns/zones")
    assert none.status_code == 422
    assert "no DNS server" in none.json()["detail"]
    assert root.get("/machines").json() == []
    assert root.post("/controller/resume", json={}, params={"plan": True}).json()["result"] is True


def test_a_program_is_run_where_the_guest_answers(there: Web, ada: Any) -> None:
    silent = ada.post("/guests/shop1/exec", json={"argv": ["true"], "timeout": 5})
    assert silent.status_code in (502, 504), silent.text
    with there.registry.reading() as session:
        row = session.scalar(select(Audit).where(Audit.action == "guest.exec"))
        assert (row.who, row.subject, row.detail) == ("ada", "guest:shop1", "true")


def test_it_tells_that_it_lives_and_what_it_measures(there: Web, root: Any) -> None:
    stranger = there.client()
    assert stranger.get("/health").json() == {"status": "ok"}
    assert stranger.get("/ready").json()["status"] == "ok"
    root.get("/guests/shop1")
    told = stranger.get("/metrics").text
    assert 'corpus_guests{state="running"} 5.0' in told
    assert 'corpus_web_requests_total{method="GET",route="/api/v1/guests/{name}",status="200"}' in told
    assert 'corpus_operations{state="running"}' in told
    behind = {"X-Forwarded-For": "192.0.2.7"}
    assert stranger.get("/metrics", headers=behind).status_code == 401
    assert root.get("/metrics", headers=behind).status_code == 200


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA cat@laptop"


def test_people_have_keys_and_a_mail_address(there: Web, root: Any, eve: Any) -> None:
    made = there.done(root, root.post("/owners", json={"name": "cat", "email": "cat@corpus.test"}))
    assert made["state"] == "done", made
    cat = there.person("cat")
    assert there.done(cat, cat.post("/owners/cat/keys", json={"public": KEY, "label": "laptop"}))["state"] == "done"
    keys = cat.get("/owners/cat/keys").json()
    assert [(one["name"], one["public"]) for one in keys] == [("laptop", KEY)]
    assert cat.get("/owners/cat").json()["keys"] == {keys[0]["fingerprint"]: "laptop"}
    gone = there.done(cat, cat.delete("/owners/cat/keys", params={"key": keys[0]["fingerprint"]}))
    assert gone["state"] == "done", gone
    assert cat.get("/owners/cat/keys").json() == []
    tag = cat.get("/owners/cat/email").headers["ETag"]
    assert cat.put("/owners/cat/email", json={"email": None}).status_code == 428
    assert (
        there.done(cat, cat.put("/owners/cat/email", json={"email": "c@corpus.test"}, headers={"If-Match": tag}))[
            "state"
        ]
        == "done"
    )
    assert cat.put("/owners/cat/email", json={"email": None}, headers={"If-Match": tag}).status_code == 412
    assert eve.get("/owners/cat").status_code == 404
    assert eve.put("/owners/cat/email", json={"email": None}, headers={"If-Match": "*"}).status_code == 404
    assert items(eve.get("/owners")) == ["eve"]
    assert {"ada", "bob", "cat", "eve"} <= set(items(root.get("/owners")))


def test_a_platforms_owner_lets_others_in(there: Web, ada: Any) -> None:
    bob = there.person("bob")
    assert bob.get("/platforms/p-1").status_code == 404
    granted = there.done(ada, ada.post("/platforms/p-1/roles", json={"owner": "bob", "role": "viewer"}))
    assert granted["state"] == "done", granted
    assert bob.get("/platforms/p-1").json()["roles"] == {"bob": ["viewer"]}
    assert len(items(bob.get("/guests"))) == 5
    assert bob.post("/guests/shop1/stop").status_code == 403
    assert bob.post("/platforms/p-1/roles", json={"owner": "eve"}).status_code == 403
    assert there.done(ada, ada.delete("/platforms/p-1/roles/bob"))["state"] == "done"
    assert bob.get("/platforms/p-1").status_code == 404


def test_a_token_reads_what_it_is_good_for(there: Web, ada: Any) -> None:
    narrow = there.client(ada.post("/tokens", json={"name": "ci", "scopes": ["project.push"]}).json()["token"])
    reader = there.client(ada.post("/tokens", json={"name": "eyes", "scopes": ["read"]}).json()["token"])
    for path in ("/guests", "/nodes", "/platforms", "/dns/names", "/owners", "/images", "/operations"):
        assert narrow.get(path).status_code == 403, path
        assert reader.get(path).status_code == 200, path
    assert reader.post("/guests/shop1/stop").status_code == 403


def test_the_same_is_done_at_the_master(there: Web, root: Any) -> None:
    made = there.master.ok("mc_compute_node.platform_create", "node2", "dev")["facts"]["platform"]
    assert root.get(f"/platforms/{made}").json()["operation_mode"] == "editable"
    there.master.ok("mc_compute_node.platform_configure", made, owner="ada")
    assert root.get(f"/platforms/{made}/settings").json() == {"owner": "ada", "settings": {}}
    there.master.ok("mc_compute_node.platform_delete", made)
    assert root.get(f"/platforms/{made}").status_code == 404
    assert "no number" in there.master.refused("mc_compute_node.configure", "node2", slots=0)


def test_a_moment_is_no_number(root: Any) -> None:
    assert root.get("/audit", params={"until": "0.5"}).status_code == 422
    assert root.get("/audit", params={"until": "2020-01-31T12:00:00"}).status_code == 422
    assert root.get("/audit", params={"until": "2020-01-31T12:00:00Z"}).json()["items"] == []
