"""The web front as visitors and their browsers meet it: TLS, files, headers, streams, the maintenance page."""

import contextlib
import datetime
import gzip
import http.client
import json
import os
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.asking import asking
from tests.machine import Machine, WorkTree, deadline, free_port, page, run

# Tells what it was asked, streams, and speaks of an upgrade.
APPLICATION = r"""
import http.server, json, os, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *words): pass
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()
    def do_GET(self):
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in range(2):
                self.wfile.write(b"data: %d\n\n" % number)
                self.wfile.flush()
                time.sleep(2 * (1 - number))
            self.close_connection = True
            return
        if self.path == "/socket":
            self.send_response(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"echo:" + self.rfile.read(5))
            self.close_connection = True
            return
        if self.path == "/slow":
            time.sleep(2)
        body = json.dumps({"path": self.path, "pid": os.getpid(), **{k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/own":
            self.send_header("X-Frame-Options", "DENY")
        if self.path == "/large":
            self.send_header("X-Large", "x" * 20000)
        self.end_headers()
        self.wfile.write(body)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
WEB = {"Procfile": "web: /usr/bin/python3 application.py\n", "application.py": APPLICATION}


class Ca:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A CA of the tests")])
        self.own = self._made(self.name, self.key.public_key(), ca=True).sign(self.key, hashes.SHA256())
        self.file = folder / "ca.pem"
        self.file.write_bytes(self.own.public_bytes(Encoding.PEM))

    def _made(self, subject: x509.Name, public: Any, ca: bool = False, days: int = 30) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
        )

    def pair(self, *names: str, days: int = 30) -> dict[str, str]:
        """A certificate and key for some names, as a pillar has them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        made = self._made(subject, key.public_key(), days=days).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False
        )
        return {
            "certificate": made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
            "key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        }


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Ca:
    return Ca(tmp_path_factory.mktemp("ca"))


def asked(
    port: int,
    host: str,
    path: str = "/",
    trust: Path | None = None,
    method: str = "GET",
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Ask the front; by TLS, and whoever answers must prove the name, when there is something to trust."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    if trust is not None:
        context = ssl.create_default_context(cafile=str(trust))
        connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 15), server_hostname=host)
    with contextlib.closing(connection):
        connection.request(
            method, path, body, {"Host": host, **{key.replace("_", "-"): value for key, value in headers.items()}}
        )
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()


def deployed(machine: Machine, name: str, tree: dict[str, str], **settings: Any) -> tuple[WorkTree, dict[str, Any]]:
    given = machine.init(name, installer="generic", https_port=free_port(), **settings)
    made = machine.work_tree(name, tree)
    pushed = made.push()
    assert pushed.status == 0, pushed.said
    return made, given


def stored(tree: WorkTree, files: dict[str, str], remove: str | None = None) -> None:
    """Have a change in the repository of the user ``frontrich`` without deploying it."""
    if remove:
        (tree.folder / remove).unlink()
    tree.commit(files)
    fetched = run(
        ["git", "-C", str(tree.remote), "fetch", "--quiet", str(tree.folder), "HEAD:refs/heads/main"],
        env={"GIT_CONFIG_PARAMETERS": "'safe.directory=*'"},
    )
    assert fetched.status == 0, fetched.said
    run(["chown", "-R", "frontrich:", str(tree.remote)])


def test_two_projects_at_one_address_by_tls(machine: Machine, ca: Ca) -> None:
    """Each shows its own certificate; changing one loses no request and needs no deployment."""
    first = ca.pair("one.example.org")
    _, one = deployed(machine, "one", WEB, domain="one.example.org", tls={**first, "hsts": True})
    port, secure = one["http_port"], one["https_port"]
    other = ca.pair("*.two.example.org")
    machine.init("two", installer="static", domain="www.two.example.org", http_port=port, https_port=secure, tls=other)
    two = machine.work_tree("two", {"public/index.html": "two"})
    machine.ok(
        "mc_project.set_configuration",
        "two",
        domains=["ONE.example.org"],
        tls=ca.pair("one.example.org", "www.two.example.org"),
    )
    pushed = two.push()
    assert pushed.status != 0
    assert "domain: one.example.org" in pushed.said
    assert "is the project 'one' already" in pushed.said
    assert "build" not in pushed.said  # it is told before anything is built
    machine.ok("mc_project.set_configuration", "two", domains=None, tls=other)
    assert two.push().status == 0

    status, headers, body = asked(
        secure, "one.example.org", trust=ca.file, X_Forwarded_For="6.6.6.6", X_Request_ID="abcd1234"
    )
    told = json.loads(body)
    assert status == 200
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-request-id"] == "abcd1234" == told["x-request-id"]
    assert (told["host"], told["x-forwarded-proto"], told["x-forwarded-for"]) == (
        "one.example.org",
        "https",
        "127.0.0.1",
    )
    assert told["x-forwarded-port"] == str(secure)
    assert asked(secure, "www.two.example.org", trust=ca.file)[2] == b"two"
    status, headers, _ = asked(port, "one.example.org", "/a?b=c")
    assert (status, headers["location"]) == (301, f"https://one.example.org:{secure}/a?b=c")
    assert asked(port, "nobody.example.org")[0] == 404
    with pytest.raises(ssl.SSLError):
        asked(secure, "nobody.example.org", trust=ca.file)
    spoken = (
        run(
            [
                "curl",
                "-sk",
                "--http2",
                "-o",
                "/dev/null",
                "-w",
                "%{http_version}",
                "--resolve",
                f"one.example.org:{secure}:127.0.0.1",
                f"https://one.example.org:{secure}/",
            ]
        )
        if _has("curl")
        else None
    )
    assert spoken is None or spoken.output == "2"

    kept = list((machine.projects / ".corpus/front/certificates/one").glob("*.key"))
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]
    secret = first["key"].splitlines()[1]
    assert secret not in json.dumps(machine.ok("mc_project.get_configuration", "one"))
    assert secret not in machine.ok("mc_project.log", "one")
    assert secret not in (machine.project("one") / ".corpus/settings.json").read_text()

    machine.ok("mc_project.set_configuration", "one", tls=ca.pair("one.example.org", days=20))

    def get(port: int, path: str, host: str) -> tuple[int, str]:
        try:
            status, _, body = asked(port, host, path, ca.file)
        except OSError as err:
            return 0, str(err)
        return status, body.decode()

    with (
        asking(secure, "/slow", host="one.example.org", visitors=2, get=get) as slow,
        asking(secure, host="one.example.org", get=get) as quick,
    ):
        before = expires(secure, "one.example.org", ca.file)
        told = machine.ok("mc_project.renew_certificates", "one")["one"]
        assert told["result"], told
        after = expires(secure, "one.example.org", ca.file)
    assert after < before
    assert len(quick) > 5
    assert [*slow.lost, *quick.lost] == []
    assert machine.ok("mc_project.status", "one")["certificate"]["names"] == ["one.example.org"]


def _has(program: str) -> bool:
    return any(Path(folder, program).exists() for folder in os.environ["PATH"].split(os.pathsep))


def expires(port: int, host: str, trust: Path) -> float:
    context = ssl.create_default_context(cafile=str(trust))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=host) as connection:
        return ssl.cert_time_to_seconds(str(connection.getpeercert()["notAfter"]))  # type: ignore[index]


def test_what_browsers_would_refuse_is_refused_before(machine: Machine, ca: Ca) -> None:
    _, given = deployed(machine, "wrong", WEB, domain="wrong.example.org")
    fine, other = ca.pair("wrong.example.org"), ca.pair("other.example.org")
    for tls, words in (
        (ca.pair("wrong.example.org", days=-1), "the certificate has expired on"),
        (other, "the certificate is not for wrong.example.org, only for other.example.org"),
        ({**fine, "key": other["key"]}, "key is not the key of the certificate"),
        ({**fine, "key": "nonsense"}, "key is no private key in PEM"),
        ({"certificate": fine["certificate"]}, "key is missing"),
        ({"acme": True, **fine}, "give either certificate and key, or acme"),
        ({**fine, "certificate": fine["certificate"] + other["certificate"]}, "the chain is broken"),
    ):
        machine.ok("mc_project.set_configuration", "wrong", cfg={**given, "domain": "wrong.example.org", "tls": tls})
        ended = machine.call("mc_project.deploy_project", "wrong")
        assert ended.status != 0
        assert words in ended.answer["comment"], ended.answer["comment"]
        assert str(tls.get("key", "-" * 99)).splitlines()[-2:][0] not in ended.said
    assert asked(given["http_port"], "wrong.example.org")[0] == 200


def test_files_headers_and_streams(machine: Machine) -> None:
    """What visitors of an application get from the front: its files, the headers it forgot, its events at once."""
    files = {
        **WEB,
        "assets/app.0123abcd.js": "hashed();" * 300,
        "assets/plain.css": "body{}",
        "assets/.env": "SECRET=1",
        "robots.txt": "User-agent: *",
    }
    given = machine.init(
        "rich",
        installer="generic",
        user="frontrich",
        domain="rich.example.org",
        static_files={
            "/static/": {"folder": "assets", "max_age": 60, "hashed": True},
            "/media/": "{data_root}/media",
            "/robots.txt": "robots.txt",
        },
        upload_limit="1k",
    )
    tree = machine.work_tree("rich", files)
    stored(tree, {})
    machine.ok("mc_project.deploy_project", "rich")
    host, port = "rich.example.org", given["http_port"]
    media = machine.project("rich") / "data/media"
    media.mkdir()
    (media / "photo.png").write_bytes(b"png")
    (media / "leak").symlink_to("/etc/passwd")
    (media / "again.png").symlink_to("photo.png")
    (machine.project("rich") / "project/assets/leak").symlink_to("/etc")
    run(["chown", "-hR", "frontrich:", str(media), str(machine.project("rich") / "project/assets")])
    assert (machine.project("rich") / "data").stat().st_mode & 0o007 == 0

    status, headers, body = asked(port, host, "/static/app.0123abcd.js", Accept_Encoding="gzip")
    assert (status, gzip.decompress(body)[:9]) == (200, b"hashed();")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["vary"] == "Accept-Encoding"
    assert asked(port, host, "/static/plain.css")[1]["cache-control"] == "public, max-age=60"
    assert asked(port, host, "/media/photo.png")[2] == b"png"
    assert asked(port, host, "/media/again.png")[2] == b"png"
    assert asked(port, host, "/robots.txt")[2] == b"User-agent: *"
    assert asked(port, host, "/static/.env")[0] == 404
    for path in ("/static/missing.css?a=b%20c", "/static/leak/passwd", "/media/leak", "/media/../../etc/passwd"):
        status, headers, body = asked(port, host, path)
        assert status in (200, 400), path
        assert b"root:" not in body
        assert "max-age" not in headers.get("cache-control", "")
    assert json.loads(asked(port, host, "/static/missing.css?a=b%20c")[2])["path"] == "/static/missing.css?a=b%20c"

    stored(tree, {"assets/app.4567cdef.js": "new();"}, remove="assets/app.0123abcd.js")
    machine.ok("mc_project.deploy_project", "rich")
    assert asked(port, host, "/static/app.4567cdef.js")[2] == b"new();"
    assert asked(port, host, "/static/app.0123abcd.js")[2][:9] == b"hashed();"  # a page of before may ask for it
    stored(tree, {})
    machine.ok("mc_project.deploy_project", "rich")
    assert json.loads(asked(port, host, "/static/app.0123abcd.js")[2])["path"] == "/static/app.0123abcd.js"
    assert asked(port, host, "/static/.env")[0] == 404
    assert asked(port, host, "/static/plain.css")[1]["cache-control"] == "public, max-age=60"

    _, headers, _ = asked(port, host)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert len(headers["x-request-id"]) == 32
    assert asked(port, host, "/own")[1]["x-frame-options"] == "DENY"
    assert asked(port, host, "/large")[0] == 200
    assert asked(port, host, method="POST", body=b"x" * 900)[0] == 200
    assert asked(port, host, method="POST", body=b"x" * 2000)[0] == 413

    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/events", headers={"Host": host, "Accept": "text/event-stream"})
    assert connection.getresponse().read1(64) == b"data: 0\n\n"
    assert time.monotonic() - began < 1.5  # the second one comes after two seconds
    connection.close()
    with socket.create_connection(("127.0.0.1", port), 10) as upgraded:
        upgraded.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\nhello".encode()
        )
        received = b""
        for _ in deadline(10):
            received += upgraded.recv(4096)
            if b"echo:hello" in received:
                break
    assert received.startswith(b"HTTP/1.1 101")

    log = machine.project("rich") / "logs/access.log"
    read = run(["runuser", "-u", "frontrich", "--", "cat", str(log)])
    assert "/robots.txt" in read.output, read.said
    assert log.stat().st_mode & 0o777 == 0o640
    assert log.stat().st_uid == 0
    destroyed = machine.ok("mc_project.destroy_project", "rich", confirm="rich")
    assert destroyed["result"]
    assert not list((machine.projects / ".corpus/front").glob("*/rich*"))


def test_applications_that_do_not_answer_get_a_page(machine: Machine) -> None:
    """And what they are told of a visitor whom a trusted proxy brings is what the proxy says."""
    _, given = deployed(
        machine, "mute", WEB, domain="mute.example.org", drain=1, trusted_proxies=["127.0.0.0/8", "10.1.2.3"]
    )
    brought = {"X_Forwarded_For": "203.0.113.9, 10.1.2.3", "X_Forwarded_Proto": "https", "X_Forwarded_Port": "443"}
    told = json.loads(asked(given["http_port"], "mute.example.org", **brought)[2])
    assert [told[f"x-forwarded-{what}"] for what in ("for", "proto", "port")] == ["203.0.113.9", "https", "443"]
    os.kill(json.loads(asked(given["http_port"], "mute.example.org")[2])["pid"], signal.SIGKILL)
    seen = set()
    for _ in deadline(20):
        status, headers, body = asked(given["http_port"], "mute.example.org")
        seen.add(status)
        if status == 502:
            assert b"No answer just now" in body
            assert headers["x-request-id"].encode() in body
        if status == 200 and 502 in seen:
            break


def test_static_sites(machine: Machine) -> None:
    pages = {
        "public/index.html": "home",
        "public/about.html": "about",
        "public/docs/index.html": "docs",
        "public/empty/.keep": "",
        "public/.secret": "secret",
        "public/.well-known/security.txt": "mail us",
    }
    given = machine.init("plain", installer="static", domain="plain.example.org")
    tree = machine.work_tree("plain", pages)
    assert tree.push().status == 0
    host, port = "plain.example.org", given["http_port"]
    for path, status, text in (
        ("/", 200, b"home"),
        ("/about", 200, b"about"),
        ("/docs/", 200, b"docs"),
        ("/nothing", 404, b"There is nothing here"),
        ("/empty/", 404, b"There is nothing here"),
        ("/.secret", 404, b""),
        ("/.well-known/security.txt", 200, b"mail us"),
    ):
        answer = asked(port, host, path)
        assert (path, answer[0]) == (path, status)
        assert text in answer[2], path
    assert asked(port, host, "/docs")[1]["location"] == "/docs/"
    assert asked(port, host, "/about")[1]["cache-control"] == "no-cache"

    tree.commit({"public/404.html": "our own 404"})
    machine.ok("mc_project.set_configuration", "plain", spa=True)
    assert tree.push().status == 0
    assert asked(port, host, "/users/7")[::2] == (200, b"home")
    assert asked(port, host, "/missing.js")[::2] == (404, b"our own 404")


def test_maintenance_loses_nobody_and_stays(machine: Machine) -> None:
    tree, given = deployed(machine, "shut", WEB, domain="shut.example.org", maintenance_retry=77)
    host, port = "shut.example.org", given["http_port"]
    with asking(port, host=host) as seen, asking(port, "/slow", host=host) as slow:
        for _ in deadline(10):
            if len(seen) > 20:
                break
        told = machine.call("mc_project.maintenance", "shut", "on", reason="moving")
        assert told.status == 0, told.said
        status, headers, body = asked(port, host, method="POST", body=b"x")
        assert (status, headers["retry-after"], headers["cache-control"]) == (503, "77", "no-store")
        assert b"We will be right back" in body
        assert asked(port, host, "/.corpus/release")[0] == 200
        assert machine.ok("mc_project.maintenance", "shut", "off")["changes"]
        assert asked(port, host)[0] == 200
    assert {answer.status for answer in [*seen.given, *slow.given]} == {
        200,
        503,
    }  # all were answered, by one or the other

    assert machine.ok("mc_project.maintenance", "shut", "on", reason="moving")["changes"]
    assert machine.ok("mc_project.maintenance", "shut", "on")["changes"] == {}
    assert machine.ok("mc_project.status", "shut")["maintenance"]["person"]["reason"] == "moving"
    tree.commit({"maintenance.html": "<h1>Our own words</h1>"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "closed for maintenance" in pushed.said
    assert asked(port, host)[::2] == (503, b"<h1>Our own words</h1>")
    machine.stop()
    assert page(port)[0] == 0
    machine.ok("mc_project.activate", "shut")
    assert asked(port, host)[0] == 503
    assert machine.ok("mc_project.maintenance", "shut", "off")["changes"]
    assert asked(port, host)[0] == 200
    assert machine.refused("mc_project.maintenance", "shut", "perhaps").endswith(
        "maintenance is on or off, not 'perhaps'."
    )
