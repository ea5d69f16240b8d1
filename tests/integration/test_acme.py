"""Certificates from an authority that speaks ACME: a real one, Debian's pebble, which looks for the proofs through the front."""

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from corpus.project.running.front import caretaker

from tests.asking import asking
from tests.integration.test_front import Ca, asked, expires
from tests.machine import CHECKOUT, Machine, deadline, free_port

PAGE = {"public/index.html": "served"}


@dataclass
class Pebble:
    """A running authority.

    :param directory: where ACME begins
    :param trusted: file with what its own https is trusted by
    :param folder: of its files
    """

    directory: str
    trusted: Path
    folder: Path
    management: int

    def settings(self) -> dict[str, Any]:
        return {"acme": {"directory": self.directory, "contact": "ada@example.org", "ca_bundle": str(self.trusted)}}

    def root(self) -> Path:
        """The root that the certificates it gives are trusted by."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        with urllib.request.urlopen(f"https://localhost:{self.management}/roots/0", context=context) as answer:
            path = self.folder / "root.pem"
            path.write_bytes(answer.read())
        return path


@contextmanager
def pebble(folder: Path, http_port: int, lifetime: int = 90 * 24 * 3600) -> Iterator[Pebble]:
    """Run an authority that finds every host name on this machine, and the front at ``http_port``.

    :param lifetime: of its certificates, seconds
    """
    folder.mkdir()
    ca = Ca(folder)
    for name, text in ca.pair("localhost").items():
        (folder / f"{name}.pem").write_text(text)
    listens, management, dns, testing = (free_port() for _ in range(4))
    settings = {
        "listenAddress": f"127.0.0.1:{listens}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "certificate.pem"),
        "privateKey": str(folder / "key.pem"),
        "httpPort": http_port,
        "tlsPort": 1,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": lifetime,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    off = ("-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1")
    with (folder / "log").open("w") as log:
        names = subprocess.Popen(
            ["pebble-challtestsrv", *off, "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{testing}"],
            stdout=log,
            stderr=log,
        )
        authority = subprocess.Popen(
            ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{dns}", "-strict"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PEBBLE_VA_NOSLEEP": "1"},
        )
    made = Pebble(f"https://localhost:{listens}/dir", ca.file, folder, management)
    try:
        for _ in deadline(20):
            try:
                made.root()
                break
            except OSError:
                continue
        yield made
    finally:
        for process in (authority, names):
            process.kill()
            process.wait()


def test_a_certificate_by_acme_and_its_renewal(machine: Machine, tmp_path: Path) -> None:
    """One is got in the first deployment, renewed by the caretaker when it is time, and nobody notices."""
    port, secure = free_port(), free_port()
    names = {"domain": "shop.example.org", "domains": ["www.shop.example.org"]}
    with pebble(tmp_path / "pebble", port, lifetime=30) as authority:
        machine.init("shop", installer="static", http_port=port, https_port=secure, tls=authority.settings(), **names)
        tree = machine.work_tree("shop", PAGE)
        pushed = tree.push()
        assert pushed.status == 0, pushed.said
        assert "certificate" not in pushed.said.lower()
        trust = authority.root()
        for name in ("shop.example.org", "www.shop.example.org"):
            assert asked(secure, name, trust=trust)[::2] == (200, b"served")
        assert asked(port, "shop.example.org")[0] == 301
        assert machine.ok("mc_project.status", "shop")["certificate"]["from"] == "acme"
        account = machine.projects / ".corpus/front/acme"
        kept = {path.name: path.read_bytes() for path in account.rglob("account.*")}
        assert {path.stat().st_mode & 0o777 for path in account.rglob("account.*")} == {0o600}

        def get(port: int, path: str, host: str) -> tuple[int, str]:
            try:
                status, _, body = asked(port, host, path, trust)
            except OSError as err:
                return 0, str(err)
            return status, body.decode()

        first = expires(secure, "shop.example.org", trust)
        taking_care = subprocess.Popen(
            [sys.executable, "-S", caretaker.__file__, str(CHECKOUT / "_utils"), str(machine.projects), "1"]
        )
        try:
            with asking(secure, host="shop.example.org", get=get) as seen:
                for _ in deadline(60):
                    if expires(secure, "shop.example.org", trust) > first:
                        break
        finally:
            taking_care.kill()
            taking_care.wait()
        assert seen.lost == []
        assert {path.name: path.read_bytes() for path in account.rglob("account.*")} == kept
        tree.commit({"public/index.html": "again"})
        assert tree.push().status == 0
        assert asked(secure, "shop.example.org", trust=trust)[2] == b"again"


def test_an_authority_that_refuses_breaks_nothing(machine: Machine, tmp_path: Path) -> None:
    """What can be served is, by http; the deployment says what went wrong; asking again later heals it."""
    port, secure = free_port(), free_port()
    with pebble(tmp_path / "pebble", free_port()) as authority:  # it knocks at a port where nobody is
        machine.init(
            "poor",
            installer="static",
            http_port=port,
            https_port=secure,
            domain="poor.example.org",
            tls=authority.settings(),
        )
        tree = machine.work_tree("poor", PAGE)
        pushed = tree.push()
        assert pushed.status == 0, pushed.said
        assert "No certificate for poor.example.org" in pushed.said
        assert "Connection refused" in pushed.said.replace("connection", "Connection")
        assert "Traceback" not in pushed.said
        assert asked(port, "poor.example.org")[::2] == (200, b"served")  # not sent to https: no browser would like it
        told = machine.ok("mc_project.status", "poor")["certificate"]
        assert told["from"] == "self-signed"
        assert "poor.example.org" in told["problem"]
        again = tree.commit({"public/index.html": "again"}) and tree.push()
        assert "mc_project.renew_certificates poor asks again" in again.said

    failed = machine.call("mc_project.renew_certificates", "poor", force=True)
    assert failed.status == 1
    told = failed.answer["poor"]
    assert "cannot be asked for a certificate" in told["comment"]
    with pebble(tmp_path / "another", port) as authority:
        machine.ok("mc_project.set_configuration", "poor", tls=authority.settings())
        assert machine.ok("mc_project.deploy_project", "poor")["result"]
        assert asked(secure, "poor.example.org", trust=authority.root())[::2] == (200, b"again")
        assert asked(port, "poor.example.org")[0] == 301


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"domain": "*.shop.example.org"}, "gets no certificate for *.shop.example.org"),
        ({"domain": None}, "set domain"),
        ({"domain": "192.0.2.1"}, "use a full host name"),
        ({"tls": {"acme": {"directory": "http://ca.example.org"}}}, "is an https url"),
        ({"tls": {"acme": {"contact": "nobody"}}}, "is a mail address"),
        ({"tls": {"acme": {"ca_bundle": "ca.pem"}}}, "is the absolute path of a file"),
        ({"tls": {"acme": True, "redirct": False}}, "did you mean 'redirect'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_asked_for(machine: Machine, settings: dict[str, Any], words: str) -> None:
    if not machine.project("asks").exists():
        machine.init("asks", installer="static")
        assert machine.work_tree("asks", PAGE).push().status == 0
    machine.ok("mc_project.set_configuration", "asks", domain="a.example.org", tls=None)
    machine.ok("mc_project.set_configuration", "asks", **{"tls": {"acme": True}, **settings})
    ended = machine.call("mc_project.deploy_project", "asks")
    assert ended.status != 0
    assert words in ended.answer["comment"]
