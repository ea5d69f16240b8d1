"""What makes a machine a minion: its files, and that the master takes its key."""

import stat
from pathlib import Path

import pytest
import salt.config
import salt.crypt
from corpus.controller import access, preseed
from corpus.errors import CorpusError, UsageError


@pytest.fixture
def master(tmp_path: Path) -> preseed.Master:
    pki, cache = tmp_path / "pki", tmp_path / "cache"
    for folder in (pki, cache):
        folder.mkdir()
    salt.crypt.write_keys(str(pki), "master", 2048)
    opts = {"pki_dir": str(pki), "cachedir": str(cache), "user": "root", "publish_port": 5505, "ret_port": 5506}
    return preseed.Master.of(opts, "10.0.0.1")


def test_files_pin_the_master_and_carry_the_keys(master: preseed.Master, tmp_path: Path) -> None:
    keys, mine, host_key = preseed.new_keys(), access.new_key("mine"), access.new_key("host")
    made = preseed.files(
        "web.example.org",
        keys,
        master,
        options={"log_level": "info"},
        authorized=[mine.public],
        host_key=host_key,
        nameservers=["10.0.0.53"],
    )
    assert made["/etc/salt/pki/minion/minion_master.pub"] == master.public
    assert made["/etc/salt/pki/minion/minion.pem"] == keys.private
    assert made["/etc/ssh/ssh_host_ed25519_key"] == host_key.private
    assert mine.public in made["/root/.ssh/authorized_keys"]
    assert made["/etc/corpus/resolv.conf"] == "nameserver 10.0.0.53\n"
    (tmp_path / "minion").write_text(made["/etc/salt/minion"])
    options = salt.config.minion_config(str(tmp_path / "minion"))
    assert (options["id"], options["master"]) == ("web.example.org", "10.0.0.1")
    assert (options["publish_port"], options["master_port"]) == (5505, 5506)
    assert options["enable_fqdns_grains"] is False
    assert options["log_level"] == "info"


def test_what_is_not_asked_for_is_not_written(master: preseed.Master) -> None:
    assert sorted(preseed.files("web", preseed.new_keys(), master)) == [
        "/etc/salt/minion",
        "/etc/salt/minion_id",
        "/etc/salt/pki/minion/minion.pem",
        "/etc/salt/pki/minion/minion.pub",
        "/etc/salt/pki/minion/minion_master.pub",
    ]


def test_keys_are_of_salts_kind_and_are_not_shown(tmp_path: Path) -> None:
    keys = preseed.new_keys()
    (tmp_path / "minion.pem").write_text(keys.private)
    (tmp_path / "minion.pub").write_text(keys.public)
    signature = salt.crypt.PrivateKey.from_file(str(tmp_path / "minion.pem")).sign(b"message")
    assert salt.crypt.PublicKey.from_file(str(tmp_path / "minion.pub")).verify(b"message", signature)
    assert "PRIVATE" not in repr(keys)


def test_accepting_again_changes_nothing(master: preseed.Master) -> None:
    keys = preseed.new_keys()
    for other in ("minions_pre", "minions_denied"):
        (master.pki / other).mkdir()
        (master.pki / other / "web").write_text("another")
    assert preseed.accept(master, "web", keys.public)
    assert not preseed.accept(master, "web", keys.public)
    assert preseed.accepted(master, "web") == keys.public
    assert not list(master.pki.glob("minions_*/*"))
    assert stat.S_IMODE((master.pki / "minions/web").stat().st_mode) == 0o644


def test_forgetting_renews_the_session(master: preseed.Master) -> None:
    preseed.accept(master, "web", preseed.new_keys().public)
    preseed.accept(master, "web2", preseed.new_keys().public)
    (master.cache / "minions/web").mkdir(parents=True)
    (master.cache / "pillar").mkdir()
    (master.cache / "pillar/web.p").write_text("")
    assert preseed.forget(master, "web")
    assert not preseed.forget(master, "web")
    assert preseed.accepted(master, "web") is None
    assert preseed.accepted(master, "web2")
    assert (master.cache / ".dfn").exists()
    assert not list(master.cache.glob("*/web*"))


@pytest.mark.parametrize("name", ["../x", "a..b", "", ".x", "a/b", "x y", None, "a" * 254])
def test_what_cannot_name_a_minion_is_refused(name: object, master: preseed.Master) -> None:
    with pytest.raises(UsageError, match="cannot be a minion's id"):
        preseed.accept(master, name, "key")  # type: ignore[arg-type]


def test_a_master_that_never_ran(tmp_path: Path) -> None:
    master = preseed.Master("10.0.0.1", tmp_path, tmp_path)
    with pytest.raises(CorpusError, match="start salt-master first"):
        preseed.files("web", preseed.new_keys(), master)
