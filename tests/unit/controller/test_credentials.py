"""Credentials: encrypted where they are kept, bound to what they open, shown once, encrypted anew."""

import datetime
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus.controller import links
from corpus.controller.credentials import Credentials, new_password
from corpus.controller.registry.models import Credential, OneTimeLink
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError
from sqlalchemy import select, text, update

SUBJECT = "guest:6f1c0c5e"


@pytest.fixture
def credentials(registry: Registry) -> Credentials:
    return Credentials.of(registry)


def test_a_secret_is_kept_encrypted_and_read(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "pässword")
        made = credentials.generate(session, SUBJECT, "web")
        assert credentials.generate(session, SUBJECT, "web") == made
        credentials.store(session, SUBJECT, "root", "another")
    assert len(made) == 24
    with registry.reading() as session:
        assert credentials.read(session, SUBJECT, "root") == "another"
        assert credentials.names(session, SUBJECT) == ["root", "web"]
        for kept in session.execute(text("SELECT * FROM credentials")):
            assert made not in str([bytes(word) if isinstance(word, memoryview) else word for word in kept])
        with pytest.raises(CorpusError, match="There is no credential 'none' of"):
            credentials.read(session, SUBJECT, "none")
    assert registry.key_file.stat().st_mode & 0o777 == 0o600
    with registry.session() as session:
        assert credentials.forget(session, SUBJECT) == 2
        assert credentials.names(session, SUBJECT) == []


def test_a_value_moved_to_another_row_is_not_read(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "mine")
        credentials.store(session, "guest:mallory", "root", "hers")
        stolen = session.scalar(select(Credential.value).where(Credential.subject == SUBJECT))
        session.execute(update(Credential).where(Credential.subject == "guest:mallory").values(value=stolen))
    with registry.reading() as session, pytest.raises(CorpusError, match="somebody changed the registry") as refused:
        credentials.read(session, "guest:mallory", "root")
    assert "mine" not in str(refused.value)


def test_a_link_shows_a_secret_once(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "s3cret")
        token = credentials.link(session, SUBJECT, "root")
        old = credentials.link(session, SUBJECT, "root", datetime.timedelta(seconds=-1))
        kept = str(session.execute(text("SELECT * FROM one_time_links")).all())
        assert token not in kept
        assert links.key(token) not in kept
    registry.key_file.rename(registry.key_file.with_suffix(".away"))  # it is not needed to show what a link shows
    with registry.session() as session:
        assert links.redeem(session, token) == (SUBJECT, "root", "s3cret")
    registry.key_file.with_suffix(".away").rename(registry.key_file)
    with registry.reading() as session:
        assert {row.value for row in session.scalars(select(OneTimeLink).where(OneTimeLink.used.is_not(None)))} == {b""}
    for wrong in (token, old, "nonsense", ""):
        with registry.session() as session, pytest.raises(CorpusError, match="This link shows nothing"):
            links.redeem(session, wrong)
    with registry.session() as session:
        credentials.link(session, SUBJECT, "root")
        credentials.forget(session, SUBJECT)
        assert session.scalars(select(OneTimeLink)).all() == []
        with pytest.raises(CorpusError, match="to make a link to"):
            credentials.link(session, SUBJECT, "root")


def test_no_token_is_taken_for_an_option() -> None:
    """``salt-run mc_guest.redeem TOKEN``"""
    assert all(links.new_token().isalnum() for _ in range(1000))


def test_a_link_to_a_secret_that_was_replaced_shows_nothing(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "old")
        token = credentials.link(session, SUBJECT, "root")
        credentials.store(session, SUBJECT, "root", "new")
    with registry.session() as session, pytest.raises(CorpusError, match="This link shows nothing"):
        links.redeem(session, token)


def test_of_many_who_have_a_link_one_sees_the_secret(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "s3cret")
        token = credentials.link(session, SUBJECT, "root")

    def redeem(_: int) -> bool:
        try:
            with registry.session() as session:
                return links.redeem(session, token)[2] == "s3cret"
        except CorpusError:
            return False

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(redeem, range(8))) == 1


def test_rotation_encrypts_everything_anew_while_others_write(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        for number in range(50):
            credentials.store(session, f"guest:{number}", "root", f"secret {number}")
    before = registry.key_file.read_text()

    def write(number: int) -> None:
        with registry.session() as session:
            credentials.store(session, f"late:{number}", "root", f"secret {number}")

    with ThreadPoolExecutor(3) as threads:
        writing = [threads.submit(write, number) for number in range(20)]
        rotated = credentials.rotate(registry)
        for one in writing:
            one.result()
    assert 50 <= rotated <= 70
    after = registry.key_file.read_text()
    assert len(after.split()) == 1
    assert after != before
    assert registry.key_file.stat().st_mode & 0o777 == 0o600
    with registry.reading() as session:
        for number in range(50):
            assert credentials.read(session, f"guest:{number}", "root") == f"secret {number}"
        for number in range(20):
            assert credentials.read(session, f"late:{number}", "root") == f"secret {number}"
    registry.key_file.write_text(before)  # the old key reads nothing any more
    with registry.reading() as session, pytest.raises(CorpusError, match="has no key that reads"):
        credentials.read(session, "guest:1", "root")


def test_a_rotation_that_dies_leaves_everything_readable(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "s3cret")
        credentials.store(session, SUBJECT, "web", "other")
    old = registry.key_file.read_text()
    with registry.session() as session:
        kept = session.scalar(select(Credential.value).where(Credential.name == "web"))
        session.execute(update(Credential).where(Credential.name == "web").values(value=b"torn"))
    with pytest.raises(CorpusError, match="has no key that reads the credential 'web'"):
        credentials.rotate(registry)
    assert registry.key_file.read_text().split()[1:] == old.split()  # a new key before the old one
    with registry.session() as session:
        session.execute(update(Credential).where(Credential.name == "web").values(value=kept))
    with registry.reading() as session:
        assert credentials.read(session, SUBJECT, "root") == "s3cret"
    assert credentials.rotate(registry) == 2
    assert len(registry.key_file.read_text().split()) == 1


def test_a_key_file_that_is_wrong_is_said(registry: Registry, credentials: Credentials) -> None:
    with registry.session() as session:
        credentials.store(session, SUBJECT, "root", "s3cret")
    registry.key_file.chmod(0o640)
    with registry.reading() as session, pytest.raises(CorpusError, match="Others can read the key file"):
        credentials.read(session, SUBJECT, "root")
    registry.key_file.write_text("no key")
    registry.key_file.chmod(0o600)
    with registry.reading() as session, pytest.raises(CorpusError, match="is damaged"):
        credentials.read(session, SUBJECT, "root")
    registry.key_file.unlink()
    with registry.reading() as session, pytest.raises(CorpusError, match="has no key that reads"):
        credentials.read(session, SUBJECT, "root")


def test_processes_that_make_the_key_first_agree_on_one(tmp_path: Path) -> None:
    key = tmp_path / "key"

    def first(_: int) -> bytes:
        return Credentials(key).encrypted("s", "n", "v")

    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(first, range(8)))
    for value in values:
        assert Credentials(key).decrypted(Credential(subject="s", name="n", value=value)) == "v"
    assert os.listdir(tmp_path) == ["key"]


def test_passwords_are_easy_to_read_to_somebody() -> None:
    made = new_password(2000)
    assert not set(made) & set("0O1lI")
    assert made.isalnum()
    assert new_password() != new_password()
