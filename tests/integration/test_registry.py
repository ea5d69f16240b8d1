"""The registry through its runner, and the pillars that a real master hands to minions."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.controller.registry.models import Guest, Owner
from sqlalchemy import select, update

from tests.machine import Ended, run
from tests.master import Master, master
from tests.unit.controller import tenants

_SALT_CALL = Path(sys.executable).parent / "salt-call"
PASSPHRASE = "correct horse battery staple"

# What a minion asks the master when it wants its pillar; here it asks as somebody else.
_ASKS_AS_ANOTHER = """
import sys
import salt.config, salt.channel.client
opts = salt.config.minion_config(sys.argv[1])
opts["master_uri"] = f"tcp://127.0.0.1:{opts['master_port']}"
opts["id"] = sys.argv[2]
load = {"cmd": "_pillar", "id": sys.argv[3], "grains": {}, "saltenv": "base", "pillarenv": None, "ver": "2"}
with salt.channel.client.ReqChannel.factory(opts) as channel:
    print(channel.crypted_transfer_decode_dictentry(load, dictkey="pillar", timeout=10, tries=1))
"""


@pytest.fixture(scope="module")
def there() -> Iterator[Master]:
    """A master whose registry has a small cloud, and a tenant's minion."""
    with (
        tempfile.TemporaryDirectory(prefix="cr-", dir="/tmp") as folder,
        master(Path(folder) / "m", ext_pillar=[{"mc_corpus": {}}]) as made,
    ):
        assert "salt-run mc_registry.upgrade" in made.refused("mc_registry.rotate_key")
        assert made.ok("mc_registry.upgrade", test=True)["changed"] is True
        assert made.ok("mc_registry.upgrade")["changed"] is True
        assert made.ok("mc_registry.upgrade")["changed"] is False
        tenants.fill(made.registry())
        made.minion("ada1.corpus.test")
        yield made


def _call(there: Master, *words: str, identity: str = "ada1.corpus.test") -> Ended:
    folder = there.folder / "etc-ada1.corpus.test"
    return run([str(_SALT_CALL), "-c", str(folder), f"--id={identity}", "--out=json", "--log-level=quiet", *words])


def test_a_minion_gets_its_pillar_and_nobody_elses(there: Master) -> None:
    told = _call(there, "pillar.get", "corpus", "unmask=True")
    assert told.status == 0, told.said
    assert json.loads(told.output)["local"]["name"] == "ada1"
    assert "bob" not in told.said
    for words in (
        ("pillar.items",),
        ("pillar.items", "pillar={id: bob1.corpus.test}"),
        ("pillar.ext", "{mc_corpus: {}}"),
        ("publish.publish", "bob1.corpus.test", "pillar.items"),
        ("publish.runner", "pillar.show_pillar", "bob1.corpus.test"),
        ("publish.runner", "mc_registry.export", "/tmp/stolen.yaml"),
    ):
        tried = _call(there, *words)
        assert "secret of bob" not in tried.said
        assert "bob1" not in tried.said.replace("bob1.corpus.test", "")
    assert not Path("/tmp/stolen.yaml").exists()


def test_a_minion_that_says_it_is_another_gets_nothing(there: Master) -> None:
    """With its own key it asks under an id whose key the master knows."""
    keys = there.folder / "master/etc/salt/pki/master/minions"
    assert (keys / "ada1.corpus.test").exists()
    private = there.folder / "another.pem"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", private, "-pubout"], check=True, capture_output=True)
    (keys / "bob1.corpus.test").write_bytes(public.stdout)
    tried = _call(there, "pillar.items", identity="bob1.corpus.test")
    assert "secret of bob" not in tried.said
    assert "bob-shop" not in tried.said
    folder = there.folder / "etc-ada1.corpus.test"
    asks = [sys.executable, "-c", _ASKS_AS_ANOTHER, str(folder / "minion")]
    own = run([*asks, "ada1.corpus.test", "ada1.corpus.test"])
    assert "secret of ada1" in own.output, own.said  # so asks a minion
    for identity in ("ada1.corpus.test", "bob1.corpus.test"):
        tried = run([*asks, identity, "bob1.corpus.test"])
        assert "secret of bob" not in tried.said
        assert "bob-shop" not in tried.said


def test_a_registry_that_fails_makes_the_pillar_fail(there: Master) -> None:
    home = there.folder / "home"
    moved = home / "away.key"
    (home / "secrets.key").rename(moved)
    try:
        told = _call(there, "pillar.get", "_errors", "unmask=True")
        assert "mc_corpus" in told.output, told.said
        applied = _call(there, "state.highstate")
        assert applied.status != 0
        assert "mc_corpus" in applied.said
    finally:
        moved.replace(home / "secrets.key")


def test_export_import_and_rotation(there: Master) -> None:
    path = there.folder / "all.yaml"
    (there.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    told = there.ok("mc_registry.export", str(path), passphrase_file=str(there.folder / "passphrase"))
    assert (told["guests"], told["compute_nodes"]) == (4, 2)
    assert "secret of" not in path.read_text()
    assert "is not empty" in there.refused(
        "mc_registry.import", str(path), passphrase_file=f"{there.folder}/passphrase"
    )
    assert "give it" in there.refused("mc_registry.import", str(path), replace=True)
    registry = there.registry()
    with registry.session() as session:
        session.add(Owner(name="carol"))
    planned = there.ok(
        "mc_registry.import", str(path), passphrase_file=f"{there.folder}/passphrase", replace=True, test=True
    )
    assert planned == told
    with registry.reading() as session:
        assert session.scalar(select(Owner.name).where(Owner.name == "carol")) == "carol"
    there.ok("mc_registry.import", str(path), passphrase_file=f"{there.folder}/passphrase", replace=True)
    with registry.reading() as session:
        assert session.scalars(select(Owner.name).order_by(Owner.name)).all() == ["ada", "bob"]
    before = registry.key_file.read_text()
    assert there.ok("mc_registry.rotate_key", test=True)["credentials"] == 6
    assert registry.key_file.read_text() == before
    assert there.ok("mc_registry.rotate_key") == {"result": True, "credentials": 6}
    assert registry.key_file.read_text() != before
    told = _call(there, "pillar.get", "corpus:credentials", "unmask=True")
    assert json.loads(told.output)["local"] == {"root": "secret of ada1"}


def test_check_asks_the_real_minions_and_tells_what_it_cannot_learn(there: Master) -> None:
    with there.registry().session() as session:
        session.execute(update(Guest).where(Guest.name == "bob2").values(address="10.99.0.9"))
    ended = there.run("mc_registry.check")
    assert ended.status == 1
    assert "Traceback" not in ended.said
    told = json.loads(ended.output)
    messages = [one["message"] for one in told["differences"]]
    assert "The guest bob2 has 10.99.0.9, which is not in a network of n2.corpus.test." in messages
    assert any(message.startswith("The containers of n1.corpus.test are not known: ") for message in messages)
    assert "The master has not accepted a key of bob2.corpus.test: it cannot be asked anything." in messages
    assert not any("ada1.corpus.test: it cannot" in message for message in messages)
