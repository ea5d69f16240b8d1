"""Who may do what, and what a list shows them."""

from collections.abc import Iterator

import pytest
from corpus.controller import permissions
from corpus.controller.permissions import Person
from corpus.controller.registry.models import (
    ComputeNode,
    Guest,
    Operation,
    Owner,
    Placement,
    Platform,
    Project,
    Role,
)
from corpus.controller.registry.store import Registry
from corpus.errors import Forbidden, NotThere
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

ADA, BOB, EVE, ROOT = Person("ada"), Person("bob"), Person("eve"), Person("root", sysadmin=True)
CAT, DAN = Person("cat"), Person("dan")


@pytest.fixture
def session(registry: Registry) -> Iterator[Session]:
    """Ada owns a platform with a guest, on which bob deploys and cat views the project; dan may deploy on the platform."""
    with registry.session() as session:
        people = {name: Owner(name=name) for name in ("ada", "bob", "cat", "dan", "eve")}
        node = ComputeNode(name="node1", minion_id="node1.corpus.test", host="192.0.2.1", state="ready")
        other = ComputeNode(name="node2", minion_id="node2.corpus.test", host="192.0.2.2", state="ready")
        session.add_all([*people.values(), node, other])
        session.flush()
        platform = Platform(uuid="p-1", node=node, type="prod", operation_mode="final", owner=people["ada"])
        guest = Guest(name="shop", minion_id="shop.corpus.test", node=node, platform=platform)
        project = Project(name="web")
        session.add_all([platform, guest, project, Operation(kind="guest.stop", subject="guest:shop", who="ada")])
        session.flush()
        session.add_all(
            [
                Placement(project=project, guest=guest),
                Role(owner=people["bob"], project=project, name="deployer"),
                Role(owner=people["cat"], project=project, name="viewer"),
                Role(owner=people["dan"], platform=platform, name="deployer"),
            ]
        )
        session.flush()
        yield session


SHOP, WEB, THERE = {"name": "shop"}, {"name": "web"}, {"platform": "p-1", "name": "new"}


@pytest.mark.parametrize(
    ("action", "arguments", "may", "forbidden", "unseen"),
    [
        ("guest.view", SHOP, [ADA, BOB, CAT, DAN, ROOT], [], [EVE]),
        ("guest.restart", SHOP, [ADA, DAN, ROOT], [BOB, CAT], [EVE]),
        ("guest.delete", SHOP, [ADA, ROOT], [BOB, CAT, DAN], [EVE]),
        ("guest.create", THERE, [ADA, ROOT], [DAN], [BOB, EVE]),
        ("guest.create", {**THERE, "project": "web"}, [ROOT], [DAN], [ADA, BOB, EVE]),  # it is not hers to place
        ("guest.move", SHOP, [ROOT], [ADA, EVE], []),
        ("project.push", WEB, [BOB, ROOT], [CAT], [ADA, EVE]),
        ("project.logs", WEB, [BOB, CAT, ROOT], [], [ADA, EVE]),
        ("project.status", WEB, [BOB, CAT, ROOT], [], [ADA, EVE]),
        ("project.env", WEB, [BOB, ROOT], [CAT], [ADA, EVE]),
        ("project.restart", WEB, [BOB, ROOT], [CAT], [ADA, EVE]),
        ("project.create", {"name": "x"}, [ADA, EVE, ROOT], [], []),
        ("project.place", {"name": "web", "guest": "shop"}, [ROOT], [BOB], [ADA, EVE]),
        ("owner.add_key", {"name": "bob"}, [BOB, ROOT], [], [ADA]),
        ("compute_node.view", {"name": "node1"}, [ADA, BOB, ROOT], [], [EVE]),
        ("compute_node.view", {"name": "node2"}, [ROOT], [], [ADA]),
        ("compute_node.init", {"host": "x"}, [ROOT], [ADA], []),
        ("nobody.knows", {}, [ROOT], [ADA], []),
    ],
)
def test_what_a_role_allows(
    session: Session,
    action: str,
    arguments: dict[str, str],
    may: list[Person],
    forbidden: list[Person],
    unseen: list[Person],
) -> None:
    for person in may:
        permissions.check(session, person, action, arguments)
    for person in forbidden:
        with pytest.raises(Forbidden):
            permissions.check(session, person, action, arguments)
    for person in unseen:
        with pytest.raises(NotThere, match="not yours to see"):
            permissions.check(session, person, action, arguments)


def test_lists_show_what_one_may_see(session: Session) -> None:
    for person, sees in ((ADA, True), (BOB, True), (DAN, True), (EVE, False), (ROOT, True)):
        assert session.scalars(select(Guest.name).where(permissions.guests(person))).all() == ["shop"] * sees
        nodes = ["node1", "node2"] if person is ROOT else ["node1"] * sees
        assert session.scalars(select(ComputeNode.name).where(permissions.nodes(person))).all() == nodes
        found = session.scalars(select(Operation.subject).where(permissions.operations(person))).all()
        assert ("guest:shop" in found) == sees
    for person, sees in ((ADA, False), (BOB, True), (DAN, False), (ROOT, True)):
        assert session.scalars(select(Project.name).where(permissions.projects(person))).all() == ["web"] * sees


def test_a_viewer_everywhere_sees_all_and_changes_nothing(session: Session) -> None:
    session.add(Role(owner_id=session.scalar(select(Owner.id).where(Owner.name == "eve")), name="viewer"))
    session.flush()
    eve = permissions.person(session, "eve", [], "admins")
    permissions.check(session, eve, "guest.view", SHOP)
    assert len(session.scalars(select(ComputeNode).where(permissions.nodes(eve))).all()) == 2
    with pytest.raises(Forbidden):
        permissions.check(session, eve, "guest.stop", SHOP)
    operations = session.scalars(select(Operation)).all()
    seen = session.scalars(select(Operation).where(permissions.operations(eve))).all()
    assert seen == [one for one in operations if one.subject == "guest:shop"]
    session.execute(delete(Role).where(Role.project_id.is_(None), Role.platform_id.is_(None)))
    assert permissions.role(session, eve, "guest", "shop") is None, "who came with it sees what is theirs no longer"


def test_operations_are_told_to_who_sees_what_they_change(session: Session) -> None:
    settings = {"platform": "p-1", "settings": {"mail": {"password": "theirs"}}}
    session.add_all(
        [
            Operation(kind="platform.configure", subject="platform:p-1", who="root", arguments=settings),
            Operation(kind="platform.grant", subject="platform:p-1", who="root", arguments={"platform": "p-1"}),
            Operation(kind="project.push", subject="project:web", who="root"),
            Operation(kind="compute_node.drain", subject="compute_node:node1", who="root"),
            Operation(kind="owner.create", subject="owner:ada", who="root"),
        ]
    )
    session.flush()
    platform, guest, project = ["platform.configure", "platform.grant"], ["guest.stop"], ["project.push"]
    for person, kinds in (
        (ADA, guest + platform),
        (BOB, guest + project),
        (CAT, guest + project),
        (DAN, guest + platform),
        (EVE, []),
    ):
        found = session.scalars(select(Operation).where(permissions.operations(person)).order_by(Operation.kind)).all()
        assert [one.kind for one in found] == sorted(kinds)
        every = session.scalars(select(Operation).order_by(Operation.kind)).all()
        assert [one for one in every if permissions.sees(session, person, one)] == list(found)
    knows = {
        person.name: [
            kind
            for kind in platform
            if permissions.knows(
                session, person, session.scalars(select(Operation).where(Operation.kind == kind)).one()
            )
        ]
        for person in (ADA, DAN, ROOT)
    }
    assert knows == {"ada": ["platform.grant"], "dan": [], "root": platform}


def test_one_thing_is_seen_by_who_sees_it_in_a_list(session: Session) -> None:
    for person in (ADA, BOB, CAT, DAN, EVE, ROOT):
        for kind, condition in ((Guest, permissions.guests(person)), (ComputeNode, permissions.nodes(person))):
            listed = session.scalars(select(kind).where(condition)).all()
            assert [one for one in session.scalars(select(kind)) if permissions.sees(session, person, one)] == listed


def test_a_sysadmin_is_one_by_group_or_by_role(session: Session) -> None:
    assert permissions.person(session, "eve", ["admins"], "admins").sysadmin
    assert not permissions.person(session, "eve", ["users"], "admins").sysadmin
    session.add(Role(owner_id=session.scalar(select(Owner.id).where(Owner.name == "eve")), name="sysadmin"))
    session.flush()
    assert permissions.person(session, "eve", [], "admins").sysadmin


def test_a_token_is_good_for_its_scopes_alone(session: Session) -> None:
    deploys = Person("bob", scopes=("project.push", "read"))
    permissions.check(session, deploys, "project.push", WEB)
    permissions.check(session, deploys, "guest.view", SHOP)
    with pytest.raises(Forbidden, match="its scopes are"):
        permissions.check(session, deploys, "project.env_set", WEB)
    with pytest.raises(Forbidden, match="its scopes are"):
        permissions.check(session, Person("root", sysadmin=True, scopes=("read",)), "guest.delete", SHOP)
