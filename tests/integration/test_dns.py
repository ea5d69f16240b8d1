"""Names in a real PowerDNS, on both of its databases, as ``dig`` sees them."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.controller import names, operations
from corpus.controller.cloud import Cloud
from corpus.controller.dns import records, zones
from corpus.controller.dns.powerdns import Server
from corpus.controller.dns.records import Record
from corpus.controller.registry.models import ComputeNode, DnsName, Guest
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, Locked, UsageError
from sqlalchemy.engine import make_url

from tests import powerdns
from tests.machine import run
from tests.powerdns import PowerDns
from tests.registries import Databases, databases, registry_at

pytestmark = pytest.mark.skipif(powerdns.MISSING is not None, reason=str(powerdns.MISSING))

ZONE = "corpus.test"
NS = ["ns1.corpus.test", "ns2.corpus.test"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Databases]:
    with databases() as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def dns(request: pytest.FixtureRequest, postgres: Databases) -> Iterator[PowerDns]:
    """A server that the tests of this module share; each makes its own zone."""
    connection = ""
    if request.param == "postgresql":
        url = make_url(postgres.new())
        connection = (
            f"host={url.host} port={url.port} dbname={url.database} user={url.username} password={url.password}"
        )
    with powerdns.powerdns(connection) as made:
        yield made


@pytest.fixture
def server(dns: PowerDns) -> Iterator[Server]:
    """As the controller talks to it; a test's zones are gone afterwards."""
    made = Server(dns.url, dns.key_file)
    yield made
    for zone in made.zones():
        made.delete(zone.name)


def foreign(dns: PowerDns, name: str, kind: str, value: str, zone: str = ZONE) -> None:
    """Write as somebody else would."""
    rrset = {"name": f"{name}.", "type": kind, "ttl": 60, "changetype": "REPLACE"}
    rrset["records"] = [{"content": value, "disabled": False}]
    answer = dns.call("PATCH", f"zones/{zone}.", rrsets=[rrset])
    assert answer.status_code == 204, answer.text


def test_records_of_anything_are_answered_and_written_once(dns: PowerDns, server: Server) -> None:
    """Every type, as dig shows it; a second time nothing is sent, and the serial stays."""
    zones.create(server, ZONE, NS)
    zones.create(server, "2.0.192.in-addr.arpa", NS)
    zones.create(server, "2001:db8::/32", NS)
    wanted = [
        Record("www.corpus.test", "A", ("192.0.2.1", "192.0.2.2")),
        Record("www.corpus.test", "AAAA", ("2001:DB8::1",)),
        Record("alias.corpus.test", "CNAME", ("www.corpus.test",)),
        Record(ZONE, "TXT", ("v=spf1 -all", 'ü "quoted" \\ ' + "x" * 300)),
        Record("_sip._tcp.corpus.test", "SRV", ("0 5 5060 www.corpus.test",)),
        Record(ZONE, "MX", ("10 www.corpus.test", "20 mail.example.org")),
        Record(ZONE, "CAA", ('0 issue "letsencrypt.org"',)),
        Record("sub.corpus.test", "NS", ("ns.example.org",)),
        Record("*.apps.corpus.test", "A", ("192.0.2.3",)),
        Record("192.0.2.1", "PTR", ("www.corpus.test",)),
        Record("2001:db8::1", "PTR", ("www.corpus.test",)),
    ]
    planned = zones.reconcile_all(wanted, server, plan=True)
    assert dns.status("www.corpus.test") == "NXDOMAIN"
    done = zones.reconcile_all(wanted, server)
    assert planned == done
    assert sum(len(one.added) for one in done) == len(wanted)
    assert dns.dig("www.corpus.test") == ["192.0.2.1", "192.0.2.2"]
    assert dns.dig("www.corpus.test", "AAAA") == ["2001:db8::1"]
    assert "www.corpus.test." in dns.dig("alias.corpus.test", "CNAME")
    assert dns.dig("_sip._tcp.corpus.test", "SRV") == ["0 5 5060 www.corpus.test."]
    assert dns.dig(ZONE, "MX") == ["10 www.corpus.test.", "20 mail.example.org."]
    assert dns.dig(ZONE, "CAA") == ['0 issue "letsencrypt.org"']
    assert dns.dig("a.b.apps.corpus.test") == ["192.0.2.3"]
    assert dns.dig("1.2.0.192.in-addr.arpa", "PTR") == ["www.corpus.test."]
    assert dns.dig(records.reverse("2001:db8::1"), "PTR") == ["www.corpus.test."]
    long, short = dns.dig(ZONE, "TXT", "+tcp")
    assert short == '"v=spf1 -all"'
    assert long.startswith('"\\195\\188 \\"quoted\\" \\\\ xxx')
    assert long.count('" "') == 1

    serials = [dns.serial(zone.name) for zone in server.zones()]
    again = zones.reconcile_all(wanted, server)
    assert not any(again)
    assert sum(one.kept for one in again) == len(wanted)
    assert [dns.serial(zone.name) for zone in server.zones()] == serials


def test_what_changed_is_changed_and_what_is_gone_goes(dns: PowerDns, server: Server) -> None:
    zones.create(server, ZONE, NS)
    zones.reconcile(
        [Record("a.corpus.test", "A", ("192.0.2.1",)), Record("b.corpus.test", "A", ("192.0.2.1",))], ZONE, server
    )
    found = zones.reconcile([Record("a.corpus.test", "A", ("192.0.2.9",), 30)], ZONE, server)
    assert found.changes == {
        "a.corpus.test A": {"old": "60 192.0.2.1", "new": "30 192.0.2.9"},
        "b.corpus.test A": {"old": "60 192.0.2.1", "new": ""},
    }
    assert dns.dig("a.corpus.test") == ["192.0.2.9"]
    assert dns.status("b.corpus.test") == "NXDOMAIN"
    # an address becomes an alias, and an address again, in one go
    zones.reconcile([Record("a.corpus.test", "CNAME", ("www.example.org",))], ZONE, server)
    assert dns.dig("a.corpus.test", "CNAME") == ["www.example.org."]
    zones.reconcile([Record("a.corpus.test", "A", ("192.0.2.9",))], ZONE, server)
    assert dns.dig("a.corpus.test") == ["192.0.2.9"]
    zones.reconcile([], ZONE, server)
    assert dns.dig(ZONE, "NS") == ["ns1.corpus.test.", "ns2.corpus.test."]


def test_records_of_others_are_never_touched(dns: PowerDns, server: Server) -> None:
    zones.create(server, ZONE, NS)
    foreign(dns, "theirs.corpus.test", "A", "192.0.2.50")
    foreign(dns, "alias.corpus.test", "CNAME", "www.example.org.")
    ours = Record("ours.corpus.test", "A", ("192.0.2.1",))
    zones.reconcile([ours, Record("theirs.corpus.test", "TXT", ("beside it",))], ZONE, server)
    assert dns.dig("theirs.corpus.test", "TXT") == ['"beside it"']
    serial = dns.serial(ZONE)
    for wish in (Record("theirs.corpus.test", "A", ("192.0.2.1",)), Record("alias.corpus.test", "A", ("192.0.2.1",))):
        for plan in (True, False):
            with pytest.raises(CorpusError, match=rf"{wish.name} (A|CNAME) was made by somebody else") as refused:
                zones.reconcile([wish], ZONE, server, plan=plan)
            assert "Traceback" not in str(refused.value)
    assert dns.serial(ZONE) == serial  # nothing of ours was deleted either
    # what they wrote as we want it is left as it is, and left to them
    assert zones.reconcile([ours, Record("theirs.corpus.test", "A", ("192.0.2.50",))], ZONE, server).kept == 2
    zones.reconcile([], ZONE, server)
    assert dns.dig("theirs.corpus.test") == ["192.0.2.50"]
    assert dns.dig("alias.corpus.test", "CNAME") == ["www.example.org."]
    assert dns.dig("ours.corpus.test") == []
    with pytest.raises(UsageError, match="has records of others"):
        zones.delete(server, ZONE)


def test_some_names_alone_can_be_reconciled(dns: PowerDns, server: Server) -> None:
    """Another name that is in somebody's way, or not wanted any more, does not matter then."""
    zones.create(server, ZONE, NS)
    zones.reconcile([Record("old.corpus.test", "A", ("192.0.2.1",))], ZONE, server)
    foreign(dns, "theirs.corpus.test", "A", "192.0.2.50")
    wanted = [Record("theirs.corpus.test", "A", ("192.0.2.1",)), Record("new.corpus.test", "A", ("192.0.2.2",))]
    found = zones.reconcile(wanted, ZONE, server, only=["new.corpus.test"])
    assert list(found.changes) == ["new.corpus.test A"]
    assert dns.dig("old.corpus.test") == ["192.0.2.1"]
    assert dns.dig("new.corpus.test") == ["192.0.2.2"]
    zones.reconcile([], ZONE, server, only=["new.corpus.test"])
    assert dns.status("new.corpus.test") == "NXDOMAIN"
    assert not zones.reconcile(wanted, ZONE, server, only=["elsewhere.test"])


def test_a_clients_own_zone_is_left_to_them(dns: PowerDns, server: Server) -> None:
    ours = Record("shop.corpus.test", "A", ("192.0.2.1",))
    theirs = [Record("www.client.org", "A", ("192.0.2.1",)), Record("www.client.org", "AAAA", ("2001:db8::1",))]
    with pytest.raises(CorpusError, match=r"No zone of .* has shop\.corpus\.test, www\.client\.org"):
        zones.reconcile_all([ours, *theirs], server)
    zones.create(server, ZONE, NS)
    done = zones.reconcile_all([ours, *theirs], server)
    assert [list(found.changes) for found in done] == [["shop.corpus.test A"]]
    only = ["www.client.org", "shop.corpus.test"]
    left: list[Record] = []
    assert not any(zones.reconcile_all([ours, *theirs], server, only=only, left=left.append))
    assert left == theirs
    with pytest.raises(CorpusError, match=r"No zone of .* has client\.org: mc_dns\.create_zone"):
        zones.reconcile_all([ours, *theirs, Record("client.org", "TXT", ("a word",))], server)


def test_what_cannot_be_is_one_sentence(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no zone corpus\.test on the DNS server"):
        zones.reconcile([], ZONE, server)
    with pytest.raises(CorpusError, match=r"No zone of .* has www\.corpus\.test"):
        zones.reconcile_all([Record("www.corpus.test", "A", ("192.0.2.1",))], server)
    zones.create(server, ZONE, NS)
    address = Record("a.corpus.test", "A", ("192.0.2.1",))
    with pytest.raises(UsageError, match="a CNAME stands alone"):
        zones.reconcile([address, Record("a.corpus.test", "CNAME", ("b.corpus.test",))], ZONE, server)
    with pytest.raises(UsageError, match="two different A records"):
        zones.reconcile([address, Record("a.corpus.test", "A", ("192.0.2.2",))], ZONE, server)
    with pytest.raises(UsageError, match=r"NS of the zone corpus\.test itself"):
        zones.reconcile([Record(ZONE, "NS", ("ns.example.org",))], ZONE, server)

    (tmp_path / "key").write_text("wrong")
    with pytest.raises(UsageError, match="is open to others"):
        Server(dns.url, tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UsageError, match="must hold the api-key") as refused:
        Server(dns.url, tmp_path / "key").zones()
    assert dns.key not in str(refused.value)
    with pytest.raises(UsageError, match="cannot be read"):
        Server(dns.url, tmp_path / "none")
    assert dns.key not in repr(server)


def test_a_zone_is_made_changed_and_deleted(dns: PowerDns, server: Server) -> None:
    assert zones.create(server, ZONE, NS, plan=True)
    assert dns.status(ZONE) == "REFUSED"
    assert zones.create(server, ZONE, NS, hostmaster="dns.master@example.org")
    soa = dns.dig(ZONE, "SOA")[0].split()
    assert soa[:2] == ["ns1.corpus.test.", "dns\\.master.example.org."]
    assert int(soa[2]) > 0
    assert soa[-1] == "60"
    assert zones.create(server, ZONE, NS, hostmaster="dns.master@example.org") == {}
    assert zones.create(server, ZONE, ["ns3.corpus.test"])
    assert dns.dig(ZONE, "NS") == ["ns3.corpus.test."]
    assert zones.delete(server, ZONE)
    assert zones.delete(server, ZONE) == {}
    assert dns.status(ZONE) == "REFUSED"

    assert dns.call("POST", "zones", name="theirs.test.", kind="Native", nameservers=["ns1.theirs.test."]).ok
    assert zones.create(server, "theirs.test", ["ns1.theirs.test"]) == {}
    with pytest.raises(UsageError, match="made by somebody else"):
        zones.create(server, "theirs.test", NS)
    with pytest.raises(UsageError, match="made by somebody else"):
        zones.delete(server, "theirs.test")
    assert zones.delete(server, "theirs.test", force=True)


def test_a_zone_is_signed(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    """A validating resolver, given what the zone above would have, believes the answers."""
    zones.create(server, ZONE, NS)
    zones.reconcile([Record("www.corpus.test", "A", ("192.0.2.1",))], ZONE, server)
    assert zones.sign(server, ZONE, plan=True)["changes"]
    signed = zones.sign(server, ZONE)
    assert signed["changes"]
    assert signed["ds"]
    assert zones.sign(server, ZONE) == {"changes": {}, "ds": signed["ds"]}
    digests = [ds.split() for ds in signed["ds"]]
    sha256 = next(words for words in digests if words[6] == "2")
    anchor = tmp_path / "anchor"
    anchor.write_text(f'trust-anchors {{ "{ZONE}" static-ds {sha256[4]} {sha256[5]} 2 "{sha256[7]}"; }};\n')
    for name, words in (
        ("www.corpus.test", "fully validated"),
        ("none.corpus.test", "negative response, fully validated"),
    ):
        asked = run(["delv", "@127.0.0.1", "-p", str(dns.port), "-a", str(anchor), f"+root={ZONE}", name, "A"])
        assert words in asked.said, asked.said
    assert zones.sign(server, ZONE, on=False) == {
        "changes": {ZONE: {"old": "signed", "new": "not signed"}},
        "ds": [],
    }
    assert dns.dig(ZONE, "DNSKEY") == []


def test_an_export_is_a_zone_file(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    """Another server loads it and has the same."""
    zones.create(server, ZONE, NS)
    foreign(dns, "theirs.corpus.test", "A", "192.0.2.50")
    wanted = [
        Record("b.corpus.test", "A", ("192.0.2.1",)),
        Record("*.a.corpus.test", "CNAME", ("b.corpus.test",)),
        Record(ZONE, "TXT", ('ü "quoted"; \\ ' + "x" * 300,)),
        Record(ZONE, "MX", ("10 b.corpus.test",)),
    ]
    zones.reconcile(wanted, ZONE, server)
    text = zones.export(server, ZONE)
    lines = text.splitlines()
    assert lines[0] == "$ORIGIN corpus.test."
    assert lines[1].split()[3] == "SOA"
    assert [line.split()[3] for line in lines[2:4]] == ["NS", "NS"]
    (tmp_path / "zone").write_text(text)
    with powerdns.powerdns() as other:
        loaded = run(["pdnsutil", f"--config-dir={other.folder}", "load-zone", ZONE, str(tmp_path / "zone")])
        assert loaded.status == 0, loaded.said
        assert zones.export(Server(other.url, other.key_file), ZONE) == text


def _write(number: int, folder: str, dns_url: str, key_file: str) -> None:
    """One of several writers: a name into the registry, then the registry into the zone."""
    registry = Registry(f"sqlite:///{folder}/registry.sqlite3", Path(folder) / "secrets.key")
    server = Server(dns_url, Path(key_file))
    for turn in range(4):
        name = f"w{number}-{turn}.corpus.test"
        with registry.session() as session:
            session.add(DnsName(fqdn=name, values=[f"192.0.2.{number}"]))

        def wanted() -> list[Record]:
            with registry.reading() as session:
                found = records.of(session)
            time.sleep(0.02)  # for the others to write in, if they could
            return found

        zones.reconcile_all(wanted, server, only=[name] if turn % 2 else None)
        assert any(one.name == name for one in server.rrsets(ZONE, [name])), name


def test_eight_writers_lose_nothing(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    zones.create(server, ZONE, NS)
    with registry_at(tmp_path):
        pass
    context = multiprocessing.get_context("spawn")
    arguments = (str(tmp_path), dns.url, str(dns.key_file))
    writers = [context.Process(target=_write, args=(number, *arguments)) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 8
    there = {one.name: one.values for one in server.rrsets(ZONE) if one.type == "A"}
    assert there == {
        f"w{number}-{turn}.corpus.test": (f"192.0.2.{number}",) for number in range(1, 9) for turn in range(4)
    }
    for number in range(1, 9):
        assert dns.dig(f"w{number}-3.corpus.test") == [f"192.0.2.{number}"]


def test_what_was_computed_before_another_wrote_is_not_written_after(dns: PowerDns, server: Server) -> None:
    zones.create(server, ZONE, NS)
    old = Record("old.corpus.test", "A", ("192.0.2.1",))
    computed, written = threading.Event(), threading.Event()

    def slowly() -> list[Record]:
        computed.set()
        written.wait(1)  # the other one must not get that far
        return [old]

    def other() -> None:
        computed.wait(10)
        zones.reconcile([old, Record("new.corpus.test", "A", ("192.0.2.2",))], ZONE, Server(dns.url, dns.key_file))
        written.set()

    writer = threading.Thread(target=other)
    writer.start()
    zones.reconcile(slowly, ZONE, server)
    writer.join(30)
    assert dns.dig("new.corpus.test") == ["192.0.2.2"]


def test_a_failing_server_is_asked_again(dns: PowerDns, server: Server) -> None:
    """Others write at the same time, without our lock; the server answers some with 500."""
    zones.create(server, ZONE, NS)
    program = (
        "import sys, requests\n"
        "url, key, number = sys.argv[1:]\n"
        "for turn in range(40):\n"
        "    rrset = {'name': f'x{number}.corpus.test.', 'type': 'A', 'ttl': turn + 1, 'changetype': 'REPLACE',"
        " 'records': [{'content': '192.0.2.9', 'disabled': False}]}\n"
        "    requests.patch(url + '/api/v1/servers/localhost/zones/corpus.test.', json={'rrsets': [rrset]},"
        " headers={'X-API-Key': key})\n"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", program, dns.url, dns.key, str(number)], stderr=subprocess.DEVNULL)
        for number in range(2)
    ]
    try:
        for turn in range(10):
            zones.reconcile([Record(f"r{at}.corpus.test", "A", ("192.0.2.1",)) for at in range(turn + 1)], ZONE, server)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert len([one for one in server.rrsets(ZONE) if one.ours]) == 10


def test_writers_take_turns(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpus.controller.dns import powerdns as room

    monkeypatch.setattr(room, "QUEUE", 0.2)
    with (
        server.writing(),
        pytest.raises(Locked, match="Another process writes"),
        Server(server.url, server.key_file).writing(),
    ):
        pass
    with server.writing():
        assert server.lock.stat().st_mode & 0o777 == 0o600


def test_a_server_that_is_gone_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpus.controller.dns import powerdns as room

    monkeypatch.setattr(room, "PATIENCE", 0.3)
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text("key")
    with pytest.raises(CorpusError, match="it does not answer"):
        Server("http://127.0.0.1:9", tmp_path / "key").zones()
    with pytest.raises(UsageError, match="cannot be asked"):
        Server("nonsense", tmp_path / "key").zones()


def test_a_guest_is_registered_moves_and_goes(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    """From the registry: the guest's name leads to its node; on another node, there; deleted, nowhere."""
    zones.create(server, ZONE, NS)
    zones.create(server, "10.64.0.0/16", NS)
    with registry_at(tmp_path) as registry:

        def wanted() -> list[Record]:
            with registry.reading() as session:
                return records.of(session)

        with registry.session() as session:
            one = ComputeNode(name="node1.corpus.test", minion_id="node1", host="a", address="192.0.2.10")
            two = ComputeNode(name="node2.corpus.test", minion_id="node2", host="b", address="192.0.2.20")
            shop = Guest(name="shop", minion_id="shop.corpus.test", node=one, address="10.64.1.2")
            session.add_all([one, two, shop, DnsName(fqdn="shop.corpus.test", guest=shop)])
        zones.reconcile_all(wanted, server)
        assert dns.dig("shop.corpus.test") == ["192.0.2.10"]
        assert dns.dig("2.1.64.10.in-addr.arpa", "PTR") == ["shop.corpus.test."]
        with registry.session() as session:
            session.add(shop)
            shop.node, shop.address = two, "10.64.2.2"
        zones.reconcile_all(wanted, server)
        assert dns.dig("shop.corpus.test") == ["192.0.2.20"]
        assert dns.dig("2.1.64.10.in-addr.arpa", "PTR") == []
        assert dns.dig("2.2.64.10.in-addr.arpa", "PTR") == ["shop.corpus.test."]
        with registry.session() as session:
            session.delete(session.get_one(Guest, shop.id))
        zones.reconcile_all(wanted, server)
    assert dns.status("shop.corpus.test") == "NXDOMAIN"
    assert dns.dig("2.2.64.10.in-addr.arpa", "PTR") == []


def test_an_operation_registers_its_own_names_alone(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    """What else differs waits for ``mc_dns.apply``: an operation takes as long with many guests as with few."""
    zones.create(server, ZONE, NS)
    zones.create(server, "10.64.0.0/16", NS)
    key = {"url": dns.url, "api_key_file": str(dns.key_file)}
    cloud = Cloud(Settings.configured({"corpus": {"home": str(tmp_path), "dns": key}}))
    cloud.registry.upgrade()
    with cloud.registry.session() as session:
        node = ComputeNode(name="node1.corpus.test", minion_id="node1", host="a", address="192.0.2.10")
        shop = Guest(name="shop", minion_id="shop.corpus.test", node=node, address="10.64.1.2")
        blog = Guest(name="blog", minion_id="blog.corpus.test", node=node, address="10.64.1.3")
        session.add_all([node, shop, blog])
        session.add_all([DnsName(fqdn=f"{one.name}.corpus.test", guest=one) for one in (shop, blog)])
    changes = names.synchronize(cloud, ["shop.corpus.test", "10.64.1.2"])
    assert sorted(changes) == ["2.1.64.10.in-addr.arpa PTR", "shop.corpus.test A"]
    assert names.synchronize(cloud, ["shop.corpus.test", "10.64.1.2"]) == {}
    assert dns.dig("blog.corpus.test") == []
    assert sorted(names.synchronize(cloud)) == ["3.1.64.10.in-addr.arpa PTR", "blog.corpus.test A"]
    with cloud.registry.session() as session:
        session.delete(session.get_one(Guest, shop.id))
    assert sorted(names.synchronize(cloud, ["shop.corpus.test", "10.64.1.2"])) == sorted(changes)
    assert dns.status("shop.corpus.test") == "NXDOMAIN"
    assert dns.dig("blog.corpus.test") == ["192.0.2.10"]


def test_what_is_in_no_zone_of_ours_is_told(dns: PowerDns, server: Server, tmp_path: Path) -> None:
    zones.create(server, ZONE, NS)
    key = {"url": dns.url, "api_key_file": str(dns.key_file)}
    cloud = Cloud(Settings.configured({"corpus": {"home": str(tmp_path), "dns": key}}))
    cloud.registry.upgrade()
    with cloud.registry.session() as session:
        node = ComputeNode(name="node1.corpus.test", minion_id="node1", host="a", address="192.0.2.10")
        shop = Guest(name="shop", minion_id="shop.corpus.test", node=node, address="10.64.1.2", address6="fd00:64:1::2")
        session.add_all([node, shop, DnsName(fqdn="shop.corpus.test", guest=shop)])
    report = operations.run(cloud, "dns.apply", {}, "ada")
    six = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.4.6.0.0.0.0.d.f.ip6.arpa"
    (note,) = report["notes"]
    assert f"No reverse zone of ours has the PTR 10.2.0.192.in-addr.arpa, {six}, 2.1.64.10.in-addr.arpa" in note
    for network in (cloud.settings.guest_network, cloud.settings.guest_network6):
        zone = zones.reverse_of(network)
        assert zone is not None
        zones.create(server, zone, NS)
    report = operations.run(cloud, "dns.apply", {}, "ada")
    assert (len(report["changes"]["names"]), "PTR 10.2.0.192.in-addr.arpa: left out" in report["notes"][0]) == (2, True)
    assert dns.dig("2.1.64.10.in-addr.arpa", "PTR") == ["shop.corpus.test."]
    linked = operations.run(cloud, "compute_node.link_dns", {"node": "node1", "fqdn": "www.client.org"}, "ada")
    assert (linked["result"], linked["notes"]) == (
        True,
        ["No zone of ours has www.client.org: their people point them to the node."],
    )


def test_a_large_zone_goes_in_portions(dns: PowerDns, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpus.controller.dns import powerdns as room

    monkeypatch.setattr(room, "_BODY", 2000)
    zones.create(server, ZONE, NS)
    zones.reconcile([Record(f"n{at}.corpus.test", "CNAME", ("www.example.org",)) for at in range(50)], ZONE, server)
    zones.reconcile([Record(f"n{at}.corpus.test", "A", ("192.0.2.1",)) for at in range(60)], ZONE, server)
    assert len([one for one in server.rrsets(ZONE) if one.ours and one.type == "A"]) == 60
    assert os.path.exists(server.lock)
