"""A small internet of network namespaces: a compute node, guests plugged to its bridge, and the world outside.

Nothing of it touches the network of the machine that the tests run on.
"""

import ctypes
import http.server
import json
import os
import shutil
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine import run

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

NETWORK, NETWORK6 = "10.64.1.0/24", "fd00:64:1::/64"
NODE, NODE6 = "192.0.2.1", "2001:db8:1::1"
CLIENT, CLIENT6 = "192.0.2.9", "2001:db8:1::9"


def lacking() -> str:
    """Why this machine cannot have such an internet; empty when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [program for program in ("ip", "nft", "haproxy") if not shutil.which(program, path=_PATH)]
    return f"not installed: {', '.join(missing)}" if missing else ""


_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread, and the programs that it starts, live in a network namespace while the block runs."""
    with Path("/proc/thread-self/ns/net").open() as here, Path("/run/netns", namespace).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def run_ip(*words: str, namespace: str = "") -> None:
    """``ip``, in a namespace; it must work."""
    ended = run(["ip", *(["-n", namespace] if namespace else []), *words])
    assert ended.status == 0, ended.said


class _Guest(http.server.BaseHTTPRequestHandler):
    """Answers with its own name, and with what it was told about the client."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        told = self.headers.get("X-Forwarded-For", "-")
        body = f"{self.server.guest} {self.headers.get('Host')} {told}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    guest = ""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "guest", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        pass  # clients of these tests leave as they like


class _Six(_Server):
    address_family = socket.AF_INET6


@dataclass
class Internet:
    """A node with guests, and a client outside of it. Names of namespaces are ours alone."""

    number: str = field(default_factory=lambda: f"{os.getpid():x}{next(_COUNT):x}")
    servers: list[_Server] = field(default_factory=list)
    guests: dict[str, int] = field(default_factory=dict)

    @property
    def node(self) -> str:
        return f"cn{self.number}"

    @property
    def client(self) -> str:
        return f"cw{self.number}"

    def namespace(self, guest: str) -> str:
        return f"cg{self.number}{guest}"

    def port(self, guest: str) -> str:
        """The port of the node's bridge that a guest is plugged to."""
        return f"p{self.number}{self.guests[guest]}"

    def hardware(self, guest: str) -> str:
        """A guest's address on the bridge (MAC)."""
        ended = run(["ip", "-n", self.namespace(guest), "--json", "link", "show", "eth0"])
        return str(json.loads(ended.output)[0]["address"])

    def begin(self) -> None:
        """Make the node and the world outside; the node has no bridge yet."""
        for namespace in (self.node, self.client):
            run_ip("netns", "add", namespace)
            run_ip("link", "set", "lo", "up", namespace=namespace)
        inside_node, outside = f"n{self.number}", f"w{self.number}"
        run_ip("link", "add", inside_node, "netns", self.node, "type", "veth", "peer", outside, "netns", self.client)
        for namespace, link, addresses in (
            (self.node, inside_node, (f"{NODE}/24", f"{NODE6}/64")),
            (self.client, outside, (f"{CLIENT}/24", f"{CLIENT6}/64")),
        ):
            for address in addresses:
                run_ip("address", "add", address, "dev", link, *_nodad(address), namespace=namespace)
            run_ip("link", "set", link, "up", namespace=namespace)
        for net, gateway in ((NETWORK, NODE), (NETWORK6, NODE6)):  # a stranger who knows where guests live
            run_ip("route", "add", net, "via", gateway, namespace=self.client)

    def plug(self, guest: str, number: int, bridge: str) -> None:
        """Plug a guest to the node's bridge; its addresses end in ``number``."""
        self.guests[guest] = number
        namespace, port = self.namespace(guest), self.port(guest)
        run_ip("netns", "add", namespace)
        run_ip("link", "set", "lo", "up", namespace=namespace)
        run_ip("link", "add", port, "netns", self.node, "type", "veth", "peer", "eth0", "netns", namespace)
        run_ip("link", "set", port, "master", bridge, "up", namespace=self.node)
        for address in (f"10.64.1.{number}/24", f"fd00:64:1::{number:x}/64"):
            run_ip("address", "add", address, "dev", "eth0", *_nodad(address), namespace=namespace)
        run_ip("link", "set", "eth0", "up", namespace=namespace)
        run_ip("route", "add", "default", "via", "10.64.1.1", namespace=namespace)
        run_ip("route", "add", "default", "via", "fd00:64:1::1", namespace=namespace)

    def serve(self, place: str, name: str, *ports: int, tls: "ssl.SSLContext | None" = None) -> None:
        """Let something listen in a namespace, IPv4 and IPv6; it answers http with ``name``."""
        with inside(place):
            for port in ports:
                server = _Six(("::", port), _Guest)
                server.guest = name
                if tls:
                    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
                self.servers.append(server)
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def end(self) -> None:
        """Leave nothing."""
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for namespace in (self.node, self.client, *(self.namespace(guest) for guest in self.guests)):
            with suppress(AssertionError):
                run_ip("netns", "del", namespace)


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


_COUNT = _count()


def _nodad(address: str) -> list[str]:
    return ["nodad"] if ":" in address else []


def opens(namespace: str, address: str, port: int, seconds: float = 0.5) -> bool:
    """Whether a connection from a namespace to a port comes about."""
    with inside(namespace):
        try:
            with socket.create_connection((address, port), timeout=seconds):
                return True
        except OSError:
            return False


def tell(namespace: str, address: str) -> None:
    """Let everybody on the bridge believe that an address is to be found in a namespace, unasked."""
    with inside(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        hardware = wire.getsockname()[4]
        everybody = b"\xff" * 6
        if ":" not in address:
            packed = socket.inet_aton(address)
            arp = b"\x00\x01\x08\x00\x06\x04\x00\x02" + hardware + packed + everybody + packed
            wire.send(everybody + hardware + b"\x08\x06" + arp)
            return
        packed = socket.inet_pton(socket.AF_INET6, address)
        target = socket.inet_pton(socket.AF_INET6, "ff02::1")
        advert = b"\x88\x00\x00\x00\x20\x00\x00\x00" + packed + b"\x02\x01" + hardware
        for source in (packed, socket.inet_pton(socket.AF_INET6, "fe80::bad")):
            pseudo = source + target + len(advert).to_bytes(4, "big") + b"\x00\x00\x00\x3a"
            checksum = _checksum(pseudo + advert)
            body = advert[:2] + checksum.to_bytes(2, "big") + advert[4:]
            head = b"\x60\x00\x00\x00" + len(body).to_bytes(2, "big") + b"\x3a\xff" + source + target
            wire.send(b"\x33\x33\x00\x00\x00\x01" + hardware + b"\x86\xdd" + head + body)


def _checksum(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def asks(namespace: str, address: str, host: str, port: int = 80, tls: "ssl.SSLContext | None" = None) -> str:
    """What an http request from a namespace gets: the body, or the status when it is not 200; empty for no answer."""
    with inside(namespace):
        try:
            plain = socket.create_connection((address, port), timeout=3)
        except OSError:
            return ""
    with plain:
        try:
            stream = tls.wrap_socket(plain, server_hostname=host) if tls else plain
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := stream.recv(65536):
                answer += part
        except OSError:
            return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode().strip() if b" 200 " in head[:20] else head[9:12].decode()
