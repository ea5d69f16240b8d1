"""Records: checked, canonical, computed from the registry."""

import pytest
from corpus.controller.dns import zones
from corpus.controller.dns.records import Record, of
from corpus.controller.registry.models import ComputeNode, DnsName, Guest
from corpus.controller.registry.store import Registry
from corpus.errors import UsageError


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:DB8:0::0001", "2001:db8::1"),
        ("CNAME", "WWW.Example.org", "www.example.org."),
        ("NS", "ns1.example.org.", "ns1.example.org."),
        ("PTR", "www.example.org", "www.example.org."),
        ("MX", "10  mail.example.org", "10 mail.example.org."),
        ("MX", "0 .", "0 ."),
        ("SRV", "0 5 5060 sip.example.org", "0 5 5060 sip.example.org."),
        ("SRV", "0 0 0 .", "0 0 0 ."),
        ("CAA", '0 issue "letsencrypt.org"', '0 issue "letsencrypt.org"'),
        ("CAA", "128  issue letsencrypt.org", '128 issue "letsencrypt.org"'),
        ("CAA", '0 issue ";"', '0 issue ";"'),
        ("TXT", "v=spf1 -all", '"v=spf1 -all"'),
        ("TXT", 'say "hi" \\o/; ü', '"say \\"hi\\" \\\\o/; \\195\\188"'),
        ("TXT", '"one" "two \\"2\\" \\195\\188"', '"one" "two \\"2\\" \\195\\188"'),
        ("TXT", '"plain \\ü"', '"plain \\195\\188"'),
        ("TXT", "", '""'),
        ("TXT", "x" * 300, f'"{"x" * 255}" "{"x" * 45}"'),
        ("TXT", "line\nbreak", '"line\\010break"'),
    ],
)
def test_values_have_one_form(kind: str, given: str, kept: str) -> None:
    record = Record("www.example.org", kind, (given,))
    assert record.values == (kept,)
    assert Record("www.example.org", kind, record.values) == record


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("A", "2001:db8::1", "is not an IPv4 address"),
        ("A", "192.0.2", "is not an IPv4 address"),
        ("A", "192.0.2.01", "is not an IPv4 address"),
        ("AAAA", "192.0.2.1", "is not an IPv6 address"),
        ("AAAA", "fe80::1%eth0", "is not an IPv6 address"),
        ("AAAA", "::ffff:192.0.2.1", "is not an IPv6 address"),
        ("CNAME", "www", "is not the whole name of a host"),
        ("CNAME", "*.example.org", "is not the whole name of a host"),
        ("CNAME", "a b.example.org", "is not a DNS name"),
        ("NS", "192.0.2.1/24", "is not a DNS name"),
        ("MX", "mail.example.org", "write preference and host"),
        ("MX", "70000 mail.example.org", "cannot be the preference"),
        ("SRV", "0 5 sip.example.org", "write priority, weight, port and host"),
        ("SRV", "0 5 -1 sip.example.org", "cannot be the port"),
        ("CAA", "issue letsencrypt.org", "write flags, tag and value"),
        ("CAA", "256 issue letsencrypt.org", "write flags, tag and value"),
        ("CAA", '0 issue "a" "b"', "write flags, tag and value"),
        ("TXT", '"not closed', "is not quoted as in a zone file"),
        ("TXT", '"a" b', "is not quoted as in a zone file"),
        ("TXT", f'"{"x" * 256}"', "more than 255 bytes"),
        ("TXT", '"\\256"', "is no byte"),
        ("TXT", "x" * 20000, "is too long for a TXT"),
        ("SOA", "x", "is no type of record that corpus knows"),
        ("a\n", "x", "is no type of record"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        Record("www.example.org", kind, (value,))
    assert len(str(refused.value)) < 220


@pytest.mark.parametrize("name", ["", ".", "a..b", "-a.b", "a b.c", "www.*.org", "a" * 64 + ".org", "ex/../ample.org"])
def test_names_are_checked(name: str) -> None:
    with pytest.raises(UsageError, match="is not a DNS name"):
        Record(name, "A", ("192.0.2.1",))


@pytest.mark.parametrize("ttl", [0, -1, 2**31, True, "60"])
def test_a_ttl_is_seconds(ttl: object) -> None:
    with pytest.raises(UsageError, match="cannot be a TTL"):
        Record("a.org", "A", ("192.0.2.1",), ttl)  # type: ignore[arg-type]


def test_names_have_one_form() -> None:
    assert Record("WWW.Example.ORG.", "a", ("192.0.2.1",)).key == ("www.example.org", "A")
    assert Record("*.apps.example.org", "A", ("192.0.2.1",)).name == "*.apps.example.org"
    assert Record("_sip._tcp.example.org", "SRV", ("0 0 0 .",)).name == "_sip._tcp.example.org"
    assert Record("192.0.2.1", "PTR", ("a.b",)).name == "1.2.0.192.in-addr.arpa"
    assert Record("2001:db8::1", "PTR", ("a.b",)).name.endswith("8.b.d.0.1.0.0.2.ip6.arpa")


def test_values_are_a_set() -> None:
    values = ("192.0.2.2", "192.0.2.1", "192.0.2.2")
    assert Record("a.org", "A", values).values == ("192.0.2.1", "192.0.2.2")
    with pytest.raises(UsageError, match="has one value"):
        Record("a.org", "CNAME", ("b.org", "c.org"))
    with pytest.raises(UsageError, match="needs a value"):
        Record("a.org", "A", ())


@pytest.mark.parametrize(
    ("network", "zone"),
    [
        ("10.64.1.0/24", "1.64.10.in-addr.arpa"),
        ("10.64.0.0/16", "64.10.in-addr.arpa"),
        ("fd00:64:1::/64", "0.0.0.0.1.0.0.0.4.6.0.0.0.0.d.f.ip6.arpa"),
        ("2001:db8::/32", "8.b.d.0.1.0.0.2.ip6.arpa"),
        ("Corpus.Test.", "corpus.test"),
        ("test", "test"),
    ],
)
def test_a_zone_is_named_by_a_network_too(network: str, zone: str) -> None:
    assert zones.zone_name(network) == zone


@pytest.mark.parametrize("text", ["10.64.0.0/20", "0.0.0.0/0", "10.64.1.5/24", "fd00::/63", "*.corpus.test", "a b", ""])
def test_what_cannot_be_a_zone_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        zones.zone_name(text)


def test_a_name_is_at_home_in_the_innermost_zone() -> None:
    known = ["corpus.test", "apps.corpus.test", "test"]
    assert zones.home("www.apps.corpus.test", known) == "apps.corpus.test"
    assert zones.home("apps.corpus.test", known) == "apps.corpus.test"
    assert zones.home("xapps.corpus.test", known) == "corpus.test"
    assert zones.home("*.apps.corpus.test", known) == "apps.corpus.test"
    assert zones.home("corpus.org", known) is None


def test_the_registry_says_what_names_there_are(registry: Registry) -> None:
    with registry.session() as session:
        one = ComputeNode(
            name="node1.corpus.test",
            minion_id="node1",
            host="192.0.2.10",
            address="192.0.2.10",
            address6="2001:db8::10",
        )
        bare = ComputeNode(name="node2.corpus.test", minion_id="node2", host="node2")
        six = ComputeNode(name="node3.corpus.test", minion_id="node3", host="2001:db8::30", address="2001:db8::30")
        shop = Guest(name="shop", minion_id="shop.corpus.test", node=one, address="10.64.1.2", address6="fd00:64:1::2")
        odd = Guest(name="odd", minion_id="odd", node=one, address="10.64.1.3")
        session.add_all([one, bare, six, shop, odd])
        session.add_all(
            [
                DnsName(fqdn="node1.corpus.test", node=one),
                DnsName(fqdn="*.node1.corpus.test", node=one, ttl=30),
                DnsName(fqdn="node2.corpus.test", node=bare),
                DnsName(fqdn="node3.corpus.test", node=six),
                DnsName(fqdn="shop.corpus.test", guest=shop),
                DnsName(fqdn="four.corpus.test", kind="A", guest=shop),
                DnsName(fqdn="alias.corpus.test", kind="CNAME", guest=shop),
                DnsName(fqdn="both.corpus.test", guest=shop),
                DnsName(fqdn="both.corpus.test", kind="A", values=["192.0.2.99"]),
                DnsName(fqdn="free.corpus.test", values=["192.0.2.1", "2001:db8::1"]),
                DnsName(fqdn="corpus.test", kind="TXT", values=["v=spf1 -all"], ttl=3600),
            ]
        )
    with registry.reading() as session:
        found = {record.key: (record.values, record.ttl) for record in of(session)}
    v4, v6 = (("192.0.2.10",), 60), (("2001:db8::10",), 60)
    pointers = {key: found.pop(key) for key in list(found) if key[1] == "PTR"}
    assert found == {
        ("node1.corpus.test", "A"): v4,
        ("node1.corpus.test", "AAAA"): v6,
        ("*.node1.corpus.test", "A"): (("192.0.2.10",), 30),
        ("*.node1.corpus.test", "AAAA"): (("2001:db8::10",), 30),
        ("node3.corpus.test", "AAAA"): (("2001:db8::30",), 60),
        ("shop.corpus.test", "A"): v4,
        ("shop.corpus.test", "AAAA"): v6,
        ("four.corpus.test", "A"): v4,
        ("alias.corpus.test", "CNAME"): (("shop.corpus.test.",), 60),
        ("both.corpus.test", "A"): (("192.0.2.99",), 60),
        ("both.corpus.test", "AAAA"): v6,
        ("free.corpus.test", "A"): (("192.0.2.1",), 60),
        ("free.corpus.test", "AAAA"): (("2001:db8::1",), 60),
        ("corpus.test", "TXT"): (('"v=spf1 -all"',), 3600),
    }
    assert pointers["10.2.0.192.in-addr.arpa", "PTR"] == (("node1.corpus.test.",), 60)
    assert pointers["2.1.64.10.in-addr.arpa", "PTR"] == (("shop.corpus.test.",), 60)
    assert len(pointers) == 5


def test_some_names_of_the_registry_alone(registry: Registry) -> None:
    with registry.session() as session:
        node = ComputeNode(
            name="node.corpus.test", minion_id="node", host="a", address="192.0.2.1", address6="2001:db8::1"
        )
        shop = Guest(name="shop", minion_id="shop.corpus.test", node=node, address="10.64.1.2", address6="fd00:64:1::2")
        session.add_all(
            [node, shop, DnsName(fqdn="node.corpus.test", node=node), DnsName(fqdn="shop.corpus.test", guest=shop)]
        )
        session.add(DnsName(fqdn="free.corpus.test", kind="TXT", values=["x"]))
    with registry.reading() as session:
        everything = of(session)
        assert len(everything) == 9
        for record in everything:
            assert [one for one in of(session, [record.name]) if one.type == record.type] == [record]
        assert [one.values for one in of(session, ["10.64.1.2"])] == [("shop.corpus.test.",)]
        some = of(session, ["free.corpus.test", "fd00:64:1::2", "none.corpus.test"])
        assert {one.type for one in some} == {"TXT", "PTR"}
        assert of(session, []) == []


@pytest.mark.parametrize(
    ("pattern", "zone"),
    [
        ("10.64.N.0/24", "64.10.in-addr.arpa"),
        ("10.N.0.0/16", "10.in-addr.arpa"),
        ("192.168.N.0/26", "168.192.in-addr.arpa"),
        ("10.64.3.0/24", "3.64.10.in-addr.arpa"),
        ("fd00:64:N::/64", "4.6.0.0.0.0.d.f.ip6.arpa"),
        ("203.0.N.0/24", None),
        ("N.64.0.0/16", None),
    ],
)
def test_reverse_zones_of_guests_networks(pattern: str, zone: str | None) -> None:
    assert zones.reverse_of(pattern) == zone
