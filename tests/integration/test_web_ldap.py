"""Who gets in when people are LDAP's to know: a real slapd, a real master, the service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import deadline
from tests.master import master
from tests.slapd import MISSING, Slapd, slapd
from tests.web import PASSWORD, Web, auth, serving

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

#: Seconds between two lookups of groups.
SOON = 2


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    with slapd() as made:
        made.person("ada", PASSWORD, "corpus-admins", "staff")
        made.person("bob", PASSWORD, "staff")
        made.person("carol", PASSWORD)
        yield made


@pytest.fixture(scope="module")
def there(directory: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder: Path = tmp_path_factory.mktemp("l")
    people = {"ldap": {"corpus-admins%": [".*", "@runner"]}}
    options = {"external_auth": people | auth(folder, ()), "engines": [{"mc_controller": {}}], **directory.options}
    with (
        master(folder / "m", **options) as behind,
        serving(folder, behind, eauth="ldap", groups_seconds=SOON) as made,
    ):
        yield made


def test_the_right_password_lets_in_and_the_group_makes_the_sysadmin(there: Web) -> None:
    assert there.person("ada").get("/me").json()["sysadmin"] is True
    assert there.person("bob").get("/me").json()["sysadmin"] is False
    assert there.person("carol").get("/me").json()["sysadmin"] is False  # in no group at all
    assert there.person("ADA").get("/me").json()["name"] == "ada"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong"),
        ("ada", " "),
        ("nobody", PASSWORD),
        ("*", PASSWORD),
        ("ad*", PASSWORD),
        ("ada)(uid=*", PASSWORD),
        ("ada)(|(uid=*", PASSWORD),
        ("bob,ou=People", PASSWORD),
        ("ada\u00ad", PASSWORD),
        ("ada\x00", PASSWORD),
        ("{{ 7*7 }}", PASSWORD),
        ("corpus-web", "the service's own"),
    ],
)
def test_everything_else_does_not(there: Web, name: str, password: str) -> None:
    answer = there.client().post("/login", json={"username": name, "password": password})
    assert answer.status_code == 401, answer.text
    assert answer.json()["detail"] == "Name or password is wrong."


def test_an_empty_password_is_none(there: Web) -> None:
    answer = there.client().post("/login", json={"username": "ada", "password": ""})
    assert answer.status_code == 422  # LDAP would take it for an anonymous bind


def test_a_group_counts_soon_and_no_longer_than_one_is_in_it(there: Web, directory: Slapd) -> None:
    directory.person("dan", PASSWORD)
    dan = there.person("dan")
    assert dan.get("/me").json()["sysadmin"] is False
    directory.join("dan", "corpus-admins")
    for _ in deadline(SOON + 5, 0.1):
        if dan.get("/me").json()["sysadmin"]:
            break
    directory.part("dan", "corpus-admins")
    for _ in deadline(SOON + 5, 0.1):
        if not dan.get("/me").json()["sysadmin"]:
            break
    directory.leave("dan")


def test_who_is_removed_is_out_and_does_not_come_back_with_their_name(there: Web, directory: Slapd) -> None:
    directory.person("eve", PASSWORD, "corpus-admins")
    eve = there.person("eve")
    assert eve.get("/me").status_code == 200
    directory.leave("eve")  # the group still names her
    for _ in deadline(SOON + 5, 0.1):
        if eve.get("/me").status_code == 401:
            break
    directory.person("eve", "another's")
    assert eve.get("/me").status_code == 401
    assert there.client().post("/login", json={"username": "eve", "password": PASSWORD}).status_code == 401
    directory.leave("eve")


def test_a_directory_that_is_down_is_no_wrong_password_and_gives_no_rights(there: Web, directory: Slapd) -> None:
    ada = there.person("ada")
    assert ada.get("/me").json()["sysadmin"] is True
    directory.stop()
    try:
        for _ in range(6):  # more than wrong passwords are let through
            answer = there.client().post("/login", json={"username": "carol", "password": PASSWORD})
            assert answer.status_code == 502, answer.text
            assert "LDAP does not answer" in answer.json()["detail"]
        for _ in deadline(SOON + 15, 0.2):
            answer = ada.get("/me")
            assert answer.status_code == 200
            if answer.json()["sysadmin"] is False:
                break
    finally:
        directory.start()
    assert there.person("carol").get("/me").status_code == 200
    for _ in deadline(SOON + 15, 0.2):
        if ada.get("/me").json()["sysadmin"] is True:
            break


def test_neither_log_has_a_password(there: Web, directory: Slapd) -> None:
    for log in (there.log, there.master.folder / "master.out", *there.master.folder.rglob("log/salt/*")):
        said = log.read_text(errors="replace")
        assert PASSWORD not in said
        assert directory.password not in said
