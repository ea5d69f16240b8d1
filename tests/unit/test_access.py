"""ssh keys that are made and checked, hosts that are known, and a real sshd that is reached with both."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from corpus.controller import access
from corpus.errors import CorpusError, UsageError

from tests import sshd


def test_new_key_is_one_that_openssh_knows(tmp_path: Path) -> None:
    made = access.new_key("ada@laptop")
    made.save(tmp_path / "keys/ada")
    told = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "keys/ada"], capture_output=True, text=True, check=True)
    assert told.stdout.split()[1:3] == [made.fingerprint, "ada@laptop"]
    derived = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "keys/ada"], capture_output=True, text=True)
    assert derived.stdout.split()[:2] == made.public.split()[:2]
    assert stat.S_IMODE((tmp_path / "keys/ada").stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made)


def test_kept_key_is_made_once(tmp_path: Path) -> None:
    assert access.kept_key(tmp_path / "ssh/controller") == access.kept_key(tmp_path / "ssh/controller")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGmTNJi6uH2hTNYOLbFSHkJVFvlhXKzBW1jB0rvVYKjo x",
        'command="id" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmTNJi6uH2hTNYOLbFSHkJVFvlhXKzBW1jB0rvVYKjo',
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        None,
        7,
    ],
)
def test_what_is_no_public_key_is_refused(line: object) -> None:
    with pytest.raises(UsageError, match="not a public ssh key"):
        access.public_key(line)


def test_line_feeds_bring_no_second_key_in() -> None:
    one, two = access.new_key().public, access.new_key().public
    with pytest.raises(UsageError):
        access.public_key(f"{one}\n{two}")
    assert access.public_key(f"  {one}\n") == one


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_keys_of_every_kind_are_taken(kind: str, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "some body", "-f", tmp_path / "key"], check=True)
    line = (tmp_path / "key.pub").read_text()
    told = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert access.public_key(line) == line.strip()
    assert access.fingerprint(line) == told.stdout.split()[1]


def test_authorized_keys_has_each_key_once() -> None:
    one, two = access.new_key("one").public, access.new_key("two").public
    text = access.authorized_keys([one, two, one.replace("one", "again")])
    assert sorted(line.split()[1] for line in text.splitlines() if not line.startswith("#")) == sorted(
        line.split()[1] for line in (one, two)
    )


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "a b", "", "host;id", "::1%eth0;", None, "a/b"])
def test_what_is_no_host_is_refused(name: object) -> None:
    with pytest.raises(UsageError):
        access.host(name)


@pytest.mark.parametrize("name", ["10.0.0.1", "fd00::1", "node-1.example.org", "n1"])
def test_addresses_and_names_are_hosts(name: str) -> None:
    assert access.host(name) == name


def test_known_hosts_are_learnt_and_forgotten(tmp_path: Path) -> None:
    known = access.KnownHosts(tmp_path / "ssh/known_hosts")
    first, second = access.new_key("n1").public, access.new_key("n2").public
    assert known.learn("n1", 22, first)
    assert not known.learn("n1", 22, first)
    assert known.learn("10.0.0.1", 40000, second)
    assert known.path.read_text().splitlines() == [
        f"n1 {' '.join(first.split()[:2])}",
        f"[10.0.0.1]:40000 {' '.join(second.split()[:2])}",
    ]
    assert known.learn("n1", 22, second)
    assert known.keys("n1") == [" ".join(second.split()[:2])]
    assert known.forget("n1")
    assert not known.forget("n1")
    assert known.keys("10.0.0.1", 40000)


@pytest.mark.skipif(os.geteuid() != 0, reason="sshd lets in others only as root")
@pytest.mark.skipif(not shutil.which("sshd", path="/usr/sbin"), reason="openssh-server is not installed")
def test_a_machine_is_reached_once_it_is_known(tmp_path: Path) -> None:
    access.kept_key(tmp_path / "mine")
    with sshd.opened(tmp_path / "sshd") as door:
        known = access.KnownHosts(tmp_path / "known_hosts")
        target = access.Target("127.0.0.1", tmp_path / "mine", known.path, door.port)
        with pytest.raises(CorpusError, match="was not reached by ssh"):
            target.run("true")
        met = known.meet("127.0.0.1", door.port)
        assert door.host_key.split(None, 1)[1].strip() in met
        with pytest.raises(CorpusError, match="Permission denied"):
            target.run("true")
        known.learn("127.0.0.1", door.port, access.new_key().public)
        with pytest.raises(CorpusError, match="Host key verification failed"):
            target.run("true")


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"No ssh server answers at 127\.0\.0\.1, port 1"):
        access.KnownHosts(tmp_path / "known_hosts").meet("127.0.0.1", 1)


def test_words_are_quoted_for_the_shell_there(tmp_path: Path) -> None:
    target = access.Target("node", tmp_path / "key", tmp_path / "known", 2222, "admin")
    assert target.argv("echo", "a b; id")[-4:] == ["admin", "--", "node", "sudo -n -- echo 'a b; id'"]


@pytest.mark.parametrize("wrong", [{"port": 0}, {"port": "22"}, {"user": "-x"}, {"host": "-x"}])
def test_a_target_that_cannot_be_is_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        access.Target(**{"host": "node", "identity": tmp_path, "known_hosts": tmp_path, **wrong})
