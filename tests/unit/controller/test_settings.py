"""The controller's settings: typed, and wrong ones refused with a sentence."""

from pathlib import Path
from typing import Any

import pytest
from corpus.controller.settings import Settings
from corpus.errors import ConfigurationError


def test_without_a_word_everything_has_a_default() -> None:
    settings = Settings.configured({})
    assert settings.home == Path("/srv/corpus")
    assert settings.registry_url == "sqlite:////srv/corpus/registry.sqlite3"
    assert settings.key_file == Path("/srv/corpus/secrets.key")
    assert (settings.dns, settings.mail) == (None, None)


def test_what_is_given_is_typed() -> None:
    mail = {"host": "mail.example.org", "sender": "corpus@example.org", "sysadmins": "ada@example.org"}
    dns = {"url": "http://127.0.0.1:8081", "api_key_file": "/etc/corpus/dns.key"}
    settings = Settings.configured(
        {"corpus": {"home": "/srv/c", "mail": mail, "dns": dns, "nameservers": ["ns1.x.org"]}}
    )
    assert settings.images == Path("/srv/c/images")
    assert settings.mail is not None
    assert (settings.mail.sysadmins, settings.mail.port) == (("ada@example.org",), 25)
    assert settings.dns is not None
    assert settings.dns.api_key_file == Path("/etc/corpus/dns.key")
    assert settings.nameservers == ("ns1.x.org",)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["x"], "corpus is not a mapping"),
        ({"hom": "/x"}, r"corpus\.hom is not known: there are admins, .*home"),
        ({"home": 3}, r"corpus\.home is 3, not a text"),
        ({"home": "srv"}, "absolute"),
        ({"ssh_ports": True}, "not a number"),
        ({"ssh_ports": 22}, "from 1024"),
        ({"zone": "a..b"}, r"corpus\.zone is 'a\.\.b'"),
        ({"guest_network": "ten"}, r"corpus\.guest_network is 'ten'"),
        ({"nameservers": [1]}, "not a list of texts"),
        ({"dns": {"url": "http://x"}}, r"corpus\.dns\.api_key_file is missing"),
        ({"dns": "http://x"}, r"corpus\.dns is not a mapping"),
        ({"mail": {"host": "h", "sender": "a@b", "username": "ada"}}, "starttls and password_file"),
    ],
)
def test_what_is_wrong_is_told(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Settings.configured({"corpus": given})
