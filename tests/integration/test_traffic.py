"""The traffic of a compute node, by the kernel's nftables and a real haproxy, in network namespaces."""

import datetime
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.errors import CorpusError
from corpus.node import bridge
from corpus.node.traffic import change, haproxy
from corpus.node.traffic.places import Places
from corpus.node.traffic.wanted import Wanted

from tests.machine import CHECKOUT, SALT_CALL, Ended, digests, run
from tests.namespaces import (
    CLIENT,
    NETWORK,
    NETWORK6,
    NODE,
    NODE6,
    Internet,
    asks,
    inside,
    lacking,
    opens,
    run_ip,
    tell,
)

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

GUEST_PORTS = (22, 80, 443, 3306, 8000)
SHOP = {"name": "shop", "address": "10.64.1.2", "address6": "fd00:64:1::2", "ssh_port": 40000}
BLOG = {"name": "blog", "address": "10.64.1.3", "address6": "fd00:64:1::3", "ssh_port": 40001}
WIKI = {"name": "wiki", "address": "10.64.1.4", "address6": "fd00:64:1::4", "ssh_port": 40002}
GUESTS = [
    {**SHOP, "names": ["shop.example.org", "*.shop.example.org"]},
    {**BLOG, "names": ["blog.example.org", "deep.shop.example.org", "*.example.org"], "http_port": 8000},
    {**WIKI, "names": []},
]


class Node:
    """A compute node in a namespace."""

    def __init__(self, folder: Path, internet: Internet) -> None:
        self.internet = internet
        self.places = Places(folder / "etc", folder / "run", folder / "units", folder / "sysctl", folder / "pool")

    def settle(self, guests: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        with inside(self.internet.node):
            return change.settle(self.wanted(guests, **more), self.places).changes()

    def plan(self, guests: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        with inside(self.internet.node):
            return change.plan(self.wanted(guests, **more), self.places).changes()

    @staticmethod
    def wanted(guests: list[dict[str, Any]], **more: Any) -> Wanted:
        return Wanted.parsed({"network": NETWORK, "network6": NETWORK6, "guests": guests, **more})

    def nft(self, *words: str) -> str:
        with inside(self.internet.node):
            ended = run(["nft", *words])
        assert ended.status == 0, ended.said
        return ended.output

    def state(self) -> tuple[str, dict[str, str], str]:
        return self.nft("list", "ruleset"), digests(self.places.etc), haproxy.ask(self.places.socket, "show info")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    folder = Path(tempfile.mkdtemp(prefix="corpus-", dir="/tmp"))
    folder.chmod(0o755)
    internet, certificate = Internet(), _certificate(folder)
    made = Node(folder, internet)
    try:
        internet.begin()
        with inside(internet.node):
            bridge.make("corpus0", NETWORK, NETWORK6, made.places)
        for number, guest in enumerate(("shop", "blog", "wiki"), 2):
            internet.plug(guest, number, "corpus0")
            internet.serve(internet.namespace(guest), guest, *(port for port in GUEST_PORTS if port != 443))
            internet.serve(internet.namespace(guest), guest, 443, tls=certificate)
        internet.serve(internet.client, "world", 8080)
        yield made
    finally:
        haproxy.stop(made.places)
        internet.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settled(node: Node) -> Node:
    node.settle(GUESTS)
    return node


def test_names_lead_to_guests(settled: Node) -> None:
    client = settled.internet.client
    for address in (NODE, NODE6):
        for name, guest in (
            ("shop.example.org", "shop"),
            ("SHOP.example.org.", "shop"),
            ("shop.example.org:80", "shop"),
            ("any.shop.example.org", "shop"),
            ("deep.shop.example.org", "blog"),
            ("blog.example.org", "blog"),
            ("other.example.org", "blog"),
        ):
            assert asks(client, address, name).split(" ")[0] == guest, (address, name)
        for name in ("example.org", "example.net", "wiki", "xshop.example.orgs", ""):
            assert asks(client, address, name) in ("404", "400"), (address, name)


def test_guests_learn_who_asks(settled: Node) -> None:
    assert asks(settled.internet.client, NODE, "shop.example.org").endswith(f" {CLIENT}")


def test_only_ssh_and_the_proxy_can_be_reached_from_outside(settled: Node) -> None:
    client = settled.internet.client
    for address in ("10.64.1.2", "10.64.1.3", "fd00:64:1::2", "fd00:64:1::3"):
        assert [port for port in GUEST_PORTS if opens(client, address, port, 0.2)] == []
    candidates = {*GUEST_PORTS, *range(39990, 40010)}
    for address in (NODE, NODE6):
        found = [port for port in sorted(candidates) if opens(client, address, port, 0.3)]
        assert found == [80, 443, 40000, 40001, 40002]
        assert [asks(client, address, "x", port).split(" ")[0] for port in (40000, 40001)] == ["shop", "blog"]


def test_guests_cannot_reach_each_other(settled: Node) -> None:
    shop = settled.internet.namespace("shop")
    for address in ("10.64.1.3", "fd00:64:1::3"):
        assert [port for port in GUEST_PORTS if opens(shop, address, port, 0.2)] == []
    link_local = run(["ip", "-n", settled.internet.namespace("blog"), "-6", "-o", "address", "show", "scope", "link"])
    address = link_local.output.split()[3].partition("/")[0]
    assert not opens(shop, f"{address}%eth0", 8000)


def test_a_guest_cannot_take_the_address_of_another_or_of_the_node(settled: Node) -> None:
    net, client = settled.internet, settled.internet.client
    shop, blog = net.namespace("shop"), net.namespace("blog")
    hardware = {guest: net.hardware(guest) for guest in ("shop", "blog")}
    for guest in ("shop", "blog"):
        folder = settled.places.containers / guest
        folder.mkdir(parents=True, exist_ok=True)
        said = f"lxc.net.0.veth.pair = {net.port(guest)}\nlxc.net.0.hwaddr = {hardware[guest]}\n"
        (folder / "config").write_text(said)
    assert settled.settle(GUESTS) == {"table": "corpus is replaced"}
    assert settled.settle(GUESTS) == {}

    def link(*words: str, namespace: str = shop) -> None:
        assert run(["ip", "-n", namespace, *words]).status == 0

    def still_there() -> None:
        link("neighbor", "flush", "dev", "corpus0", namespace=net.node)
        for address in (NODE, NODE6):
            assert asks(client, address, "blog.example.org").startswith("blog")
            assert asks(client, address, "x", 40001).startswith("blog")
        assert asks(blog, CLIENT, "world", 8080).startswith("world")
        assert asks(blog, "2001:db8:1::9", "world", 8080).startswith("world")

    for stolen in ("10.64.1.3/24", "fd00:64:1::3/64", "10.64.1.1/24", "fd00:64:1::1/64"):
        link("address", "add", stolen, "dev", "eth0", *(["nodad"] if ":" in stolen else []))
        tell(shop, stolen.partition("/")[0])
        still_there()
        link("address", "delete", stolen, "dev", "eth0")
    link("link", "set", "eth0", "address", hardware["blog"])
    try:
        assert not opens(shop, NODE, 80)
        link("neighbor", "flush", "dev", "corpus0", namespace=net.node)
        assert asks(client, NODE, "blog.example.org").startswith("blog")
    finally:
        link("link", "set", "eth0", "address", hardware["shop"])
    assert asks(client, NODE, "shop.example.org").startswith("shop")
    shutil.rmtree(settled.places.containers)


def test_guests_reach_the_world_the_proxy_and_each_others_ssh_port(settled: Node) -> None:
    shop = settled.internet.namespace("shop")
    assert asks(shop, CLIENT, "world", 8080).startswith("world")
    assert asks(shop, "2001:db8:1::9", "world", 8080).startswith("world")
    for address in (NODE, NODE6):
        assert asks(shop, address, "blog.example.org").startswith("blog")
        assert asks(shop, address, "x", 40001).startswith("blog")
    assert asks(settled.internet.node, NODE, "x", 40001).startswith("blog")


def test_guests_of_one_owner_and_those_let_in_can_talk(node: Node) -> None:
    shop, blog, wiki = (node.internet.namespace(name) for name in ("shop", "blog", "wiki"))
    node.settle([{**SHOP, "owner": "ada"}, {**BLOG, "owner": "ada"}, {**WIKI, "owner": "bob", "open_to": ["shop"]}])
    for family in ("10.64.1.", "fd00:64:1::"):
        assert opens(shop, f"{family}3", 3306, 2)
        assert opens(blog, f"{family}2", 3306, 2)
        assert opens(shop, f"{family}4", 3306, 2)
        assert not opens(wiki, f"{family}2", 3306)
        assert not opens(blog, f"{family}4", 3306)
    node.settle(GUESTS)
    assert not opens(shop, "10.64.1.3", 3306)


def test_the_second_call_changes_nothing_and_a_test_never_does(settled: Node) -> None:
    before = settled.state()
    assert settled.settle(GUESTS) == {}
    assert settled.plan(GUESTS[:1])["removed"] == ["blog", "wiki"]
    after = settled.state()
    assert before[:2] == after[:2]
    assert _pid(before[2]) == _pid(after[2])


def test_what_was_changed_by_hand_is_put_right(settled: Node) -> None:
    settled.nft("flush", "chain", "inet", "corpus", "neighbours")
    haproxy.ask(settled.places.socket, f"clear map {settled.places.maps}/http.map")
    assert settled.plan(GUESTS) == {"table": "corpus is replaced", "maps": ["http"]}
    settled.settle(GUESTS)
    assert settled.plan(GUESTS) == {}
    assert not opens(settled.internet.namespace("shop"), "10.64.1.3", 3306)
    assert asks(settled.internet.client, NODE, "shop.example.org").startswith("shop")


def test_tls_is_passed_on_by_the_name_that_is_asked_for(settled: Node) -> None:
    client = settled.internet.client
    trust = ssl.create_default_context(cafile=str(settled.places.etc.parent / "ca.pem"))
    for address in (NODE, NODE6):
        for name, guest in (("shop.example.org", "shop"), ("blog.example.org", "blog"), ("x.example.org", "blog")):
            assert asks(client, address, name, 443, trust).split(" ")[0] == guest
        assert asks(client, address, "example.net", 443, trust) == ""
    assert asks(client, NODE, "shop.example.org", 443) == ""  # not TLS


def test_one_connection_that_asks_for_two_guests_gets_each_from_its_own(settled: Node) -> None:
    with inside(settled.internet.client):
        stream = socket.create_connection((NODE, 80), timeout=5)
    with stream, stream.makefile("rb") as answers:
        for guest in ["shop", "blog"] * 20:
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {guest}.example.org\r\n\r\n".encode())
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert answers.read(length).decode().split(" ")[0] == guest


class Visitor(threading.Thread):
    """Keeps asking for a name, with a new connection each time, and notes what went wrong."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(daemon=True)
        self.node, self.name_asked = node, name
        self.asked, self.wrong = 0, [""][:0]
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            answer = asks(self.node.internet.client, NODE, self.name_asked)
            self.asked += 1
            if not answer.startswith("shop "):
                self.wrong.append(answer)

    def __enter__(self) -> "Visitor":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def test_no_request_is_lost_while_guests_come_and_go(settled: Node) -> None:
    with inside(settled.internet.client):
        session = socket.create_connection((NODE, SHOP["ssh_port"]), timeout=5)
        tunnel = socket.create_connection((NODE, 443), timeout=5)
    worker = _pid(haproxy.ask(settled.places.socket, "show info"))
    trust = ssl.create_default_context(cafile=str(settled.places.etc.parent / "ca.pem"))
    with session, trust.wrap_socket(tunnel, server_hostname="shop.example.org") as tls:
        with Visitor(settled, "shop.example.org") as visitor:
            for _ in range(15):
                settled.settle([GUESTS[0]])
                settled.settle(GUESTS)
        assert visitor.asked > 50
        assert visitor.wrong == []
        assert _pid(haproxy.ask(settled.places.socket, "show info")) == worker
        for stream in (session, tls):  # connections of before are whole
            stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"shop x" in b"".join(iter(lambda stream=stream: stream.recv(4096), b""))


def test_no_request_is_lost_while_haproxy_changes_its_configuration(settled: Node) -> None:
    with Visitor(settled, "shop.example.org") as visitor:
        for port in (8081, 443, 8081):
            assert settled.settle(GUESTS, https_port=port)["proxy"] == "haproxy is reloaded"
    assert opens(settled.internet.client, NODE, 8081)
    settled.settle(GUESTS)
    assert visitor.asked > 20
    assert visitor.wrong == []


def test_a_map_of_many_names_is_taken_whole(settled: Node) -> None:
    names = [f"a-rather-long-name-{number}.example.com" for number in range(2000)]
    settled.settle([{**SHOP, "names": names}, *GUESTS[1:]])
    assert asks(settled.internet.client, NODE6, names[-1]).startswith("shop")
    assert len(haproxy.live_map(settled.places, "http")) == 2002
    settled.settle(GUESTS)
    assert asks(settled.internet.client, NODE6, names[-1]) == "404"


def test_when_nft_refuses_nothing_is_half_applied(settled: Node) -> None:
    settled.nft("delete", "table", "inet", "corpus")
    with inside(settled.internet.node):
        owner = subprocess.Popen(
            ["nft", "--interactive"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, bufsize=1
        )
    assert owner.stdin is not None
    with owner:
        print("add table inet corpus { flags owner; }", file=owner.stdin, flush=True)
        while "owner" not in settled.nft("list", "tables", "inet") + settled.nft("list", "ruleset"):
            assert owner.poll() is None
        before = settled.state()
        with pytest.raises(CorpusError, match="nft refuses the table corpus, and nothing was changed"):
            settled.settle([])
        assert settled.state()[:2] == before[:2]
        assert asks(settled.internet.client, NODE, "shop.example.org").startswith("shop")
        owner.stdin.close()
        owner.wait()
    settled.settle(GUESTS)
    assert asks(settled.internet.client, NODE, "x", 40000).startswith("shop")


def test_a_port_that_another_program_has_is_refused(settled: Node) -> None:
    settled.internet.serve(settled.internet.node, "somebody", 8090)
    before = settled.state()
    with pytest.raises(CorpusError, match="Another program listens on port 8090 of this node"):
        settled.settle([GUESTS[1]], https_port=8090)
    assert settled.state()[:2] == before[:2]
    assert settled.plan(GUESTS) == {}


def test_when_haproxy_refuses_the_table_is_taken_back(settled: Node) -> None:
    before, hidden = settled.state(), settled.places.run / "hidden"
    settled.places.master.rename(hidden)
    try:
        with pytest.raises(CorpusError, match="haproxy does not answer at"):
            settled.settle([GUESTS[1]], https_port=8091)
    finally:
        hidden.rename(settled.places.master)
    assert settled.state()[:2] == before[:2]
    assert settled.plan(GUESTS) == {}
    assert asks(settled.internet.client, NODE, "shop.example.org").startswith("shop")
    assert settled.settle(GUESTS, https_port=8091)["proxy"] == "haproxy is reloaded"
    assert opens(settled.internet.client, NODE, 8091)


def test_whenever_it_is_killed_the_next_call_puts_it_right(settled: Node) -> None:
    for number in range(20):
        child = os.fork()
        if child == 0:
            try:
                settled.settle([GUESTS[0]] if number % 2 else GUESTS)
            finally:
                os._exit(0)
        threading.Event().wait(number * 0.01)  # a moment to die in
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        answer = asks(settled.internet.client, NODE, "shop.example.org")
        assert answer.startswith("shop")
    settled.settle(GUESTS)
    assert settled.plan(GUESTS) == {}
    assert list(settled.places.etc.rglob("*.trial")) == []
    assert asks(settled.internet.client, NODE, "blog.example.org").startswith("blog")


def test_calls_at_the_same_time_come_one_after_the_other(settled: Node) -> None:
    wishes = [GUESTS[:1], GUESTS[:2], GUESTS[1:], GUESTS] * 2
    calls = [threading.Thread(target=settled.settle, args=(wish,)) for wish in wishes]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    served = [settled.plan(wish) for wish in wishes]
    assert {} in served  # the last one's, whole


def test_what_stands_on_disk_is_what_a_boot_brings_back(settled: Node) -> None:
    listed = settled.nft("list", "ruleset")
    settled.nft("flush", "ruleset")
    haproxy.stop(settled.places)
    assert opens(settled.internet.client, "10.64.1.2", 3306)  # that is what the table is for
    settled.nft("--file", str(settled.places.table))
    with inside(settled.internet.node):
        haproxy.start(settled.places)
    assert settled.nft("list", "ruleset") == listed
    assert settled.plan(GUESTS) == {}
    assert asks(settled.internet.client, NODE, "shop.example.org").startswith("shop")


def test_the_bridge_keeps_its_own_address_when_guests_leave(node: Node) -> None:
    def address() -> str:
        with inside(node.internet.node):
            return str(bridge.facts("corpus0")["address"])

    before = address()
    run_ip("link", "add", "low0", "address", "00:00:00:00:00:01", "type", "veth", namespace=node.internet.node)
    run_ip("link", "set", "low0", "master", "corpus0", namespace=node.internet.node)
    assert address() == before
    run_ip("link", "delete", "low0", namespace=node.internet.node)
    assert address() == before


def test_a_bridge_is_made_once(node: Node) -> None:
    with inside(node.internet.node):
        assert bridge.plan("corpus0", NETWORK, NETWORK6, node.places) == {}
        assert bridge.make("corpus0", NETWORK, NETWORK6, node.places) == {}
        assert bridge.plan("other0", NETWORK, "", node.places)["bridge"] == "other0 is made"
        with pytest.raises(CorpusError, match="lo exists and is no bridge"):
            bridge.plan("lo", NETWORK, "", node.places)
        run(["ip", "link", "set", "corpus0", "type", "bridge", "nf_call_iptables", "0"])
    node.settle(GUESTS)
    assert node.plan(GUESTS) == {}
    assert not opens(node.internet.namespace("shop"), "10.64.1.3", 3306)


class TestDoor:
    """What a person calls, in the node's namespace."""

    @pytest.fixture
    def configured(self, settled: Node) -> Path:
        folder = settled.places.etc.parent / "minion"
        folder.mkdir(exist_ok=True)
        options = {
            "file_client": "local",
            "master_type": "disable",
            "root_dir": str(folder),
            "module_dirs": [str(CHECKOUT)],
            "enable_fqdns_grains": False,
            **{f"corpus.{key}": str(value) for key, value in vars(settled.places).items()},
        }
        (folder / "minion").write_text(json.dumps(options))
        return folder

    def call(self, node: Node, folder: Path, *words: str) -> Ended:
        with inside(node.internet.node):
            return run([str(SALT_CALL), "-c", str(folder), "--local", "--log-level=quiet", "--out=json", *words])

    def test_it_changes_tells_and_refuses(self, settled: Node, configured: Path) -> None:
        wish = json.dumps(settled.wanted(GUESTS[:1]).plain())
        before = settled.state()
        told = self.call(settled, configured, "mc_node.traffic_plan", wish)
        assert told.answer["result"] is None
        assert told.answer["changes"]["removed"] == ["blog", "wiki"]
        assert settled.state()[:2] == before[:2]
        assert self.call(settled, configured, "mc_node.traffic", wish).answer["result"] is True
        again = self.call(settled, configured, "mc_node.traffic", wish).answer
        assert again == {"name": "traffic", "result": True, "changes": {}, "comment": "It is as it shall be."}
        served = self.call(settled, configured, "mc_node.served").answer
        assert served["ssh_ports"] == {"40000": ["10.64.1.2", "fd00:64:1::2"]}
        assert served["http"] == {"shop.example.org": "10.64.1.2|80", "*.shop.example.org": "10.64.1.2|80"}
        refused = self.call(settled, configured, "mc_node.traffic", wish.replace("shop.example.org", "a b"))
        assert refused.status != 0
        assert "'*.a b' is no host name" in refused.errors
        assert "Traceback" not in refused.said

    def test_as_states_it_is_the_same(self, settled: Node, configured: Path) -> None:
        wish = json.dumps(settled.wanted(GUESTS).plain())
        boot = self.call(settled, configured, "state.single", "mc_node.boot", "name=boot", "test=True")
        assert next(iter(boot.answer.values()))["result"] is None
        for words, changes in (
            (["mc_node.boot", "name=boot"], True),
            (["mc_node.boot", "name=boot"], False),
            (["mc_node.bridge", "name=corpus0", f"network={NETWORK}", f"network6={NETWORK6}"], False),
            (["mc_node.traffic", "name=traffic", f"wanted={wish}"], False),
        ):
            done = next(iter(self.call(settled, configured, "state.single", *words).answer.values()))
            assert done["result"] is True
            assert bool(done["changes"]) is changes
        failed = self.call(settled, configured, "state.single", "mc_node.bridge", "name=corpus0", "network=nowhere")
        assert failed.status != 0
        assert "no network such as" in next(iter(failed.answer.values()))["comment"]

    def test_a_node_is_found_fit_but_for_its_init(self, settled: Node, configured: Path) -> None:
        findings = self.call(settled, configured, "mc_node.check").answer
        assert {found["subject"] for found in findings if found["result"] is False} <= {"init", "disk"}
        facts = self.call(settled, configured, "mc_node.inventory").answer
        assert facts["ports"] == {"80": "proxy", "443": "proxy"}


def _pid(info: str) -> str:
    return next(line for line in info.splitlines() if line.startswith("Pid:"))


def _certificate(folder: Path) -> ssl.SSLContext:
    """Let guests prove any name of example.org; ``ca.pem`` trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.example.org")]), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (folder / "ca.pem").write_bytes(certificate)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "guest.pem").write_bytes(private + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "guest.pem")
    return context
