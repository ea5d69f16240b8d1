"""``salt-run mc_dns``, as a person on the controller calls it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import yaml
from corpus.controller import names, operations
from corpus.controller.cloud import Cloud
from corpus.controller.registry.models import ComputeNode, DnsName
from corpus.controller.settings import Settings
from salt.exceptions import CommandExecutionError

from tests import powerdns
from tests.machine import CHECKOUT, Ended, run
from tests.powerdns import PowerDns

pytestmark = pytest.mark.skipif(powerdns.MISSING is not None, reason=str(powerdns.MISSING))


class Controller:
    """A master's configuration; ``salt-run`` needs no more."""

    def __init__(self, folder: Path, dns: PowerDns | None) -> None:
        self.folder, self.dns = folder, dns
        self._runners: Any = None
        self.corpus: dict[str, Any] = {"home": str(folder / "home"), "nameservers": ["ns1.corpus.test"]}
        if dns is not None:
            self.corpus["dns"] = {"url": dns.url, "api_key_file": str(dns.key_file)}
        (folder / "home").mkdir()
        (folder / "var/cache/salt/master/proc").mkdir(parents=True)  # as a master that ran once leaves it
        master = {"root_dir": str(folder), "module_dirs": [str(CHECKOUT)], "corpus": self.corpus}
        (folder / "master").write_text(yaml.safe_dump({**master, "user": "root", "log_level_logfile": "quiet"}))

    @property
    def cloud(self) -> Cloud:
        return Cloud(Settings.configured({"corpus": self.corpus}))

    def ok(self, function: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a runner through Salt's loader."""
        if self._runners is None:
            self._runners = salt.loader.runner(salt.config.master_config(str(self.folder / "master")))
        return self._runners[f"mc_dns.{function}"](*arguments, **keywords)

    def refused(self, function: str, *arguments: Any, **keywords: Any) -> str:
        """What a call that must fail says."""
        try:
            report = self.ok(function, *arguments, **keywords)
        except CommandExecutionError as err:
            return str(err)
        assert report["result"] is False, report
        assert report["retcode"] == 1
        return str(report["comment"])

    def run(self, function: str, *words: str) -> Ended:
        """Call it as a person does."""
        program = Path(sys.executable).with_name("salt-run")
        return run(
            [str(program), "-c", str(self.folder), "--out=json", "--log-level=critical", f"mc_dns.{function}", *words]
        )


@pytest.fixture(scope="module")
def dns() -> Iterator[PowerDns]:
    with powerdns.powerdns() as made:
        yield made


@pytest.fixture
def controller(tmp_path: Path, dns: PowerDns) -> Iterator[Controller]:
    made = Controller(tmp_path, dns)
    made.cloud.registry.upgrade()
    yield made
    for zone in dns.call("GET", "zones").json():
        dns.call("DELETE", f"zones/{zone['id']}")


def test_zones_and_names_from_the_command_line(controller: Controller, dns: PowerDns) -> None:
    """A zone is made, names added, changed, shown, signed, exported, removed; each twice is the same as once."""
    assert controller.ok("create_zone", test=True)["changes"]
    assert dns.status("corpus.test") == "REFUSED"
    assert controller.ok("create_zone")["changes"]
    assert controller.ok("create_zone")["changes"] == {}
    assert controller.ok("create_zone", "192.0.2.0/24")["name"] == "zone:2.0.192.in-addr.arpa"
    assert sorted(controller.ok("zones")) == ["2.0.192.in-addr.arpa", "corpus.test"]

    planned = controller.ok("add", "corpus.test", "MX", ["10 mx1.example.org", "20 mx2.example.org"], test=True)
    assert planned["changes"]
    assert dns.dig("corpus.test", "MX") == []
    report = controller.ok("add", "corpus.test", "MX", ["10 mx1.example.org", "20 mx2.example.org"], ttl=300)
    assert report["result"] is True
    assert dns.dig("corpus.test", "MX") == ["10 mx1.example.org.", "20 mx2.example.org."]
    assert controller.ok("add", "corpus.test", "MX", "10 mx1.example.org")["changes"] == {}
    assert controller.ok("add", "192.0.2.1", "PTR", "www.corpus.test")["changes"]
    assert dns.dig("1.2.0.192.in-addr.arpa", "PTR") == ["www.corpus.test."]
    listed = controller.ok("records", "corpus.test")["corpus.test"]
    assert listed["corpus.test MX"] == {
        "values": ["10 mx1.example.org.", "20 mx2.example.org."],
        "ttl": 300,
        "ours": True,
    }
    assert listed["corpus.test NS"]["ours"] is False

    assert controller.ok("dnssec", "corpus.test", on=True, test=True)["changes"]
    assert controller.ok("dnssec", "corpus.test")["facts"]["ds"] == []
    signed = controller.ok("dnssec", "corpus.test", on=True, caller="ada")
    assert signed["facts"]["ds"]
    assert controller.ok("dnssec", "corpus.test")["facts"] == signed["facts"]
    again = controller.ok("dnssec", "corpus.test", on=True)
    assert (again["changes"], again["facts"]) == ({}, signed["facts"])
    assert "corpus.test.\t300\tIN\tMX\t10 mx1.example.org." in controller.ok("export", "corpus.test")

    controller.ok("remove", "corpus.test", "MX", "20 mx2.example.org")
    assert dns.dig("corpus.test", "MX") == ["10 mx1.example.org."]
    assert controller.ok("remove", "corpus.test", "MX", test=True)["changes"]
    controller.ok("remove", "corpus.test", "MX")
    assert dns.dig("corpus.test", "MX") == []
    assert controller.ok("remove", "corpus.test", "MX")["changes"] == {}
    assert controller.ok("delete_zone", "192.0.2.0/24", test=True)["changes"]
    assert dns.status("2.0.192.in-addr.arpa", "SOA") == "NOERROR"
    assert controller.ok("delete_zone", "192.0.2.0/24")["changes"]
    assert controller.ok("delete_zone", "2.0.192.in-addr.arpa")["changes"] == {}
    kept = {(row["kind"], row["subject"]) for row in operations.listed(controller.cloud)}
    zone = "zone:2.0.192.in-addr.arpa"
    assert {("dns.create_zone", zone), ("dns.delete_zone", zone), ("dns.dnssec", "zone:corpus.test")} <= kept
    assert dns.status("2.0.192.in-addr.arpa", "SOA") == "REFUSED"


def test_the_registry_is_compared_and_applied(controller: Controller, dns: PowerDns) -> None:
    controller.ok("create_zone")
    with controller.cloud.registry.session() as session:
        node = ComputeNode(name="node1.corpus.test", minion_id="node1", host="a", address="192.0.2.10")
        session.add_all(
            [node, DnsName(fqdn="node1.corpus.test", node=node), DnsName(fqdn="*.node1.corpus.test", node=node)]
        )
    wanted = {f"{name} A": {"old": "", "new": "60 192.0.2.10"} for name in ("node1.corpus.test", "*.node1.corpus.test")}
    assert controller.ok("plan")["changes"] == wanted
    assert controller.ok("apply", test=True)["changes"] == {"names": "would be done"}
    assert controller.ok("apply")["changes"] == {"names": wanted}
    assert controller.ok("apply", "corpus.test")["changes"] == {}
    assert dns.dig("shop.node1.corpus.test") == ["192.0.2.10"]
    assert "is that of a machine" in controller.refused("add", "node1.corpus.test", "A", "192.0.2.1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "www.corpus.test", "A", "one"), "is not an IPv4 address"),
        (("add", "www.corpus.test", "A", "192.0.2.1", "ttl=-1"), "cannot be a TTL"),
        (("add", "www.corpus.test", "SOA", "x"), "is no type of record"),
        (("remove", "www.corpus.test", "x"), "is no type of record"),
        (("add", "www.elsewhere.test", "A", "192.0.2.1"), "No zone of"),
        (("add", "corpus.test", "NS", "ns.example.org"), "see mc_dns.create_zone"),
        (("add", "theirs.corpus.test", "A", "192.0.2.1"), "was made by somebody else"),
        (("create_zone", "10.64.0.0/20"), "has no reverse zone of its own"),
        (("create_zone", "other.test", "nameservers=[ns1]"), "is not the whole name of a host"),
        (("apply", "none.test"), "There is no zone none.test"),
        (("export", "none.test"), "There is no zone none.test"),
        (("dnssec", "none.test", "on=True"), "There is no zone none.test"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    controller: Controller, dns: PowerDns, words: tuple[str, ...], sentence: str
) -> None:
    """The exit status tells; nothing is left in the registry or the zone; the key is nowhere."""
    names_before = self_made(controller, dns)
    arguments = [word for word in words if "=" not in word]
    said = controller.refused(*arguments, **dict(word.split("=") for word in words if "=" in word))
    assert sentence in said
    assert dns.key not in said
    with controller.cloud.registry.reading() as session:
        assert session.query(DnsName).count() == 0
    assert controller.dns is not None
    assert names.listed(controller.cloud) == names_before


def self_made(controller: Controller, dns: PowerDns) -> dict[str, Any]:
    """A zone, and somebody else's record in it."""
    controller.ok("create_zone")
    rrset = {"name": "theirs.corpus.test.", "type": "A", "ttl": 60, "changetype": "REPLACE"}
    rrset["records"] = [{"content": "192.0.2.50", "disabled": False}]
    assert dns.call("PATCH", "zones/corpus.test.", rrsets=[rrset]).ok
    return names.listed(controller.cloud)


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    assert "set corpus.dns in the master's configuration" in Controller(tmp_path, None).refused("zones")


def test_from_the_command_line(controller: Controller, dns: PowerDns) -> None:
    """The exit status tells whether it worked, and a refusal is one sentence."""
    made = controller.run("create_zone")
    assert made.status == 0, made.said
    ended = controller.run("add", "corpus.test", "MX", "[10 mx1.example.org, 20 mx2.example.org]", "ttl=300")
    assert ended.status == 0, ended.said
    assert json.loads(ended.output)["result"] is True
    assert dns.dig("corpus.test", "MX") == ["10 mx1.example.org.", "20 mx2.example.org."]
    for words in (("add", "www.corpus.test", "A", "one"), ("add", "www.elsewhere.test", "A", "192.0.2.1")):
        refused = controller.run(*words)
        assert refused.status == 1, refused.said
        assert "Traceback" not in refused.said
        assert dns.key not in refused.said


_KILLED = """
import json, os, signal, sys
from corpus.controller import names, operations
from corpus.controller.cloud import Cloud
from corpus.controller.dns.powerdns import Server
from corpus.controller.settings import Settings
from salt.exceptions import CommandExecutionError
patch = Server.patch
def killed(self, *arguments):
    if sys.argv[2] == "after":
        patch(self, *arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Server.patch = killed
cloud = Cloud(Settings.configured({"corpus": json.loads(sys.argv[1])}))
operations.run(cloud, "dns.add", {"name": "www.corpus.test", "type": "A", "values": ["192.0.2.1"]}, "ada")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_addition_is_finished(controller: Controller, dns: PowerDns, moment: str) -> None:
    controller.ok("create_zone")
    killed = subprocess.run([sys.executable, "-c", _KILLED, json.dumps(controller.corpus), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    (report,) = operations.resume(controller.cloud)
    assert report["result"] is True
    assert dns.dig("www.corpus.test") == ["192.0.2.1"]
    assert names.synchronize(controller.cloud, plan=True) == {}
