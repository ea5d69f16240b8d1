"""What the web front may be told: names, addresses, folders."""

from pathlib import Path
from typing import Any

import pytest
from corpus import processes
from corpus.errors import ConfigurationError
from corpus.project.layout import Layout
from corpus.project.running import front
from corpus.project.running.front import nginx
from corpus.project.running.supervisord import Supervisord

RELEASE = "20260101T000000Z-00000001"


def cfg(**changes: Any) -> dict[str, Any]:
    return {
        "domain": None,
        "domains": [],
        "http_address": "127.0.0.1",
        "http_port": 8080,
        "https_port": 8443,
        "document_root": None,
        "main_ip": "192.0.2.7",
        "tls": {},
        "trusted_proxies": [],
        "static_files": {},
        "spa": False,
        "upload_limit": "64m",
        "proxy_timeout": 300,
        "security_headers": True,
        "access_log": True,
        "maintenance_page": None,
        "maintenance_retry": 120,
        "data_root": "/srv/projects/demo/data",
        "project_root": "/srv/projects/demo/project",
        "user": "root",
        "group": "root",
        **changes,
    }


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "example.org",
        "a.b-c.example.org",
        "*.example.org",
        "EXAMPLE.org",
        "1.example.org",
        "xn--nxasmq6b.example",
        "192.0.2.1",
        ".".join(["a" * 49] * 5),
    ],
)
def test_host_names(name: str) -> None:
    assert front.check_names(cfg(domain=name)) == [name]
    assert front.check_names(cfg(domain="x.org", domains=[name])) == ["x.org", name]


@pytest.mark.parametrize(
    "name",
    [
        " ",
        "a b",
        "-a.org",
        "a-.org",
        "a..org",
        ".org",
        "org.",
        "*",
        "*.",
        "a.*.org",
        "**.org",
        "é.org",
        "a.org;",
        "a.org { }",
        'a"b',
        "a'b",
        "a\nb",
        "a.org\n",
        "$host",
        "~^.*$",
        "a/b",
        "a:80",
        "_",
        "a" * 254,
        "a." * 5000 + "a",
        5,
        ["a.org"],
    ],
    ids=lambda name: repr(name)[:30],
)
def test_what_is_no_host_name(name: object) -> None:
    for given in (cfg(domain=name), cfg(domains=["fine.org", name])):
        with pytest.raises(ConfigurationError, match=r"domain: .* is no host name") as refused:
            front.check_names(given)
        assert len(str(refused.value)) < 150


def test_no_names() -> None:
    assert front.check_names(cfg(domain="", domains=["", None])) == []


@pytest.mark.parametrize("address", ["*", "127.0.0.1", "0.0.0.0", "[::]", "[::1]", "[2001:db8::1]"])
def test_addresses(address: str) -> None:
    front.check_names(cfg(http_address=address))


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "999.1.1.1",
        "1.2.3.4;",
        "::1",
        "[::1",
        "[1.2.3.4]",
        "[]",
        "[::g]",
        "unix:/x",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"http_address: .* is no address"):
        front.check_names(cfg(http_address=address))


@pytest.mark.parametrize("port", [1, 80, 65535])
def test_ports(port: int) -> None:
    front.check_names(cfg(http_port=port))


@pytest.mark.parametrize("port", [0, -1, 65536, 10**9])
def test_what_is_no_port(port: int) -> None:
    with pytest.raises(ConfigurationError, match=r"http_port: .* is no port"):
        front.check_names(cfg(http_port=port))


@pytest.mark.parametrize(
    "folder", ["public", ".", "", "deep/er", "deep/../public", "with space", "ünïcödé", "it's", "nonesuch"]
)
def test_document_roots(tmp_path: Path, folder: str) -> None:
    assert front.document_root(cfg(document_root=folder), tmp_path) == (tmp_path / folder).resolve()
    assert front.document_root(cfg(), tmp_path) is None


@pytest.mark.parametrize("folder", ["..", "../other", "a/../../other", "/etc", "/", "link", "link/deeper", "link/.."])
def test_document_roots_that_lead_out(tmp_path: Path, folder: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "other/deeper").mkdir(parents=True)
    (tree / "link").symlink_to("../other")
    with pytest.raises(ConfigurationError, match="leads out of the project's tree"):
        front.document_root(cfg(document_root=folder), tree)


@pytest.mark.parametrize(
    "folder", ['a"b', "a\\b", "a$b", "a{b", "a}b", "a;b", "a\nb", "a\rb", "a\0b", "a\tb", "a\x1bb"]
)
def test_document_roots_that_nginx_cannot_name(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ConfigurationError, match="has a character that a web server cannot name"):
        front.document_root(cfg(document_root=folder), tmp_path)


@pytest.mark.parametrize(
    ("values", "address", "url"),
    [
        (cfg(), "127.0.0.1", "http://127.0.0.1:8080/"),
        (cfg(http_address="*", http_port=80), "127.0.0.1", "http://192.0.2.7/"),
        (cfg(http_address="[::1]"), "::1", "http://[::1]:8080/"),
        (cfg(http_address="*", domain="demo.example.org"), "127.0.0.1", "http://demo.example.org:8080/"),
    ],
)
def test_where_a_person_and_we_ourselves_find_it(values: dict[str, Any], address: str, url: str) -> None:
    assert front.loopback(values) == address
    assert front.url(values) == url


def only_tested(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> list[processes.Result]:
    """Let nginx read its configuration and not start; return what it said."""
    said: list[processes.Result] = []

    def tell(self: nginx.Nginx) -> None:
        self._write_fallback()
        folder = layout.roots.own / "front"
        said.append(processes.run(["nginx", "-e", "stderr", "-c", folder / "nginx.conf", "-t", "-q"], check=False))
        assert said[-1].status == 0, said[-1].errors

    monkeypatch.setattr(nginx.Nginx, "tell", tell)
    monkeypatch.setattr(front.Front, "_await", lambda *_: None)
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": ".".join(["a" * 49] * 5)},
        {"domain": "*.example.org", "domains": [f"name-{number}.example.org" for number in range(200)]},
        {"document_root": "with space/it's ünïcödé"},
        {"http_address": "[::1]"},
        {"http_address": "*", "domain": "demo.example.org", "trusted_proxies": ["10.0.0.0/8", "::1"]},
        {"static_files": {"/static/": "with space/static", "/robots.txt": "robots.txt", "/": "public"}},
        {"spa": True, "upload_limit": "0", "access_log": False, "security_headers": False},
    ],
    ids=["long name", "many names", "odd folder", "IPv6", "every address", "static files", "single page"],
)
def test_nginx_takes_what_the_checks_let_through(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """nginx itself reads the configuration, of two projects at one address; it is not started."""
    tested = only_tested(layout, monkeypatch)
    values = cfg(document_root="public", http_port=18080)
    values.update(changes)
    made = front.Front(layout.roots, Supervisord(layout.roots))
    assert made.point(
        Layout(layout.roots, "other"), {**values, "domain": "other.example.org", "domains": []}, RELEASE, [20001]
    )
    assert made.point(layout, values, RELEASE, [])
    assert made.point(layout, values, RELEASE, [20000, 20002])
    assert made.site(layout).read_text().count("server 127.0.0.1:2000") == 2
    made.erase(Layout(layout.roots, "other"))
    made.erase(layout)
    assert not list((layout.roots.own / "front/sites").iterdir())
    assert len(tested) == 5


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ({}, {}, "for every name already: give 'demo' a domain"),
        ({"domain": "a.example.org"}, {"domain": "b.example.org", "domains": ["a.example.org"]}, "a.example.org at"),
    ],
    ids=["any name", "same name"],
)
def test_address_that_another_project_has_is_refused(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, ours: dict[str, Any], theirs: dict[str, Any], words: str
) -> None:
    only_tested(layout, monkeypatch)
    made = front.Front(layout.roots, Supervisord(layout.roots))
    values = cfg(document_root="public", http_port=18080)
    assert made.point(Layout(layout.roots, "other"), {**values, **theirs}, RELEASE, [20001])
    with pytest.raises(ConfigurationError, match=words):
        made.point(layout, {**values, **ours}, RELEASE, [20000])
    assert not made.site(layout).exists()
    assert made.point(layout, {**values, **ours, "http_port": 18081}, RELEASE, [20000])
