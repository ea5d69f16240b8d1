"""People in the registry: what is taken, what is refused, and where their keys come in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import access, admission, operations, owners
from corpus.controller.cloud import Cloud
from corpus.controller.registry.models import Guest, Owner, Platform, Project, SshKey
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, UsageError
from sqlalchemy import select

from tests.unit.controller import tenants

ONE, TWO = access.new_key("one@desk").public, access.new_key("two@desk").public


class Guests:
    """Stands for the minions of guests: whom root and the projects let in there."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.root: dict[str, set[str]] = {}
        self.projects: dict[tuple[str, str], list[str]] = {}

    def answers(self, minion: str, timeout: float) -> bool:
        return minion not in self.silent

    def call(self, minion: str, function: str, *words: Any, timeout: float = 0, **given: Any) -> Any:
        name = minion.split(".")[0]
        there = self.root.setdefault(name, set()) if function.startswith("ssh.") else set()
        if function == "ssh.set_auth_key":
            new = given["key"] not in there
            there.add(given["key"])
            return "new" if new else "no change"
        if function == "ssh.rm_auth_key":
            known = given["key"] in there
            there.discard(given["key"])
            return "Key removed" if known else "Key not present"
        if function == "mc_project.get_configuration":
            return {"authorized_keys": self.projects.get((name, words[0]), [])}
        assert function == "mc_project.init_project"
        self.projects[name, words[0]] = given["authorized_keys"]
        return {"result": True, "changes": {"done": ["authorized ssh keys"]}}


class Site:
    """The two tenants, each with a guest and a project on each of two nodes."""

    def __init__(self, home: Path, registry: Registry) -> None:
        self.guests = Guests()
        self.cloud = Cloud(Settings(home=home))
        self.cloud.registry, self.cloud.minions = registry, self.guests  # type: ignore[assignment]
        tenants.fill(registry)
        with registry.session() as session:  # keys that are no keys
            for key in session.scalars(select(SshKey)):
                session.delete(key)

    def ok(self, kind: str, **arguments: Any) -> dict[str, Any]:
        report = operations.run(self.cloud, kind, arguments, "root")
        assert report["result"] is True, report
        return report

    def fails(self, kind: str, **arguments: Any) -> str:
        try:
            report = operations.run(self.cloud, kind, arguments, "root")
        except UsageError as err:
            return str(err)
        assert report["result"] is False
        return str(report["comment"])

    def platform(self, guest: str) -> str:
        with self.cloud.registry.reading() as session:
            return session.scalars(select(Platform.uuid).join(Guest).where(Guest.name == guest)).one()

    def of_guest(self, name: str) -> list[str]:
        with self.cloud.registry.reading() as session:
            found = select(SshKey.public).join(Guest, SshKey.guest_id == Guest.id).where(Guest.name == name)
            return sorted(session.scalars(found))


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Site:
    return Site(tmp_path, registry)


def blob(public: str) -> str:
    return public.split()[1]


def test_a_key_comes_in_on_guests_and_projects_and_goes_again(site: Site) -> None:
    site.ok("owner.add_key", name="ada", public=ONE)
    assert site.guests.root == {"ada1": {blob(ONE)}, "ada2": {blob(ONE)}}
    assert site.guests.projects == {("ada1", "ada-shop-1"): [ONE], ("ada2", "ada-shop-2"): [ONE]}
    assert site.of_guest("ada1") == [ONE]
    again = site.ok("owner.add_key", name="ada", public=ONE)
    assert again["changes"] == {"guests and projects": {}}
    site.ok("owner.remove_key", name="ada", key=access.fingerprint(ONE))
    assert site.guests.root == {"ada1": set(), "ada2": set()}
    assert site.guests.projects == {("ada1", "ada-shop-1"): [], ("ada2", "ada-shop-2"): []}
    assert site.of_guest("ada1") == []


def test_keys_that_the_registry_never_had_stay_in_a_project(site: Site) -> None:
    site.guests.projects["ada1", "ada-shop-1"] = [TWO]
    site.ok("owner.add_key", name="ada", public=ONE)
    assert site.guests.projects["ada1", "ada-shop-1"] == sorted([ONE, TWO])
    site.ok("owner.remove_key", name="ada", key="one@desk")
    assert site.guests.projects["ada1", "ada-shop-1"] == [TWO]


def test_a_guest_that_is_silent_or_stopped_is_a_note(site: Site) -> None:
    site.guests.silent = {"ada1.corpus.test"}
    with site.cloud.registry.session() as session:
        session.scalars(select(Guest).where(Guest.name == "ada2")).one().state = "stopped"
    report = site.ok("owner.add_key", name="ada", public=ONE)
    (note,) = report["notes"]
    assert "The guest ada1 does not answer." in note
    assert "The guest ada2 is stopped." in note
    assert site.of_guest("ada1") == [ONE]  # what the next highstate lets in


def test_a_key_that_a_silent_guest_kept_is_taken_out_when_it_is_asked_for_again(site: Site) -> None:
    site.ok("owner.add_key", name="ada", public=ONE)
    site.guests.silent = {"ada1.corpus.test"}
    assert site.ok("owner.remove_key", name="ada", key="one@desk")["notes"]
    site.guests.silent = set()
    assert site.guests.root["ada1"] == {blob(ONE)}
    assert site.ok("owner.remove_key", name="ada", key=ONE)["notes"] == []
    assert site.guests.root["ada1"] == set()
    assert site.guests.projects["ada1", "ada-shop-1"] == []


def test_a_guest_of_somebody_elses_platform_is_its_owners(site: Site) -> None:
    with site.cloud.registry.session() as session:
        session.scalars(select(Guest).where(Guest.name == "ada1")).one().owner = owners.owner(session, "bob")
    site.ok("owner.add_key", name="ada", public=ONE)
    site.ok("owner.add_key", name="bob", public=TWO)
    assert site.of_guest("ada1") == [TWO]
    assert sorted(site.guests.projects["ada1", "ada-shop-1"]) == sorted([ONE, TWO])  # whose project it is pushes still
    assert "it owns the guests ada1" in site.fails("owner.delete", name="bob", confirm="bob")


@pytest.mark.parametrize("role", ["owner", "deployer", "sysadmin"])
def test_roles_on_platforms_and_in_projects_let_in(site: Site, role: str) -> None:
    site.ok("owner.create", name="eve", keys=[ONE])
    given = site.ok("platform.grant", platform=site.platform("ada1"), owner="eve", role=role)
    assert given["changes"]["role"] == role
    assert site.of_guest("ada1") == [ONE]
    site.ok("project.grant", name="bob-shop-2", owner="eve", role=role)
    assert site.guests.root == {"ada1": {blob(ONE)}}
    assert site.guests.projects == {("ada1", "ada-shop-1"): [ONE], ("bob2", "bob-shop-2"): [ONE]}
    assert site.ok("project.grant", name="bob-shop-2", owner="eve", role=role)["changes"] == {"guests and projects": {}}
    site.ok("platform.revoke", platform=site.platform("ada1"), owner="eve")
    site.ok("project.revoke", name="bob-shop-2", owner="eve", role=role)
    assert site.guests.root == {"ada1": set()}
    assert not any(site.guests.projects.values())
    assert site.of_guest("ada1") == []


def test_a_viewer_is_not_let_in(site: Site) -> None:
    site.ok("owner.create", name="eve", keys=[ONE])
    site.ok("project.grant", name="ada-shop-1", owner="eve", role="viewer")
    assert site.guests.projects == {}


def test_a_role_that_is_left_still_lets_in(site: Site) -> None:
    site.ok("owner.create", name="eve", keys=[ONE])
    for role in ("owner", "deployer"):
        site.ok("platform.grant", platform=site.platform("ada1"), owner="eve", role=role)
    site.ok("platform.revoke", platform=site.platform("ada1"), owner="eve", role="deployer")
    assert site.guests.root == {"ada1": {blob(ONE)}}
    assert site.of_guest("ada1") == [ONE]


def test_who_owns_nothing_is_forgotten_with_all_keys(site: Site) -> None:
    site.ok("owner.create", name="eve", email="eve@example.org", keys=[ONE])
    site.ok("platform.grant", platform=site.platform("ada1"), owner="eve", role="deployer")
    site.ok("project.grant", name="ada-shop-2", owner="eve", role="owner")
    site.ok("owner.delete", name="eve", confirm="eve")
    assert not any([*site.guests.root.values(), *site.guests.projects.values()])
    assert sorted(owners.listed(site.cloud)) == ["ada", "bob"]
    words = site.fails("owner.delete", name="ada", confirm="ada")
    assert "it owns the platforms prod on n1.corpus.test, prod on n2.corpus.test" in words
    assert "it is the only owner of ada-shop-1, ada-shop-2" in words


def test_infos_tell_keys_roles_and_what_is_theirs(site: Site) -> None:
    site.ok("owner.add_key", name="ada", public=ONE, label="desk")
    site.ok("owner.grant", owner="ada", role="viewer")
    site.ok("owner.set_email", name="ada", email="a@example.org")
    told = owners.infos(site.cloud, "ada")
    assert (told["email"], told["roles"]) == ("a@example.org", ["viewer"])
    assert told["keys"] == {access.fingerprint(ONE): "desk"}
    assert told["guests"] == ["ada1", "ada2"]
    assert told["projects"] == {"ada-shop-1": ["owner"], "ada-shop-2": ["owner"]}
    assert list(told["platforms"].values()) == [["owner"], ["owner"]]
    site.ok("owner.set_email", name="ada")
    assert owners.infos(site.cloud, "ada")["email"] is None


def test_two_people_have_no_key_in_common(site: Site) -> None:
    site.ok("owner.add_key", name="ada", public=ONE)
    assert "somebody else's" in site.fails("owner.add_key", name="bob", public=ONE)
    assert "somebody else's" in site.fails("owner.create", name="eve", keys=[ONE])
    assert site.of_guest("bob1") == []


def test_a_new_guest_lets_in_whom_its_platform_belongs_to(site: Site) -> None:
    site.ok("owner.add_key", name="ada", public=ONE)
    with site.cloud.registry.session() as session:
        old = session.scalars(select(Guest).where(Guest.name == "ada1")).one()
        made = Guest(name="new", minion_id="new.corpus.test", node=old.node, platform=old.platform)
        session.add(made)
        session.flush()
        admission.let_in(session, made)
    assert site.of_guest("new") == [ONE]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("owner.create", {"name": "Ada"}, "no login name"),
    ("owner.create", {"name": "x" * 10000}, "no login name"),
    ("owner.create", {"name": "a'b"}, "no login name"),
    ("owner.create", {"name": "jos\u00e9"}, "no login name"),
    ("owner.create", {"name": ""}, "no login name"),
    ("owner.create", {"name": "eve", "email": "eve"}, "no mail address"),
    ("owner.create", {"name": "eve", "email": "a@b, c@d"}, "no mail address"),
    ("owner.create", {"name": "eve", "email": "a" * 10000 + "@b"}, "no mail address"),
    ("owner.create", {"name": "eve", "keys": ["ssh-ed25519 AAAA"]}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": ONE + "x" * 10000}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": f"{ONE}\n{TWO}"}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": f"{ONE} \u2028{TWO}"}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": f'{ONE} "x'}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": f'command="id" {ONE}'}, "not a public ssh key"),
    ("owner.add_key", {"name": "ada", "public": ONE, "label": 'a"b'}, "cannot label a key"),
    ("owner.add_key", {"name": "ada", "public": ONE, "label": "x" * 10000}, "cannot label a key"),
    ("owner.add_key", {"name": "nobody", "public": ONE}, "make it with mc_owner.create"),
    ("owner.remove_key", {"name": "ada", "key": "none"}, "has no key 'none'"),
    ("owner.delete", {"name": "ada"}, "confirm=ada"),
    ("owner.delete", {"name": "nobody", "confirm": "nobody"}, "make it with mc_owner.create"),
    ("owner.grant", {"owner": "ada", "role": "king"}, "is no role"),
    ("project.grant", {"name": "nothing", "owner": "ada"}, "There is no project"),
    ("project.grant", {"name": "ada-shop-1", "owner": "eve"}, "email=ADDRESS"),
    ("project.grant", {"name": "ada-shop-1", "owner": "bob", "email": "eve@example.org"}, "theirs to say"),
    ("platform.grant", {"platform": "nothing", "owner": "ada"}, "There is no platform"),
    ("owner.revoke", {"owner": "A'", "role": "owner"}, "no login name"),
]


def test_what_cannot_be_is_refused_in_words(site: Site) -> None:
    for kind, arguments, words in REFUSED:
        said = site.fails(kind, **arguments)
        assert words in said, (kind, arguments)
        assert len(said) < 400, (kind, arguments)
    assert site.guests.root == {}


def test_a_weak_key_is_refused(site: Site, weak: Callable[[], str]) -> None:
    assert "1024 bits" in site.fails("owner.add_key", name="ada", public=weak())


@pytest.fixture
def weak() -> Callable[[], str]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    made = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return lambda: made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_grant_that_fails_leaves_nobody_new(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bool:
        raise CorpusError("The disk is full.")

    monkeypatch.setattr(owners, "give", broken)
    said = site.fails("project.grant", name="ada-shop-1", owner="eve", email="eve@example.org")
    assert said.endswith("Everything is as it was before.")
    with site.cloud.registry.reading() as session:
        assert session.scalars(select(Owner.name).order_by(Owner.name)).all() == ["ada", "bob"]
        assert [
            role.name for role in session.scalars(select(Project).where(Project.name == "ada-shop-1")).one().roles
        ] == ["owner"]
