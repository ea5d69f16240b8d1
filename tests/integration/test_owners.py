"""People on a real master: their keys on a guest and in a project there, as a person sees them who asks runners."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import access
from corpus.controller.registry import models

from tests.machine import free_port
from tests.master import Master, master

#: Salt's own would let keys in on this machine.
SSH = """
from pathlib import Path

PATH = Path({path!r})


def _lines():
    return PATH.read_text().splitlines() if PATH.exists() else []


def set_auth_key(user, key, enc="ssh-rsa", comment=""):
    line = " ".join([enc, key, comment]).strip()
    if line in _lines():
        return "no change"
    PATH.write_text("".join(one + "\\n" for one in [*_lines(), line]))
    return "new"


def rm_auth_key(user, key):
    left = [line for line in _lines() if key not in line.split()]
    if left == _lines():
        return "Key not present"
    PATH.write_text("".join(one + "\\n" for one in left))
    return "Key removed"
"""
GUEST, HOST = "web.corpus.test", "n1.corpus.test"


@pytest.fixture(scope="module")
def there() -> Iterator[Master]:
    with (
        tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as folder,
        master(Path(folder) / "m") as made,
    ):
        Path(folder).chmod(0o755)
        registry = made.registry()
        with registry.session() as session:
            node = models.ComputeNode(
                name=HOST, minion_id=HOST, host="127.0.0.1", state="ready", network="10.64.1.0/24"
            )
            platform = models.Platform(node=node, type="prod", operation_mode="final")
            web, away = (
                models.Guest(
                    name=name,
                    minion_id=f"{name}.corpus.test",
                    node=node,
                    platform=platform,
                    address=f"10.64.1.{number}",
                    ssh_port=40000 + number,
                    state="running",
                )
                for name, number in (("web", 2), ("away", 3))
            )
            session.add_all([web, away])
        modules = made.folder / "srv/_modules"
        modules.mkdir()
        (modules / "ssh.py").write_text(SSH.format(path=str(made.folder / "root_keys")))
        roots = {f"corpus.{name}_root": str(made.folder / name) for name in ("projects", "states", "pillar")}
        made.minion(GUEST, file_client="remote", **roots)
        yield made
        registry.close()


@pytest.fixture(scope="module")
def placed(there: Master) -> Master:
    """A project of nobody's on the guest."""
    user: dict[str, Any] = {"user": "root"} if os.geteuid() == 0 else {}
    there.ok("mc_project.create", "shop")
    settings = {"installer": "generic", "http_address": "127.0.0.1", "http_port": free_port(), **user}
    assert there.ok("mc_project.place", "shop", "web", settings=settings)["result"] is True
    return there


def platform(there: Master) -> str:
    (found,) = there.ok("mc_compute_node.infos", HOST, live=False)["platforms"]
    return str(found["uuid"] if isinstance(found, dict) else found)


def rooted(there: Master) -> str:
    """Who is let in as root on the guest."""
    path = there.folder / "root_keys"
    return path.read_text() if path.exists() else ""


def pushers(there: Master) -> list[str]:
    """Who may push to the project on the guest."""
    return list(there.cloud().minions.call(GUEST, "mc_project.get_configuration", "shop")["authorized_keys"])


def test_a_deployer_is_let_into_the_project_and_out_again(placed: Master) -> None:
    first, second = access.new_key("bob@desk").public, access.new_key("bob@laptop").public
    placed.ok("mc_owner.create", "bob", email="bob@example.org", keys=[first])
    assert "already" in placed.refused("mc_owner.create", "bob", email="rob@example.org")
    plan = placed.ok("mc_owner.grant", "bob", "deployer", project="shop", test=True)
    assert plan["comment"] == "Would role; guests and projects."
    assert pushers(placed) == []

    placed.ok("mc_owner.grant", "bob", "deployer", project="shop")
    assert pushers(placed) == [first]
    added = placed.ok("mc_owner.add_key", "bob", second, label="laptop")
    assert added["changes"]["guests and projects"] == {"changed": ["shop on web"]}
    assert pushers(placed) == sorted([first, second])
    assert rooted(placed) == ""
    told = placed.ok("mc_owner.infos", "bob")
    assert sorted(told["keys"].values()) == ["bob@desk", "laptop"]
    assert told["projects"] == {"shop": ["deployer"]}

    placed.ok("mc_owner.remove_key", "bob", "laptop")
    assert pushers(placed) == [first]
    assert "has no key 'laptop'" in placed.refused("mc_owner.remove_key", "bob", "laptop")
    assert placed.ok("mc_project.revoke", "shop", "bob")["changes"]["roles"] == {"revoked": ["deployer"]}
    assert pushers(placed) == []
    assert "confirm=bob" in placed.refused("mc_owner.delete", "bob")
    placed.ok("mc_owner.delete", "bob", confirm="bob")
    assert "bob" not in placed.ok("mc_owner.list")


def test_whose_platform_it_is_comes_in_on_its_guests_and_who_does_not_answer_is_noted(placed: Master) -> None:
    key = access.new_key("eve@desk").public
    placed.ok("mc_owner.create", "eve", keys=key)
    given = placed.ok("mc_owner.grant", "eve", "deployer", platform=platform(placed))
    assert given["result"] is True
    assert "The guest away does not answer." in " ".join(given["notes"])
    assert rooted(placed) == f"{key}\n"
    assert pushers(placed) == [key]
    assert list(placed.ok("mc_guest.infos", "web", live=False)["keys"]) == [access.fingerprint(key)]
    placed.ok("mc_owner.delete", "eve", confirm="eve")
    assert (rooted(placed), pushers(placed)) == ("", [])
    assert placed.ok("mc_guest.infos", "web", live=False)["keys"] == {}


def test_who_is_needed_stays(placed: Master) -> None:
    placed.ok("mc_project.grant", "shop", "ada", role="owner", email="ada@example.org")
    assert "it is the only owner of shop" in placed.refused("mc_owner.delete", "ada", confirm="ada")
