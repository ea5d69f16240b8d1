"""What ``mc_controller.init`` makes of what it is given."""

from pathlib import Path
from typing import Any

import pytest
from corpus.controller import bootstrap, initialization
from corpus.errors import ConfigurationError, CorpusError, UsageError

OPTS: dict[str, Any] = {
    "conf_file": "/etc/other/master",
    "root_dir": "/var/other",
    "interface": "127.0.0.1",
    "publish_port": 14505,
    "ret_port": 14506,
    "external_auth": {"pam": {"staff%": [".*"]}},
    "corpus": {"home": "/srv/c", "zone": "c.example.org", "dns": {"url": "http://ns:1", "api_key_file": "/k"}},
}


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[bootstrap.Wish]:
    """What the controller would be made by; no machine is made one here."""
    found: list[bootstrap.Wish] = []

    def controller(wish: bootstrap.Wish, test: bool, say: Any) -> dict[str, Any]:
        found.append(wish)
        return {"result": None if test else True, "comment": "", "changes": {}, "start": []}

    monkeypatch.setattr(bootstrap, "controller", controller)
    return found


def init(opts: dict[str, Any], given: Any = None, **words: Any) -> dict[str, Any]:
    return initialization.init(opts, given, words.get("zone"), words.get("address"), words.get("test", False), print)


def test_asked_again_it_stays_what_it_is(wishes: list[bootstrap.Wish]) -> None:
    report = init(OPTS, test=True)
    assert (report["result"], report["retcode"]) == (True, 0)
    (wish,) = wishes
    assert (wish.root, wish.configuration, wish.admins) == (Path("/var/other"), Path("/etc/other"), "staff")
    assert (wish.interface, wish.publish_port, wish.return_port) == ("127.0.0.1", 14505, 14506)
    assert wish.settings == OPTS["corpus"]
    assert not wish.own_dns  # somebody else's name server stays that


def test_what_is_given_counts(wishes: list[bootstrap.Wish], tmp_path: Path) -> None:
    path = tmp_path / "controller.yaml"
    path.write_text("settings: {home: /srv/d}\nadmins: ops\n")
    init(OPTS, str(path), zone="d.example.org", address="192.0.2.1")
    (wish,) = wishes
    assert wish.settings == {"home": "/srv/d", "zone": "d.example.org", "master_address": "192.0.2.1"}
    assert (wish.admins, wish.own_dns) == ("ops", True)


def test_what_cannot_be_is_said(wishes: list[bootstrap.Wish], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="settings=PATH"):
        init({**OPTS, "external_auth": {"ldap": {"ops%": []}}})
    with pytest.raises(UsageError, match="absolute path"):
        init(OPTS, "controller.yaml")
    with pytest.raises(CorpusError, match="cannot be read"):
        init(OPTS, str(tmp_path / "nothing.yaml"))
    with pytest.raises(ConfigurationError, match="is not known"):
        init(OPTS, {"zones": 1})
    assert wishes == []
