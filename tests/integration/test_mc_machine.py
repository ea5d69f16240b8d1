"""``mc_machine``, through Salt's loader: machines as operations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import yaml
from corpus.controller.cloud import Cloud
from corpus.controller.registry.models import ComputeNode
from corpus.controller.settings import Settings
from salt.exceptions import CommandExecutionError

from tests.machine import CHECKOUT
from tests.openstack import PASSWORD, OpenStack, openstack


@pytest.fixture
def stack() -> Iterator[OpenStack]:
    with openstack() as made:
        yield made


@pytest.fixture
def runners(stack: OpenStack, tmp_path: Path) -> Any:
    """What a controller with an account on that OpenStack can call."""
    (tmp_path / "home").mkdir()
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_text(PASSWORD)
    account = {"provider": "openstack", "user": "corpus", "region": "one", "url": stack.url, "project": "demo"}
    account |= {"secret_file": str(tmp_path / "secret"), "login": "debian"}
    corpus = {"home": str(tmp_path / "home")}
    master = {"root_dir": str(tmp_path), "module_dirs": [str(CHECKOUT)], "corpus": corpus}
    (tmp_path / "master").write_text(yaml.safe_dump({**master, "corpus_clouds": {"stack": account}}))
    Cloud(Settings.configured({"corpus": corpus})).registry.upgrade()
    return salt.loader.runner(salt.config.master_config(str(tmp_path / "master")))


def test_a_machine_is_made_and_destroyed(runners: Any, stack: OpenStack, tmp_path: Path) -> None:
    planned = runners["mc_machine.create"]("stack", "node7", "debian-12", "small", test=True)
    assert planned["changes"]
    assert stack.servers == {}
    made = runners["mc_machine.create"]("stack", "node7", "debian-12", "small")
    assert made["result"] is True, made
    assert made["facts"]["address"] == "198.51.100.5"
    assert made["facts"]["user"] == "debian"
    identity = Path(made["facts"]["identity"])
    assert identity.stat().st_mode & 0o777 == 0o600
    (public,) = stack.keys.values()
    assert identity.with_name("machines.pub").read_text().startswith(public)
    assert PASSWORD not in str(made)
    again = runners["mc_machine.create"]("stack", "node7", "debian-12", "small")
    assert again["changes"] == {}
    assert again["facts"]["address"] == "198.51.100.5"
    assert list(runners["mc_machine.list"]("stack")) == ["node7"]

    cloud = Cloud(Settings.configured({"corpus": {"home": str(tmp_path / "home")}}))
    with cloud.registry.session() as session:
        session.add(ComputeNode(name="node7.corpus.test", minion_id="node7", host="198.51.100.5"))
    refused = runners["mc_machine.destroy"]("stack", "node7")
    assert refused["retcode"] == 1
    assert "is the compute node node7.corpus.test: mc_compute_node.unlink it first" in refused["comment"]
    assert len(stack.servers) == 1
    with cloud.registry.session() as session:
        session.query(ComputeNode).delete()
    assert runners["mc_machine.destroy"]("stack", "node7")["changes"]
    assert stack.servers == {}
    assert runners["mc_machine.destroy"]("stack", "node7")["changes"] == {}


def test_what_cannot_be_is_one_sentence(runners: Any, stack: OpenStack) -> None:
    for words, sentence in (
        (("moon", "node7", "debian-12", "small"), "has no 'moon' in corpus_clouds: there are stack"),
        (("stack", "Node 7", "debian-12", "small"), "cannot name a machine"),
        (("stack", "node7", "", "small"), "name its image"),
        (("stack", "node7", "windows", "small"), "The cloud has no image 'windows'"),
    ):
        try:
            said = str(runners["mc_machine.create"](*words)["comment"])
        except CommandExecutionError as err:
            said = str(err)
        assert sentence in said
        assert "Traceback" not in said
    stack.refuses = "Quota exceeded"
    report = runners["mc_machine.create"]("stack", "node7", "debian-12", "small")
    assert report["result"] is False
    assert "Quota exceeded" in report["comment"]
    assert stack.servers == {}
