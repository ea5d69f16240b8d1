"""The settings' file: what is in it, and that nobody else can read it."""

from pathlib import Path

import pytest
from corpus.client import settings
from corpus.client.errors import WrongUse


def _written(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "conf"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_endpoints_of_a_file(tmp_path: Path) -> None:
    found = settings.read(
        _written(
            tmp_path,
            "prod: {url: masteralt.foo.net, id: someone@foo.net, password: s3cr3t}\n"
            "dev: {url: 'http://127.0.0.1:8443/', token_command: [pass, show, corpus], cafile: /etc/ca.pem}\n",
        )
    )
    assert found["prod"].url == "https://masteralt.foo.net"
    assert (found["prod"].id, found["prod"].password) == ("someone@foo.net", "s3cr3t")
    assert found["dev"].url == "http://127.0.0.1:8443"
    assert found["dev"].token_command == ("pass", "show", "corpus")
    assert settings.read(_written(tmp_path, "")) == {}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(WrongUse, match="chmod 600"):
        settings.read(_written(tmp_path, "prod: {url: a.example.org, password: hush}", mode))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prod: {url: a.example.org, pasword: hush}", "pasword is not known"),
        ("prod: {id: ada}", "has no url"),
        ("prod: {url: 'http://a.example.org'}", "must be https"),
        ("prod: {url: 'ftp://a.example.org'}", "is not such as"),
        ("prod: {url: 'https://ada:hush@a.example.org'}", "is not such as"),
        ("prod: {url: a.example.org, password_command: pass show hush}", "is the list of a program"),
        ("prod: {url: a.example.org, password: {hush: 1}}", "password is not what"),
        ("prod:\n  url: a.example.org\n  password hush\n", "is no YAML"),
        ("- prod", "is no mapping"),
        ("prod: a.example.org", "is no mapping"),
    ],
)
def test_what_is_wrong_is_named_and_no_password_is(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(WrongUse, match=words) as caught:
        settings.read(_written(tmp_path, text))
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="chmod 600"):
        settings.read(tmp_path / "none")


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CORPUS_CONFIG", str(_written(tmp_path, "prod: {url: a.example.org, password: one, token: two}"))
    )
    assert settings.endpoint("prod").given_password() == "one"
    assert settings.endpoint("prod").given_token() == "two"
    monkeypatch.setenv("CORPUS_PASSWORD", "three")
    monkeypatch.setenv("CORPUS_TOKEN", "four")
    assert settings.endpoint("prod").given_password() == "three"
    assert settings.endpoint("prod").given_token() == "four"
    with pytest.raises(WrongUse, match="there is prod"):
        settings.endpoint("production")


def test_a_command_tells_its_first_line(tmp_path: Path) -> None:
    found = settings.read(
        _written(
            tmp_path,
            "a: {url: x.org, password_command: [printf, 'one\\ntwo']}\n"
            "b: {url: x.org, password_command: ['false']}\n"
            "c: {url: x.org, token_command: [/no/such/program]}\n",
        )
    )
    assert found["a"].given_password() == "one"
    for told in (found["b"].given_password, found["c"].given_token):
        with pytest.raises(Exception, match="_command of"):
            told()
