"""The ``corpus`` command against the real service: what people type, what they read, and what scripts get."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from corpus.controller import access
from corpus.controller.credentials import Credentials
from corpus.controller.journal import Journal
from corpus.controller.registry.models import ComputeNode, DnsName, Guest, Owner, Platform
from sqlalchemy import select

from tests.client import CTRL_C, Laptop
from tests.machine import free_port
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
            shop = Guest(
                name="shop", minion_id="shop.corpus.test", platform=platform, node=node, state="running", ssh_port=40001
            )
            session.add_all([platform, shop])
        yield made


@pytest.fixture
def laptop(there: Web, tmp_path: Path) -> Laptop:
    return Laptop(tmp_path, there.url)


def test_one_logs_in_once_and_is_known_until_one_logs_out(there: Web, laptop: Laptop) -> None:
    laptop.ok("login", "prod")
    kept = list((laptop.home / ".local/state/corpus/sessions").iterdir())
    assert [stat.S_IMODE(one.stat().st_mode) for one in kept] == [0o600]
    assert PASSWORD not in kept[0].read_text()
    laptop.configure({"prod": {"url": there.url, "id": "ada", "password": "wrong"}})
    assert laptop.json("whoami", "prod")["name"] == "ada"  # by the session

    laptop.ok("logout", "prod")
    refused = laptop.corpus("whoami", "prod")
    assert refused.status == 3
    assert "password is wrong" in refused.errors


def test_a_session_that_ended_there_is_renewed(laptop: Laptop) -> None:
    laptop.ok("login", "prod")
    (kept,) = (laptop.home / ".local/state/corpus/sessions").iterdir()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "token": "corpus_gone"}))
    assert laptop.json("whoami", "prod")["name"] == "ada"


def test_a_session_that_others_can_read_is_not_used(there: Web, laptop: Laptop) -> None:
    laptop.ok("login", "prod")
    (kept,) = (laptop.home / ".local/state/corpus/sessions").iterdir()
    kept.chmod(0o644)
    laptop.configure({"prod": {"url": there.url, "id": "ada"}})
    assert laptop.corpus("whoami", "prod").status == 3


def test_where_a_password_comes_from(there: Web, laptop: Laptop) -> None:
    laptop.configure({"prod": {"url": there.url, "id": "ada"}})
    nobody = laptop.corpus("whoami", "prod")
    assert nobody.status == 3
    assert "CORPUS_PASSWORD" in nobody.errors
    assert laptop.json("whoami", "prod", CORPUS_PASSWORD=PASSWORD)["name"] == "ada"
    laptop.ok("logout", "prod")

    telling = [sys.executable, "-c", f"print({PASSWORD!r})"]
    laptop.configure({"prod": {"url": there.url, "id": "ada", "password_command": telling}})
    assert laptop.json("whoami", "prod")["name"] == "ada"
    laptop.ok("logout", "prod")

    laptop.configure({"prod": {"url": there.url}})
    status, shown = laptop.typed("login", "prod", answers=("bob", PASSWORD))
    assert status == 0, shown
    assert PASSWORD not in shown
    assert laptop.json("whoami", "prod")["name"] == "bob"

    token = there.person("cat").headers["Authorization"].split()[1]
    assert laptop.json("whoami", "prod", CORPUS_TOKEN=token)["name"] == "cat"
    laptop.configure({"prod": {"url": there.url, "token_command": [sys.executable, "-c", f"print({token!r})"]}})
    assert laptop.json("whoami", "prod")["name"] == "cat"


def test_settings_that_others_can_read_are_refused(there: Web, laptop: Laptop) -> None:
    laptop.settings.chmod(0o640)
    refused = laptop.corpus("whoami", "prod")
    assert refused.status == 2
    assert f"chmod 600 {laptop.settings}" in refused.errors
    elsewhere = laptop.home / "other.conf"
    elsewhere.write_text(json.dumps({"x": {"url": there.url, "id": "ada", "password": PASSWORD}}))
    elsewhere.chmod(0o600)
    assert laptop.json("whoami", "x", CORPUS_CONFIG=str(elsewhere))["name"] == "ada"


def test_lists_for_people_pipes_and_machines(laptop: Laptop) -> None:
    assert laptop.ok("guests", "prod").split("\t")[:3] == ["shop", "running", "node1"]
    assert [one["name"] for one in laptop.json("guests", "prod")] == ["shop"]
    status, shown = laptop.typed("guests", "prod")
    assert status == 0
    assert "ssh port" in shown
    assert "\x1b[" in shown
    laptop.env["NO_COLOR"] = "1"
    assert "\x1b[3" not in laptop.typed("guests", "prod")[1]


def test_a_plan_changes_nothing(there: Web, laptop: Laptop) -> None:
    planned = laptop.ok("guest_stop", "prod", "shop", "--plan")
    assert "would" in planned
    assert laptop.json("guest_stop", "prod", "shop", "--plan")["name"] == "guest:shop"
    cannot = laptop.corpus("guest_create", "prod", "blog", "--platform", "p-1", "--plan")
    assert cannot.status == 1
    assert "has no image" in cannot.errors
    assert [one["name"] for one in laptop.json("guests", "prod")] == ["shop"]
    assert laptop.json("operations", "prod") == []


def test_an_operation_that_fails_is_followed_and_fails_the_command(laptop: Laptop) -> None:
    ended = laptop.corpus("guest_stop", "prod", "shop")  # no such minion answers
    assert ended.status == 1
    assert ended.output == ""
    assert "FAILED" in ended.errors
    assert "guest.stop failed: " in ended.errors
    (last,) = laptop.json("operations", "prod", "--limit", "1")
    told = laptop.json("operations", "prod", last["operation"])
    assert told["steps"]
    assert laptop.corpus("operations", "prod", last["operation"], "--follow").status == 1

    as_json = laptop.corpus("guest_stop", "prod", "shop", "--json")
    assert as_json.status == 1
    assert json.loads(as_json.output)["state"] in ("failed", "undone")
    assert json.loads(as_json.errors)["error"]["status"] == 1

    uuid = laptop.ok("guest_stop", "prod", "shop", "--detach").strip()
    status, shown = laptop.typed("operations", "prod", uuid, "--follow")
    assert status == 1
    assert "FAILED" in shown


def _running(there: Web, name: str) -> str:
    """An operation that is under way, as the master's process would have written it down."""
    registry = there.registry
    return Journal.begin(registry, "guest.restart", f"guest:{name}", {"name": name}, "ada", ["stop", "start"]).uuid


def test_an_operation_is_followed_live(there: Web, laptop: Laptop) -> None:
    uuid = _running(there, "live")
    journal = Journal.load(there.registry, uuid)

    def first() -> None:
        journal.step("stop", "running")
        journal.said("waits for three processes")
        journal.step("stop", "done", "stopped")

    def second() -> None:
        journal.step("start", "running")
        journal.step("start", "done", "started")
        journal.become("done", "It was restarted.")

    status, shown = laptop.typed(
        "operations", "prod", uuid, "--follow", when={"guest.restart": first, "three processes": second}
    )
    assert status == 0, shown
    assert "0/2" in shown
    for words in ("stopped", "started", "It was restarted."):
        assert words in shown


def test_who_stops_looking_is_told_how_to_look_again(there: Web, laptop: Laptop) -> None:
    uuid = _running(there, "left")
    follow = ("operations", "prod", uuid, "--follow")
    status, shown = laptop.typed(*follow, when={"guest.restart": lambda: CTRL_C})
    assert status == 130
    assert f"corpus operations prod {uuid} --follow" in shown
    Journal.load(there.registry, uuid).become("undone", "Nobody wants it.")
    assert laptop.corpus(*follow).status == 1


def test_what_is_not_ones_own_is_not_there(there: Web, tmp_path: Path) -> None:
    eve = Laptop(tmp_path / "eve", there.url, "eve")
    assert eve.ok("guests", "prod") == ""
    refused = eve.corpus("guest_stop", "prod", "shop")
    assert refused.status == 4
    assert "shop" in refused.errors


def test_nobody_answers(laptop: Laptop) -> None:
    laptop.configure({"prod": {"url": f"http://127.0.0.1:{free_port()}", "id": "ada", "password": PASSWORD}})
    ended = laptop.corpus("guests", "prod")
    assert ended.status == 5
    assert "does not answer" in ended.errors


def test_what_cannot_be_said(laptop: Laptop) -> None:
    for words in (
        ["guests"],
        ["guests", "nowhere"],
        ["guest_stop", "prod"],
        ["no_such"],
        ["guests", "prod", "--no-such"],
    ):
        assert laptop.corpus(*words).status == 2, words
    wrong = laptop.corpus("guest_create", "prod", "Not A Name", "--platform", "p-1")
    assert wrong.status == 2
    assert "name" in wrong.errors


def test_verbose_tells_of_requests_and_of_no_secret(laptop: Laptop) -> None:
    told = laptop.corpus("guests", "prod", "-v")
    assert "GET /api/v1/guests" in told.errors
    assert "corpus_" not in told.said
    assert PASSWORD not in told.said


def test_every_command_explains_itself(laptop: Laptop) -> None:
    whole = laptop.ok("--help")
    assert "Exit status" in whole
    names = [line.split()[0] for line in whole.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    assert "guest_create" in names
    for shell in ("bash", "zsh", "fish"):
        assert "corpus" in laptop.ok("completion", shell)
    completed = laptop.ok(_CORPUS_COMPLETE="bash_complete", COMP_WORDS="corpus guests p", COMP_CWORD="2")
    assert completed.strip() == "plain,prod"


def test_nodes_and_platforms(there: Web, laptop: Laptop, tmp_path: Path) -> None:
    assert laptop.ok("computenode_list", "prod").split("\t")[:2] == ["node1", "ready"]
    assert [one["uuid"] for one in laptop.json("platforms", "prod", "--node", "node1")] == ["p-1"]
    told = laptop.json("computenode_infos", "prod", "p-1")
    assert (told["platform"]["operation_mode"], told["node"]["name"]) == ("final", "node1")
    assert [one["name"] for one in told["slots"]] == ["shop"]
    assert laptop.json("computenode_infos", "prod", "node1")["slots"][0]["name"] == "shop"
    assert laptop.corpus("computenode_infos", "prod", "nowhere").status == 4

    assert laptop.corpus("computenode_init", "prod", "staging").status == 3  # for sysadmins
    there.person("root1", sysadmin=True)
    root = Laptop(tmp_path / "root", there.url, "root1")
    uuid = root.ok("computenode_init", "prod", "staging", "--owner", "ada").strip()
    assert [one["type"] for one in laptop.json("platforms", "prod") if one["uuid"] == uuid] == ["staging"]
    ambiguous = laptop.corpus("guest_create", "prod", "blog", "--plan")
    assert ambiguous.status == 2
    assert "--platform" in ambiguous.errors

    root.ok("computenode_switchmode", "prod", uuid, "editable")
    assert laptop.json("computenode_infos", "prod", uuid)["platform"]["operation_mode"] == "editable"
    asked = root.corpus("platform_delete", "prod", uuid)
    assert asked.status == 2
    assert "--yes" in asked.errors
    assert root.typed("platform_delete", "prod", uuid, answers=("no",))[0] == 2
    status, shown = root.typed("platform_delete", "prod", uuid, answers=(uuid,))
    assert status == 0, shown
    assert json.loads(root.ok("rotate_key", "prod", "--plan", "--json"))["credentials"] == 0
    key = tmp_path / "key.pub"
    key.write_text(access.new_key("ada@laptop").public)
    for words in (("key_add", "node1", str(key)), ("name_add", "node1", "eu.corpus.test")):
        planned = root.corpus(f"computenode_{words[0]}", "prod", *words[1:], "--plan")
        assert planned.status == 0, planned.said
    unknown = root.corpus("computenode_key_remove", "prod", "node1", "nobody@laptop")
    assert unknown.status == 1
    assert "node1 has no key 'nobody@laptop'" in unknown.errors
    bare = root.corpus("computenode_init", "prod", "prod", "bare.corpus.test", "lxc", "--plan")
    assert bare.status == 1
    assert "No ssh server answers at bare.corpus.test" in bare.errors


def test_storage_is_changed_where_one_says_that_it_is(laptop: Laptop) -> None:
    elsewhere = laptop.corpus("enlarge", "prod", "p-9", "shop", "--plan")
    assert elsewhere.status == 4
    assert "p-1" in elsewhere.errors
    for words in (
        ("enlarge", "prod", "p-1", "shop"),
        ("trim", "prod", "-", "shop", "=2G"),
        ("snapshot", "prod", "shop", "a"),
    ):
        planned = laptop.corpus(*words, "--plan")
        assert planned.status in (0, 1), planned.said  # no node answers here
        assert "Something went wrong" not in planned.said
    assert laptop.json("ssh", "prod", "shop", "--user", "ada", "--", "ls")["argv"][-2:] == [
        "ada@192.0.2.1",
        "ls",
    ]


def test_names(there: Web, laptop: Laptop) -> None:
    assert laptop.json("dns", "prod") == []
    assert laptop.corpus("dns_add", "prod", "x.corpus.test", "A", "192.0.2.7", "--plan").status == 3
    assert laptop.corpus("dns_zones", "prod").status == 3
    assert laptop.corpus("dns_dnssec", "prod", "corpus.test").status == 3
    assert laptop.corpus("dns_dnssec", "prod", "corpus.test", "on", "--plan").status == 3
    assert laptop.corpus("rotate_key", "prod", "--plan").status == 3
    assert laptop.corpus("controller", "prod").status == 3
    assert laptop.corpus("resume", "prod").status == 3


def test_settings_are_edited_by_who_saw_them_last(there: Web, tmp_path: Path) -> None:
    there.person("root1", sysadmin=True)
    root = Laptop(tmp_path / "root", there.url, "root1")
    shown = root.ok("computenode_settings", "prod", "node1")
    assert yaml.safe_load(shown) == root.json("computenode_settings", "prod", "node1")
    mine = tmp_path / "mine.yaml"
    mine.write_text(shown.splitlines()[0] + "\nslots: 9\nsettings: {motd: hello}\n")
    root.ok("computenode_settings", "prod", "node1", "--file", str(mine), "--plan")
    assert root.ok("computenode_settings", "prod", "node1") == shown
    root.ok("computenode_settings", "prod", "node1", "--file", str(mine))
    assert root.json("computenode_settings", "prod", "node1") == {"slots": 9, "settings": {"motd": "hello"}}
    stale = root.corpus("computenode_settings", "prod", "node1", "--file", str(mine))
    assert (stale.status, "read it again" in stale.errors) == (6, True)

    root.env["EDITOR"] = "sed -i s/hello/welcome/"
    status, told = root.typed("computenode_settings", "prod", "node1", "--edit")
    assert status == 0, told
    assert root.json("computenode_settings", "prod", "node1")["settings"] == {"motd": "welcome"}
    root.env["EDITOR"] = "sed -i s/welcome/[/"
    status, told = root.typed("computenode_settings", "prod", "node1", "--edit")
    assert status == 2
    kept = Path(told.rpartition("What you wrote is in ")[2].strip().rstrip("."))
    assert "motd: [" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.unlink()
    assert root.corpus("computenode_settings", "prod", "node1", "--edit").status == 2  # nobody is there

    root.ok("platform_settings", "prod", "p-1", "--file", "-", stdin='owner: ada\nsettings: {colour: "blue"}\n')
    assert root.json("platform_settings", "prod", "p-1")["settings"] == {"colour": "blue"}
    refused = root.corpus("platform_settings", "prod", "p-1", "--file", "-", stdin="colour")
    assert (refused.status, "a mapping" in refused.errors) == (2, True)


def test_values_of_a_name_are_replaced_by_who_may(there: Web, laptop: Laptop, tmp_path: Path) -> None:
    with there.registry.session() as session:
        session.add(DnsName(fqdn="corpus.test", kind="MX", values=["10 mail.corpus.test"], ttl=300))
    there.person("root1", sysadmin=True)
    root = Laptop(tmp_path / "root", there.url, "root1")
    planned = root.corpus("dns_set", "prod", "corpus.test", "mx", "20 other.corpus.test", "--plan")
    assert (planned.status, "no DNS server" in planned.errors) == (1, True)  # asked with the tag of what is there
    assert laptop.corpus("dns_set", "prod", "corpus.test", "MX", "20 other.corpus.test", "--plan").status == 3
    assert root.corpus("dns_set", "prod", "none.corpus.test", "MX", "20 other.corpus.test").status == 4


def test_a_link_is_redeemed_once_by_whoever_has_it(there: Web, laptop: Laptop) -> None:
    with there.registry.session() as session:
        uuid = session.scalars(select(Guest.uuid).where(Guest.name == "shop")).one()
        Credentials.of(there.registry).store(session, f"guest:{uuid}", "root", "w0rd of shop")
    link = laptop.json("credentials", "prod", "shop")["url"]
    laptop.configure({"prod": {"url": there.url}})  # nobody who could log in
    laptop.ok("logout", "prod")
    elsewhere = laptop.corpus("redeem", "prod", "https://evil.example/links#abc")
    assert (elsewhere.status, "not one of prod" in elsewhere.errors) == (2, True)
    ended = laptop.corpus("redeem", "prod", stdin=f"{link}\n")
    assert (ended.status, ended.output, ended.errors) == (0, "w0rd of shop\n", "root of guest:shop:\n")
    again = laptop.corpus("redeem", "prod", link)
    assert (again.status, "shows nothing" in again.errors) == (4, True)


def test_what_has_no_command_of_its_own(there: Web, laptop: Laptop, tmp_path: Path) -> None:
    there.person("root1", sysadmin=True)
    root = Laptop(tmp_path / "root", there.url, "root1")
    assert json.loads(laptop.ok("api", "prod", "get", "/guests/shop"))["name"] == "shop"
    assert laptop.corpus("api", "prod", "GET", "guests").status == 2
    assert laptop.corpus("api", "prod", "POST", "/guests", "--body", "{").status == 2
    read = root.corpus("api", "prod", "GET", "/nodes/node1/settings", "--include")
    tag = read.errors.strip().removeprefix("ETag: ")
    change = ("api", "prod", "PUT", "/nodes/node1/settings", "--body", '{"slots": 7}')
    assert root.corpus(*change).status == 6
    root.ok(*change, "--header", f"If-Match: {tag}")
    assert root.json("computenode_infos", "prod", "node1")["node"]["slots"] == 7
    assert root.corpus(*change, "--header", f"If-Match: {tag}").status == 6

    there.person("bob")  # who logged in is known
    root.ok("grant", "prod", "p-1", "bob", "viewer", "--platform")
    bob = Laptop(tmp_path / "bob", there.url, "bob")
    assert [one["name"] for one in bob.json("guests", "prod")] == ["shop"]
    root.ok("revoke", "prod", "p-1", "bob", "--platform")
    assert bob.json("guests", "prod") == []


def test_keys_and_people(there: Web, laptop: Laptop, tmp_path: Path) -> None:
    there.person("root1", sysadmin=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f", tmp_path / "key"], check=True
    )
    private = laptop.corpus("key_add", "prod", str(tmp_path / "key"))
    assert private.status == 2
    assert ".pub" in private.errors
    laptop.ok("key_add", "prod", str(tmp_path / "key.pub"))
    (key,) = laptop.json("keys", "prod")
    assert key["name"] == "ada@laptop"
    assert laptop.json("people", "prod", "ada")["keys"] == {key["fingerprint"]: "ada@laptop"}
    assert laptop.corpus("people", "prod", "bob").status in (3, 4)
    laptop.ok("key_remove", "prod", key["fingerprint"])
    assert laptop.json("keys", "prod") == []

    root = Laptop(tmp_path / "root", there.url, "root1")
    root.ok("person_email", "prod", "ada", "ada@elsewhere.example")
    assert root.json("people", "prod", "ada")["email"] == "ada@elsewhere.example"
    assert laptop.corpus("person_grant", "prod", "ada", "sysadmin").status == 3
    root.ok("person_grant", "prod", "ada", "viewer")
    assert root.json("people", "prod", "ada")["roles"] == ["viewer"]
    root.ok("person_revoke", "prod", "ada", "viewer")
    assert root.json("people", "prod", "ada")["roles"] == []


def test_tokens_and_the_audit(there: Web, laptop: Laptop) -> None:
    made = laptop.json("token_create", "prod", "ci", "read")
    assert laptop.json("guests", "prod", CORPUS_TOKEN=made["token"])
    narrow = laptop.corpus("guest_stop", "prod", "shop", CORPUS_TOKEN=made["token"])
    assert narrow.status == 3
    assert "scopes" in narrow.errors
    assert made["uuid"] in laptop.ok("tokens", "prod")
    laptop.ok("token_revoke", "prod", made["uuid"])
    assert laptop.corpus("guests", "prod", CORPUS_TOKEN=made["token"]).status == 3
    (last,) = laptop.json("audit", "prod", "--action", "token.revoke", "--since", "2020-01-01", "--limit", "1")
    assert (last["who"], last["status"]) == ("ada", 204)


def test_what_comes_from_elsewhere_does_not_drive_the_terminal(there: Web, laptop: Laptop) -> None:
    with there.registry.session() as session:
        node = ComputeNode(name="evil", minion_id="evil.corpus.test", host="x\x1b]0;title\x07y", state="ready")
        session.add(node)
        session.flush()
        ada = session.query(Owner).filter_by(name="ada").one()
        platform = Platform(uuid="p-2", node=node, type="prod", operation_mode="final", owner=ada)
        session.add_all(
            [platform, Guest(name="odd", minion_id="odd.corpus.test", platform=platform, node=node, state="running")]
        )
    status, shown = laptop.typed("guests", "prod")
    assert status == 0
    assert "\x1b]0" not in shown
