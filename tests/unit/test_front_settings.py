"""What a person may write about the front is either served as meant, or refused in one sentence."""

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from corpus import secrets
from corpus.errors import ConfigurationError
from corpus.project.layout import Layout
from corpus.project.running import front
from corpus.project.running.front import access, certificates, maintenance, pages, served_files, tls
from corpus.project.running.front.site import Site
from corpus.project.running.supervisord import Supervisord
from corpus.project.session import PUBLIC

from tests.unit.test_front import RELEASE, cfg, only_tested


@pytest.mark.parametrize(
    ("prefix", "given", "words"),
    [
        ("static", "public", "is no prefix of a url"),
        ("/a b/", "public", "is no prefix of a url"),
        ("/a;/", "public", "is no prefix of a url"),
        ("/../", "public", "is no prefix of a url"),
        ("/.corpus/", "public", "is no prefix of a url"),
        ("/.well-known/acme-challenge/", "public", "is no prefix of a url"),
        ("//", "public", "is no prefix of a url"),
        (7, "public", "is no prefix of a url"),
        ("/s/", "../other", "leads out"),
        ("/s/", "/etc", "leads out"),
        ("/s/", "link", "leads out"),
        ("/s/", "public/../../other", "leads out"),
        ("/s/", 'a"b', "cannot name"),
        ("/s/", "a$b", "cannot name"),
        ("/s/", "", "needs a folder"),
        ("/s/", {}, "needs a folder"),
        ("/s/", ["public"], "needs a folder"),
        ("/s", "public", "write /s/"),
        ("/s/", {"folder": "public", "maxage": 1}, "has no setting 'maxage'"),
        ("/s/", {"folder": "public", "max_age": "long"}, "is a whole number of seconds"),
        ("/s/", {"folder": "public", "max_age": -1}, "is a whole number of seconds"),
        ("/s/", {"folder": "public", "max_age": True}, "is a whole number of seconds"),
        ("/s/", {"folder": "public", "hashed": "all"}, "is yes or no"),
    ],
)
def test_static_files_that_cannot_be(tmp_path: Path, prefix: object, given: object, words: str) -> None:
    tree = tmp_path / "tree"
    (tree / "public").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tree / "link").symlink_to("../other")
    with pytest.raises(ConfigurationError, match="static_files: .*" + words):
        served_files.static_files(cfg(static_files={prefix: given}, data_root=str(tmp_path / "data")), tree)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"upload_limit": "64mb"}, "upload_limit: '64mb' is no size"),
        ({"upload_limit": "64m; deny all"}, "is no size"),
        ({"upload_limit": "-1"}, "is no size"),
        ({"proxy_timeout": 0}, "proxy_timeout: 0 is not between"),
        ({"proxy_timeout": 1e9}, "is not between"),
        ({"trusted_proxies": ["10.0.0.0/33"]}, "is neither an address nor a network"),
        ({"trusted_proxies": ["proxy.example.org"]}, "is neither an address nor a network"),
        ({"trusted_proxies": [";"]}, "is neither an address nor a network"),
        ({"maintenance_page": "../page.html"}, "leads out"),
        ({"maintenance_page": "/etc/passwd"}, "leads out"),
        ({"https_port": 0}, "https_port: 0 is no port"),
        ({"tls": {"acme": True}, "domain": "a.example.org", "https_port": 8080}, "is the http_port already"),
        ({"tls": {"hsts": "long", "acme": True}, "domain": "a.example.org"}, "hsts is yes, no"),
        ({"tls": {"hsts": {"preloading": True}, "acme": True}, "domain": "a.example.org"}, "did you mean 'preload'"),
        ({"tls": {"redirect": "no way", "acme": True}, "domain": "a.example.org"}, "redirect is yes or no"),
        ({"tls": {"redirect": False}, "domain": "a.example.org"}, "give either"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        front.check(cfg(**changes))


@pytest.mark.parametrize(
    ("given", "header"),
    [
        (False, ""),
        (True, "max-age=31536000"),
        (60, "max-age=60"),
        (0, "max-age=0"),
        ({"max_age": 60, "subdomains": True, "preload": True}, "max-age=60; includeSubDomains; preload"),
    ],
)
def test_what_browsers_are_told_to_remember(given: object, header: str) -> None:
    settings = tls.Settings.configured(cfg(tls={"acme": True, "hsts": given}, domain="a.example.org"))
    assert settings is not None
    assert settings.hsts == header


@pytest.mark.parametrize(
    ("certified", "name", "covered"),
    [
        (["a.org"], "A.org", True),
        (["a.org"], "b.a.org", False),
        (["*.a.org"], "b.a.org", True),
        (["*.a.org"], "a.org", False),
        (["*.a.org"], "c.b.a.org", False),
        (["*.a.org"], "*.a.org", True),
        (["b.a.org"], "*.a.org", False),
    ],
)
def test_which_names_a_certificate_is_for(certified: list[str], name: str, covered: bool) -> None:
    assert certificates.covers(certified, name) is covered


def test_a_site_that_is_written_can_be_read(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx takes it, with everything in it; a rollback brings back the certificate that the old text names."""
    tested = only_tested(layout, monkeypatch)
    made = front.Front(layout.roots, Supervisord(layout.roots))
    first, second = certificates.self_signed(["a.example.org"]), certificates.self_signed(["a.example.org"])
    given = {
        "domain": "a.example.org",
        "trusted_proxies": ["10.0.0.0/8"],
        "static_files": {"/s/": {"folder": "with space", "hashed": True}, "/robots.txt": "robots.txt"},
        "http_port": 18080,
        "https_port": 18443,
    }
    texts = []
    for pair in (first, second):
        values = cfg(**given, tls={"certificate": pair.certificate, "key": pair.key, "hsts": 60})
        assert made.point(layout, values, RELEASE, [20000])
        texts.append(made.site(layout).read_text())
    sites = [Site.parsed(text) for text in texts]
    assert sites[0]
    assert sites[1]
    assert sites[0].certificate != sites[1].certificate
    assert "PRIVATE" not in texts[0]
    assert first.key.splitlines()[1] not in texts[0]
    made.put_back(layout, texts[0])
    told = made.certificate(layout)
    assert told is not None
    assert told["names"] == ["a.example.org"]
    assert [one.status for one in tested] == [0, 0, 0]
    assert Site.parsed("server { listen 80; }") is None


def test_one_port_is_for_http_or_for_https(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    only_tested(layout, monkeypatch)
    made = front.Front(layout.roots, Supervisord(layout.roots))
    pair = certificates.self_signed(["a.example.org"])
    secure = {"tls": {"certificate": pair.certificate, "key": pair.key}, "domain": "a.example.org"}
    assert made.point(layout, cfg(**secure, http_port=18080, https_port=18443), RELEASE, [20000])
    other = Layout(layout.roots, "other")
    with pytest.raises(ConfigurationError, match="is for http in one project and for https in another"):
        made.point(other, cfg(domain="b.example.org", http_port=18443), RELEASE, [20001])
    with pytest.raises(ConfigurationError, match=r"domain: a.example.org at .* is the project 'demo' already"):
        made.point(other, cfg(**secure, http_port=18081, https_port=18443), RELEASE, [20001])


def test_a_certificate_is_renewed_with_a_third_of_its_life_left() -> None:
    pair = certificates.self_signed([])
    begin, end = pair.validity()
    assert abs((end - pair.due()) - (end - begin) / 3) < datetime.timedelta(seconds=1)
    assert "PRIVATE" not in repr(pair)


def test_a_key_is_a_secret_and_a_certificate_is_none() -> None:
    pair = certificates.self_signed(["a.example.org"])
    settings = {"tls": {"certificate": pair.certificate, "key": pair.key}}
    redactor = secrets.Redactor(secrets.found_in(settings, PUBLIC))
    told = redactor.text(json.dumps(settings))
    assert pair.key.splitlines()[1] not in told
    assert pair.certificate.splitlines()[1] in told


def test_a_person_and_a_deployment_close_each_for_itself(tmp_path: Path) -> None:
    sign = maintenance.Sign(tmp_path / "demo")
    assert sign.hang(maintenance.PERSON, "ada", "a move")
    assert sign.hang(maintenance.DEPLOYMENT, "bob", "")
    assert not sign.hang(maintenance.DEPLOYMENT, "bob", "")
    assert sign.take_down(maintenance.DEPLOYMENT)
    assert sign.hung_by()[maintenance.PERSON]["reason"] == "a move"
    assert not sign.take_down(maintenance.DEPLOYMENT)
    assert sign.take_down(maintenance.PERSON)
    assert not (tmp_path / "demo").exists()


def test_a_maintenance_page_is_read_without_following_links(tmp_path: Path) -> None:
    tree, folder = tmp_path / "tree", tmp_path / "pages"
    (tree / "in").mkdir(parents=True)
    folder.mkdir()
    (tmp_path / "secret.html").write_text("secret")
    (tree / "maintenance.html").symlink_to("../secret.html")
    (tree / "away").symlink_to("..")
    (tree / "in/page.html").write_text("our own")
    pages.write_closed(folder, tree, None)
    assert "We will be right back" in (folder / "closed.html").read_text()
    pages.write_closed(folder, tree, "in/page.html")
    assert (folder / "closed.html").read_text() == "our own"
    for chosen in ("away/secret.html", "maintenance.html", "in", "nonesuch.html"):
        with pytest.raises(ConfigurationError, match="is no file of the project's tree"):
            pages.write_closed(folder, tree, chosen)


def test_large_logs_are_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_LARGEST", 10)
    log = tmp_path / "access.log"
    assert not access.rotate(log)
    for number in range(8):
        log.write_text(f"{number} a long line\n")
        assert access.rotate(log)
        assert log.read_text() == ""
    assert not access.rotate(log)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["access.log", *(f"access.log.{number}.gz" for number in (2, 3, 4, 5))]
    assert gzip.decompress((tmp_path / "access.log.2.gz").read_bytes()) == b"7 a long line\n"
