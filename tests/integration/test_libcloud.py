"""Machines of public clouds: EC2's API emulated by moto, OpenStack's by a small server of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from corpus.controller.drivers.libcloud import Account, Machines
from corpus.errors import CorpusError, UsageError
from libcloud.compute.drivers import ec2

from tests.machine import deadline, free_port
from tests.openstack import PASSWORD, OpenStack, openstack

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGzqNRgBzHU+2mDvzvGTAJ3CDZKcgEqVZCGwEWnlbS9M bob@example.org"
KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC6Vjbzh8jDc0OyMyMgYRZGr9hTHhyHmPQPpXDxQKXLRuCS6NbmTjDqVIB0"
    "UmdUYpmq4h1Bo8mMbQf0gL2uqMhCw0gyRjGcqUWRIb1vqGQm5Zm2mJ1dKgtx1cTXkZJ6WkmAbqnAxDzn2jvgHGqPqXmRZkYw"
    "E1l7n0pVdYpKLMvRhQ== ada@example.org"
)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """EC2; its url."""
    port = free_port()
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "true"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in deadline(60):
            try:
                if requests.get(f"{url}/moto-api/data.json", timeout=5).ok:
                    break
            except requests.ConnectionError:
                continue
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text(f"{PASSWORD}\n")
    return path


@pytest.fixture
def amazon(moto: str, secret: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    # What moto answers lacks the slash that the real one has.
    monkeypatch.setattr(ec2, "NAMESPACE", "http://ec2.amazonaws.com/doc/2016-11-15")
    requests.post(f"{moto}/moto-api/reset", timeout=30)
    return Machines(
        Account.of({"provider": "ec2", "user": "AKIATEST", "secret_file": secret, "region": "us-east-1", "url": moto})
    )


@pytest.fixture
def stack() -> Iterator[OpenStack]:
    with openstack() as made:
        yield made


def of_stack(stack: OpenStack, secret: Path, **more: Any) -> Machines:
    given = {"provider": "openstack", "user": "corpus", "region": "one", "url": stack.url, "project": "demo"}
    return Machines(Account.of({**given, "secret_file": secret, **more}))


def test_a_machine_of_ec2(amazon: Machines) -> None:
    """It is made with its key, marked, found again, not made twice, and destroyed; those of others are left alone."""
    driver = amazon._driver
    image = next(one for one in driver.list_images() if one.name)
    theirs = driver.create_node(name="node1", image=image, size=driver.list_sizes()[0])
    assert amazon.all() == []

    made = amazon.create("node1", image.id, "t3.small", KEY, user_data="#cloud-config\n")
    assert made.state == "running"
    assert made.address
    assert made.name == "node1"
    assert amazon.all() == [made]
    assert amazon.find("node1") == made
    (pair,) = driver.list_key_pairs()
    assert pair.name.startswith("corpus-")
    assert amazon.create("node1", image.id, "t3.small", KEY) == made  # the same one
    assert len(driver.list_key_pairs()) == 1
    other = amazon.create("node2", image.id, "t3.small", ED25519)
    assert other.id != made.id
    assert len(driver.list_key_pairs()) == 2

    assert amazon.destroy("node1")
    assert amazon.all() == [other]
    assert not amazon.destroy("node1")
    assert [node.state for node in driver.list_nodes(ex_node_ids=[theirs.id])] == ["running"]
    again = amazon.create("node1", image.id, "t3.small", KEY)
    assert again.id != made.id


@pytest.mark.parametrize(
    ("image", "size", "key", "words"),
    [
        ("ami-00000000", "t3.small", KEY, "The cloud has no image 'ami-00000000'"),
        ("no such image", "t3.small", KEY, "The cloud has no image 'no such image'"),
        (None, "t3.enormous", KEY, "The cloud has no size 't3.enormous'"),
        (None, "t3.small", "nonsense", "is not a public key"),
    ],
)
def test_ec2_is_not_asked_for_what_cannot_be(
    amazon: Machines, image: str | None, size: str, key: str, words: str
) -> None:
    image = image or amazon._driver.list_images()[0].id
    with pytest.raises(CorpusError, match=words) as refused:
        amazon.create("node1", image, size, key)
    assert len(str(refused.value)) < 400
    assert amazon._driver.list_nodes() == []


def test_a_machine_of_openstack(stack: OpenStack, secret: Path) -> None:
    machines = of_stack(stack, secret, network="private")
    stack.servers["theirs"] = {
        "id": "theirs",
        "asked": {"name": "node1", "imageRef": "i", "flavorRef": "f"},
        "looked": 9,
    }
    made = machines.create("node1", "debian-12", "small", KEY, user_data="#cloud-config\n")
    assert (made.state, made.address, made.private_address) == ("running", "198.51.100.5", "10.1.0.5")
    assert made.address6 == "2001:db8::5"
    asked = stack.servers[made.id]["asked"]
    assert asked["metadata"] == {"corpus": "machine", "corpus-name": "node1"}
    assert asked["imageRef"] == "11111111-aaaa"
    assert asked["networks"] == [{"uuid": "net-1"}]
    assert stack.keys == {asked["key_name"]: " ".join(KEY.split()[:2])}
    assert machines.create("node1", "debian-12", "small", KEY) == made
    assert machines.all() == [made]
    assert machines.destroy("node1")
    assert not machines.destroy("node1")
    assert list(stack.servers) == ["theirs"]


def test_what_openstack_cannot_make_is_destroyed(stack: OpenStack, secret: Path) -> None:
    machines = of_stack(stack, secret)
    stack.states = ("BUILD", "ERROR")
    with pytest.raises(CorpusError, match="could not start node1"):
        machines.create("node1", "debian-12", "small", KEY)
    assert stack.servers == {}
    stack.states = ("BUILD",)
    with pytest.raises(CorpusError, match=r"node1 has no address after 0\.5 seconds \(it is pending\)"):
        machines.create("node1", "debian-12", "small", KEY, wait=0.5)
    assert stack.servers == {}
    stack.refuses = "Quota exceeded"
    with pytest.raises(CorpusError, match=r"did not make the machine node1: .*Quota exceeded"):
        machines.create("node1", "debian-12", "small", KEY)
    with pytest.raises(UsageError, match="The cloud has no image 'debian-11', but debian-12"):
        machines.create("node1", "debian-11", "small", KEY)
    with pytest.raises(UsageError, match="The cloud has no network 'none'"):
        of_stack(stack, secret, network="none").create("node1", "debian-12", "small", KEY)


def test_a_wrong_password_and_a_cloud_that_is_gone(stack: OpenStack, secret: Path) -> None:
    secret.write_text("wrong-Ahgh4ooc")
    with pytest.raises(UsageError, match="refuses us") as refused:
        of_stack(stack, secret).all()
    assert "wrong-Ahgh4ooc" not in str(refused.value)
    with pytest.raises(CorpusError, match="does not answer"):
        of_stack(stack, secret, url=f"http://127.0.0.1:{free_port()}").all()
    secret.chmod(0o640)
    with pytest.raises(UsageError, match="is open to others"):
        of_stack(stack, secret).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"provider": "moon"}, "is no cloud that corpus knows: ec2, openstack"),
        ({"password": "x"}, "has no 'password'"),
        ({"region": None}, "needs region"),
        ({"url": 7}, "url of a cloud's account is '7', not a text"),
    ],
)
def test_an_account_is_checked(secret: Path, given: dict[str, Any], words: str) -> None:
    account = {"provider": "ec2", "user": "u", "secret_file": str(secret), "region": "us-east-1", **given}
    with pytest.raises(UsageError, match=words):
        Account.of({key: value for key, value in account.items() if value is not None})


def test_a_region_and_a_url_are_checked(secret: Path) -> None:
    account = {"provider": "ec2", "user": "u", "secret_file": secret, "region": "us-east-1"}
    with pytest.raises(UsageError, match="is no region of EC2"):
        Machines(Account.of({**account, "region": "moon"})).all()
    with pytest.raises(UsageError, match="is no url of a cloud"):
        Machines(Account.of({**account, "url": "ftp://x"})).all()
    with pytest.raises(UsageError, match="needs url and project"):
        Machines(Account.of({**account, "provider": "openstack"})).all()
