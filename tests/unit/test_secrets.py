"""What counts as secret, how it is taken out of what leaves, how it is stored."""

import json
import shlex
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from corpus.errors import CorpusError
from corpus.secrets import MASK, Redactor, Vault, found_in, masked, telling

KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDq6c1FZc0OjPpQ9Vv3i4xw5p3l6w0
-----END OPENSSH PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "passwd",
        "htpasswd",
        "passphrase",
        "pass",
        "db_pass",
        "pwd",
        "db_pw",
        "secret",
        "SECRET_KEY_BASE",
        "client-secret",
        "token",
        "tokens",
        "github_token",
        "key",
        "api_key",
        "api_keys",
        "apikey",
        "stripeApiKey",
        "private_key",
        "privateKeys",
        "ssh-key",
        "AWS_SECRET_ACCESS_KEY",
        "encryption_key",
        "signing_key",
        "credentials",
        "dsn",
        "SENTRY_DSN",
    ],
)
def test_keys_that_tell(key: str) -> None:
    assert telling(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "user",
        "host",
        "port",
        "name",
        "domain",
        "monkey",
        "keyboard",
        "authorized_keys",
        "url",
        "path",
        "pw2x",
        1,
        None,
    ],
)
def test_keys_that_do_not_tell(key: object) -> None:
    assert not telling(key)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "postgres",
        "Production",
        "true",
        "null",
        "8080",
        "1.2.3",
        "/srv/projects/demo",
        "/srv/App/Data_1",
        "public/index.html",
        "static/css/a.css",
        "abc12",
        "http://example.org/a/b",
        "https://example.org:8443/?page=2",
        "ssh://git@example.org/a.git",
        None,
        True,
        8080,
        3.5,
    ],
    ids=repr,
)
def test_plain_values_are_no_secrets(value: object) -> None:
    assert found_in({"setting": value, "list": [value], "deep": {"deeper": {"setting": value}}}) == set()


@pytest.mark.parametrize(
    "value",
    [
        "hunter2!",
        "correct horse battery",
        "abc123def",
        "Ünïcödé-secret",
        "p@ssw0rd",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE12KEY",
        "sk_live_0123456789",
        "a" * 17,
        "0123456789",
    ],
)
def test_odd_values_are_secret_wherever_they_stand(value: str) -> None:
    assert value in found_in({"setting": value})
    assert value in found_in({"a": [{"b": [value]}]})
    assert value in found_in([value])


@pytest.mark.parametrize("value", ["abc", "postgres", "8080", "/etc/passwd", "a b", "true"])
def test_plain_values_below_a_telling_key_are_secret(value: str) -> None:
    assert value in found_in({"password": value})
    assert value in found_in({"credentials": {"web": [{"user": value}]}})


@pytest.mark.parametrize("value", [1234, 3.1415])
def test_numbers_below_a_telling_key_are_secret(value: float) -> None:
    assert found_in({"pin": {"password": value}}) == {str(value)}


def test_truth_is_no_secret() -> None:
    assert found_in({"password": True, "token": None, "secret": "", "key": {"a": False}}) == set()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgres://app:s3cr3t@db.example.org/app", {"s3cr3t"}),
        ("redis://:only-password@localhost:6379/0", {"only-password"}),
        ("amqp://u:p%40ss%2Fw@host/v", {"p%40ss%2Fw", "p@ss/w"}),
        ("https://ghp_0123456789abcdef@github.com/a/b.git", {"ghp_0123456789abcdef"}),
        ("https://ghp_0123456789abcdef:x-oauth-basic@github.com/a", {"ghp_0123456789abcdef", "x-oauth-basic"}),
        ("https://example.org/hook?access_token=abcd1234&page=2", {"abcd1234"}),
    ],
)
@pytest.mark.parametrize("key", ["database", "url"])
def test_urls_give_up_their_secrets_and_nothing_else(key: str, url: str, secrets: set[str]) -> None:
    assert found_in({key: url}) == secrets
    assert found_in({key: url}, public=[key]) == secrets


@pytest.mark.parametrize("url", ["http://[::1", "http://u:p@[bad/", "://", "a://b@"])
def test_malformed_urls_do_no_harm(url: str) -> None:
    found_in({"url": url, "password": url})
    Redactor(found_in({"password": url})).text("anything")


@pytest.mark.parametrize("key", ["deploy_key", "certificate"])
def test_every_line_of_a_key_is_masked(key: str) -> None:
    redactor = Redactor(found_in({key: KEY}))
    for line in KEY.splitlines():
        assert redactor.text(f"+ {line}") == f"+ {MASK}"
        assert line not in redactor.text(json.dumps({"diff": KEY}))
        assert line not in redactor.text(f"indented:\n    {line}\n")


def test_a_yaml_block_ends_with_a_line_feed_that_nobody_prints() -> None:
    redactor = Redactor(found_in({"password": "s3cr3t\n"}))
    assert redactor.text("using s3cr3t now") == f"using {MASK} now"


def test_public_keys_are_open_but_not_what_tells_below_them() -> None:
    tree = {
        "domain": "shop-1.example.org",
        "healthcheck": {"path": "/is it well?", "token": "abcdef"},
        "other": "shop-2.example.org",
        "password": "inpublic",
    }
    assert found_in(tree, public=["domain", "healthcheck", "password"]) == {"abcdef", "shop-2.example.org", "inpublic"}


@pytest.mark.parametrize(
    "secret",
    [
        "s3cr3t",
        'quote"quote',
        "it's",
        "back\\slash",
        "two words",
        "tab\there",
        "line\nline",
        "é'\"ü ñ",
        "a/b?c=d&e",
        "日本語のパスワード",
        "$(touch x);`y`",
        "100%",
        "regex.*[a-z]+(",
    ],
)
@pytest.mark.parametrize(
    "written",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        quote,
        lambda text: quote(text, safe=""),
        quote_plus,
        repr,
        shlex.quote,
    ],
    ids=["plain", "json", "json-unicode", "url-path", "url", "form", "repr", "shell"],
)
def test_a_secret_is_masked_however_it_is_written(secret: str, written: Any) -> None:
    text = f"<{written(secret)}>"
    redacted = Redactor({secret}).text(text)
    assert MASK in redacted
    assert written(secret).strip("'\"") not in redacted
    assert secret not in redacted


def test_of_two_secrets_the_longer_is_masked_whole() -> None:
    assert Redactor({"abc", "abcdef"}).text("abcdef abc") == f"{MASK} {MASK}"


def test_what_is_learned_later_counts_and_emptiness_does_not() -> None:
    redactor = Redactor()
    assert redactor.text("abc") == "abc"
    redactor.learn([""])
    assert redactor.text("abc") == "abc"
    redactor.learn(["abc"])
    redactor.learn(["xyz"])
    assert redactor.text("abc xyz") == f"{MASK} {MASK}"


def test_trees_are_redacted_and_stay_trees() -> None:
    tree = {
        "comment": "used abcdef",
        "abcdef": 1,
        "list": ["abcdef", ("x abcdef",), 7, None],
        "password": "plain",
        "token": {"a": 5, "b": ["x"], "empty": "", "none": None, "on": True, "zero": 0},
        5: "five",
    }
    before = json.dumps(tree)
    assert Redactor({"abcdef"}).tree(tree) == {
        "comment": f"used {MASK}",
        MASK: 1,
        "list": [MASK, [f"x {MASK}"], 7, None],
        "password": MASK,
        "token": {"a": MASK, "b": [MASK], "empty": "", "none": None, "on": True, "zero": MASK},
        5: "five",
    }
    assert json.dumps(tree) == before
    assert masked({"a": ["b", None]}) == {"a": [MASK, None]}


TREE = {
    "user": "app",
    "password": "s3cr3t é",
    "data": {"api_key": ["one", {"two": 2, "three": 3.5, "yes": True, "no": None}], "port": 80},
    "note": "encrypted: it only looks so",
}


def test_vault_gives_back_what_it_took(tmp_path: Path) -> None:
    sealed = Vault(tmp_path / "key").sealed(TREE)
    assert Vault(tmp_path / "key").opened(sealed) == TREE
    assert Vault(tmp_path / "key").opened(json.loads(json.dumps(sealed))) == TREE


def test_vault_hides_leaves_below_telling_keys_only(tmp_path: Path) -> None:
    sealed = Vault(tmp_path / "key").sealed(TREE)
    text = json.dumps(sealed, ensure_ascii=False)
    assert "s3cr3t" not in text
    assert '"one"' not in text
    assert sealed["user"] == "app"
    assert sealed["data"]["port"] == 80
    assert sealed["data"]["api_key"][1]["yes"] is True


def test_key_file_is_ours_alone_and_made_when_needed(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "key")
    vault.sealed({"user": "app"})
    vault.opened({"user": "app"})
    assert not (tmp_path / "key").exists()
    vault.sealed({"password": "x"})
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["other", "gone", "cut", "empty"])
def test_a_wrong_key_is_named(tmp_path: Path, damage: str) -> None:
    key = tmp_path / "key"
    sealed = Vault(key).sealed({"password": "x"})
    if damage == "other":
        key.unlink()
        Vault(key).sealed({"password": "y"})
    elif damage == "gone":
        key.unlink()
    else:
        key.write_bytes(b"" if damage == "empty" else key.read_bytes()[:-5])
    with pytest.raises(CorpusError, match=rf"{key}.* from a backup"):
        Vault(key).opened(sealed)
    assert key.exists() == (damage != "gone")


@pytest.mark.parametrize("token", ["encrypted:", "encrypted:x", "encrypted:é"])
def test_a_damaged_token_is_named(tmp_path: Path, token: str) -> None:
    key = tmp_path / "key"
    Vault(key).sealed({"password": "x"})
    with pytest.raises(CorpusError, match="cannot be read"):
        Vault(key).opened({"password": token})
