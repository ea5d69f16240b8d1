"""Releases: bundled, fetched, verified, unpacked, rotated."""

import gzip
import hashlib
import io
import json
import lzma
import os
import py_compile
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import zstandard
from corpus import files
from corpus.errors import CorpusError, ReleaseRefused
from corpus.project.keeping import artifacts, bundles, releases
from corpus.project.keeping import manifest as manifests
from corpus.project.layout import Layout, Roots

IDS = [f"2026010{day}T000000Z-0000000{day}" for day in range(1, 8)]
CFG = {
    "installer": "generic",
    "api_version": 2,
    "operation_mode": "cooking",
    "keep_trees": 1,
    "keep_releases": 3,
    "keep_failed": 2,
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# bundle


def bundled(tmp_path: Path, name: str, fill: Callable[[Path], None], when: int = 1_700_000_000) -> tuple[bytes, Any]:
    """The archive and the manifest of a release of a project of its own."""
    layout = Layout(Roots(tmp_path / name), "demo")
    layout.deploy.mkdir(parents=True)
    layout.release(IDS[0]).mkdir(parents=True)
    fill(layout.deploy)
    manifest = bundles.pack(layout, IDS[0], CFG, {"revision": "abc", "who": "ada"}, when)
    assert files.read_json(layout.manifest(IDS[0])) == manifest
    assert {path.name for path in layout.release(IDS[0]).iterdir()} == {"manifest.json", *manifest["artifacts"]}
    return (layout.release(IDS[0]) / f"demo-{IDS[0]}.tar.zst").read_bytes(), manifest


CONTENT = {
    "index.html": b"<h1>hello</h1>",
    "deep/er/app.py": b"print()",
    "b": b"",
    "a": os.urandom(200_000),
    "é ünd 'x'": b"x",
    "n" * 150: b"long name",
}


def fill(folder: Path, names: list[str] | None = None, odd: bool = False) -> None:
    for name in names or list(CONTENT):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT[name])
        path.chmod(0o644)
        if odd:
            os.utime(path, (1, 1))
            if os.geteuid() == 0:
                os.chown(path, 1234, 4321)
    for parent in ("deep", "deep/er"):
        (folder / parent).chmod(0o755)
    (folder / "deep/er/app.py").chmod(0o755)
    (folder / "link").symlink_to("deep/er/app.py")
    if odd:
        (folder / "c").hardlink_to(folder / "a")
    else:
        (folder / "c").write_bytes(CONTENT["a"])
        (folder / "c").chmod(0o644)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order of creation, owner, time, and hard links."""
    one, manifest = bundled(tmp_path, "one", fill)
    other, other_manifest = bundled(tmp_path, "other", lambda folder: fill(folder, list(reversed(CONTENT)), odd=True))
    assert one == other
    assert {**manifest, "project_root": ""} == {**other_manifest, "project_root": ""}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "b").write_text("x"),
        lambda folder: (folder / "b").chmod(0o755),
        lambda folder: (folder / "b").rename(folder / "bb"),
        lambda folder: (folder / "empty").mkdir(),
    ],
    ids=["content", "mode", "name", "folder"],
)
def test_another_content_gives_other_bytes(tmp_path: Path, change: Callable[[Path], object]) -> None:
    def filled(folder: Path) -> None:
        fill(folder)
        change(folder)

    assert bundled(tmp_path, "one", fill)[0] != bundled(tmp_path, "other", filled)[0]


def test_the_manifest_tells_every_sum(tmp_path: Path) -> None:
    archive, manifest = bundled(tmp_path, "one", fill)
    name = f"demo-{IDS[0]}.tar.zst"
    assert manifest["artifacts"] == {name: {"sha256": sha256(archive), "size": len(archive)}}
    assert manifest["files"] == {
        name: {"sha256": sha256(content), "mode": "0755" if name.endswith(".py") else "0644"}
        for name, content in {**CONTENT, "c": CONTENT["a"]}.items()
    }
    assert manifest["links"] == {"link": "deep/er/app.py"}
    assert {key: manifest[key] for key in ("name", "release", "api_version", "mode", "revision", "who")} == {
        "name": "demo",
        "release": IDS[0],
        "api_version": 2,
        "mode": "cooking",
        "revision": "abc",
        "who": "ada",
    }


def test_what_is_bundled_comes_out_again(tmp_path: Path) -> None:
    archive, manifest = bundled(tmp_path, "one", fill)
    (tmp_path / "x.tar.zst").write_bytes(archive)
    folder = tmp_path / "out"
    folder.mkdir()
    bundles.unpack(tmp_path / "x.tar.zst", folder)
    manifests.verify(folder, manifest)
    assert (folder / "link").readlink() == Path("deep/er/app.py")
    assert os.access(folder / "deep/er/app.py", os.X_OK)
    assert (folder / "b").stat().st_mtime == 1_700_000_000


def test_pipes_and_sockets_do_not_travel(tmp_path: Path) -> None:
    def filled(folder: Path) -> None:
        fill(folder)
        os.mkfifo(folder / "pipe")

    assert bundled(tmp_path, "one", fill)[0] == bundled(tmp_path, "other", filled)[0]


def compiled(source: Path, mode: py_compile.PycInvalidationMode) -> None:
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("answer = 42\n")
    py_compile.compile(str(source), invalidation_mode=mode)


def test_compiled_files_that_go_by_time_do_not_travel(tmp_path: Path) -> None:
    """Python would write them again where the sources have other times; those that go by hashes it leaves alone."""

    def filled(folder: Path) -> None:
        fill(folder)
        compiled(folder / "venv/by_hash.py", py_compile.PycInvalidationMode.CHECKED_HASH)

    def ran(folder: Path) -> None:
        filled(folder)
        compiled(folder / "venv/by_time.py", py_compile.PycInvalidationMode.TIMESTAMP)
        compiled(folder / "own/by_time.py", py_compile.PycInvalidationMode.TIMESTAMP)
        (folder / "venv/by_time.py").unlink()
        (folder / "own/by_time.py").unlink()
        (folder / "kept.pyc").write_bytes(b"\0" * 16)

    once, manifest = bundled(tmp_path, "once", filled)
    cached = f"venv/__pycache__/by_hash.{sys.implementation.cache_tag}.pyc"
    assert [path for path in manifest["files"] if path.endswith(".pyc")] == [cached]
    _, later = bundled(tmp_path, "later", ran)
    assert set(later["files"]) - set(manifest["files"]) == {"kept.pyc"}
    (tmp_path / "x.tar.zst").write_bytes(once)
    out = tmp_path / "out"
    out.mkdir()
    bundles.unpack(tmp_path / "x.tar.zst", out)
    subprocess.run([sys.executable, "-c", "import by_hash"], check=True, env={"PYTHONPATH": str(out / "venv")})
    manifests.verify(out, manifest)


def test_what_python_compiles_is_no_change_of_a_release(tmp_path: Path) -> None:
    fill(tmp_path)
    manifest = {"files": {name: sha256(content) for name, content in CONTENT.items()}}
    compiled(tmp_path / "more.py", py_compile.PycInvalidationMode.TIMESTAMP)
    (tmp_path / "stray.pyc").write_bytes(b"")
    assert set(manifests.additional(tmp_path, manifest)) - {"c", "link"} == {"more.py", "stray.pyc"}


@pytest.mark.parametrize("change", ["altered", "gone", "folder"])
def test_verify_names_the_first_that_differs(tmp_path: Path, change: str) -> None:
    fill(tmp_path)
    manifest = {"files": {name: sha256(content) for name, content in CONTENT.items()}}
    manifests.verify(tmp_path, manifest)
    manifests.verify(tmp_path, {})
    victim = tmp_path / "deep/er/app.py"
    victim.unlink()
    if change != "gone":
        victim.write_text("altered") if change == "altered" else victim.mkdir()
    with pytest.raises(ReleaseRefused, match=r"^deep/er/app\.py is not what the release's manifest says\.$"):
        manifests.verify(tmp_path, manifest)


# fetch


class Odd(SimpleHTTPRequestHandler):
    """Serves a folder, and some files as no good server would."""

    def do_GET(self) -> None:
        if self.path.startswith("/cut/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
        elif self.path.startswith("/chunks/"):
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3e8\r\n" + b"x" * 500)
            self.close_connection = True
        elif self.path.startswith("/broken/"):
            self.send_error(500)
        elif self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
        elif self.path.startswith("/silent/"):
            self.close_connection = True
        elif self.path.startswith("/packed/") and "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(Path(self.directory, self.path.removeprefix("/packed/")).read_bytes())
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        else:
            self.path = self.path.removeprefix("/packed")
            super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a release in it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a b.tar.gz").write_bytes(gzip.compress(b"A" * 5000))
    for name in ("one.tar.gz", "two.tar.zst"):
        (folder / name).write_bytes(name.encode() * 1000)
    artifacts = {path.name: {"sha256": sha256(path.read_bytes())} for path in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    (folder / "unlisted.tar").write_bytes(b"unlisted")
    return folder


@pytest.fixture
def http(shop: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Odd, directory=str(shop))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.fixture(params=["http", "file"])
def base(request: pytest.FixtureRequest, shop: Path) -> str:
    return str(request.getfixturevalue("http")) if request.param == "http" else shop.as_uri()


def test_artifacts_are_fetched_and_verified_against_the_manifest_beside_them(
    base: str, shop: Path, target: Path
) -> None:
    fetched = artifacts.fetch([f"{base}/two.tar.zst", f"{base}/one.tar.gz", f"{base}/a%20b.tar.gz"], target)
    assert fetched == [target / "two.tar.zst", target / "one.tar.gz", target / "a b.tar.gz"]
    assert all(path.read_bytes() == (shop / path.name).read_bytes() for path in fetched)


@pytest.mark.parametrize("form", ["fragment", "mapping", "capitals"])
def test_a_sum_may_stand_in_the_configuration(base: str, target: Path, form: str) -> None:
    digest, url = sha256(b"unlisted"), f"{base}/unlisted.tar"
    entry: object = f"{url}#sha256={digest}"
    if form == "mapping":
        entry = {"url": url, "sha256": digest}
    elif form == "capitals":
        entry = {"url": url, "sha256": digest.upper()}
    assert artifacts.fetch([entry], target) == [target / "unlisted.tar"]


@pytest.mark.parametrize("form", ["fragment", "mapping", "manifest"])
def test_a_wrong_sum_is_refused_and_the_file_gone(base: str, shop: Path, target: Path, form: str) -> None:
    wrong = sha256(b"other")
    entry: object = f"{base}/one.tar.gz#sha256={wrong}"
    if form == "mapping":
        entry = {"url": f"{base}/one.tar.gz", "sha256": wrong}
    elif form == "manifest":
        (shop / "manifest.json").write_text(json.dumps({"artifacts": {"one.tar.gz": {"sha256": wrong}}}))
        entry = f"{base}/one.tar.gz"
    with pytest.raises(
        ReleaseRefused, match=rf"is not what was released: its sha256 is \w+, the manifest says {wrong}"
    ):
        artifacts.fetch([entry], target)
    assert not (target / "one.tar.gz").exists()


@pytest.mark.parametrize(
    "manifest",
    [None, "", "{", "[]", "null", '{"artifacts": []}', '{"artifacts": {}}', '{"artifacts": {"one.tar.gz": {}}}'],
)
def test_what_cannot_be_verified_is_refused(base: str, shop: Path, target: Path, manifest: str | None) -> None:
    if manifest is None:
        (shop / "manifest.json").unlink()
    else:
        (shop / "manifest.json").write_text(manifest)
    with pytest.raises(
        ReleaseRefused, match=r"cannot be verified: .*manifest\.json does not tell its sha256 .*#sha256="
    ):
        artifacts.fetch([f"{base}/one.tar.gz"], target)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nonesuch.tar.gz", "cannot be fetched: the server answered 404"),
        ("broken/one.tar.gz", "cannot be fetched: the server answered 500"),
        ("cut/one.tar.gz", "was cut short"),
        ("chunks/one.tar.gz", "was cut short"),
        ("silent/one.tar.gz", "cannot be fetched: ConnectionError"),
    ],
)
def test_http_that_fails_says_how(http: str, target: Path, path: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=f"{http}/{path} {reason}"):
        artifacts.fetch([f"{http}/{path}#sha256={'0' * 64}"], target)


def test_a_redirect_is_followed(http: str, target: Path) -> None:
    assert artifacts.fetch([f"{http}/moved/one.tar.gz#sha256={sha256(b'one.tar.gz' * 1000)}"], target)


def test_a_server_that_packs_on_the_way_does_not_change_the_sum(http: str, target: Path) -> None:
    assert artifacts.fetch([f"{http}/packed/unlisted.tar#sha256={sha256(b'unlisted')}"], target)


def test_nobody_listens(target: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be fetched: ConnectionError"):
        artifacts.fetch(["http://127.0.0.1:9/one.tar.gz"], target)


@pytest.mark.parametrize("path", ["no.tar", "shop/folder.tar"])
def test_a_file_that_is_none(tmp_path: Path, shop: Path, target: Path, path: str) -> None:
    (shop / "folder.tar").mkdir()
    with pytest.raises(CorpusError, match=f"file://{tmp_path}/{path} cannot be read: "):
        artifacts.fetch([f"file://{tmp_path}/{path}#sha256={'0' * 64}"], target)


def test_nothing_is_written_outside_of_the_folder(shop: Path, target: Path) -> None:
    fetched = artifacts.fetch([f"{shop.as_uri()}/x/..%2Fone.tar.gz".replace("x/..%2F", "")], target)
    assert fetched == [target / "one.tar.gz"]
    assert artifacts.Artifact.parsed("http://h/..%2F..%2Fetc%2Fx.tar").file_name == "x.tar"


def test_two_artifacts_of_one_name_are_refused(shop: Path, target: Path) -> None:
    url = f"{shop.as_uri()}/one.tar.gz"
    with pytest.raises(ReleaseRefused, match=r"two artifacts are called one\.tar\.gz"):
        artifacts.fetch([url, url], target)


def test_passwords_of_urls_stay_out_of_messages(http: str, target: Path) -> None:
    secret = http.replace("//", "//ada:s3cr3t@")
    for entry in (
        f"{secret}/nonesuch.tar",
        f"{secret}/cut/x.tar",
        f"{secret}/unlisted.tar",
        f"{secret}/unlisted.tar#sha256={'0' * 64}",
        f"{secret}/unlisted.tar#sha256=short",
        f"{secret}/x.zip",
        {"url": f"{secret}/x.zip"},
    ):
        with pytest.raises(CorpusError) as refused:
            artifacts.fetch([entry], target)
        assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "one.tar.gz",
        "/srv/one.tar.gz",
        "ftp://h/one.tar.gz",
        "javascript:alert(1).tar",
        "http://[::1/one.tar",
        "ssh://h:99999/one.tar",
        None,
        5,
        [],
        {},
        {"url": None},
        {"url": 5, "sha256": "0" * 64},
        {"sha256": "0" * 64},
        "http://h/one.zip",
        "http://h/",
        "http://h/.tar.gz.exe",
        "http://h/a.tar#sha256=123",
        "http://h/a.tar#md5=123",
        f"http://h/a.tar#sha256={'g' * 64}",
        {"url": "http://h/a.tar", "sha256": 5},
        {"url": "http://h/a.tar", "sha256": "0" * 63},
    ],
    ids=repr,
)
def test_entries_that_are_none(entry: object, target: Path) -> None:
    with pytest.raises(ReleaseRefused, match=r"^release_artifacts_urls: "):
        artifacts.fetch([entry], target)


@pytest.mark.parametrize("url", ["ssh://-oProxyCommand=id/x.tar", "ssh://-oX@h/x.tar", "ssh:///x.tar"])
def test_ssh_takes_no_options_for_hosts(url: str, target: Path) -> None:
    with pytest.raises(ReleaseRefused, match="names no host"):
        artifacts.fetch([f"{url}#sha256={'0' * 64}"], target)


# unpack

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **attributes: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def packed(*members: Member) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "x.tar": bytes,
    "x.tar.gz": gzip.compress,
    "x.tgz": gzip.compress,
    "x.tar.xz": lzma.compress,
    "x.tar.zst": zstandard.ZstdCompressor().compress,
}
GOOD = packed(member("app/index.html", b"hello"), member("big", os.urandom(300_000), mode=0o755))


@pytest.mark.parametrize("name", WAYS)
def test_every_kind_of_archive_is_unpacked(tmp_path: Path, target: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WAYS[name](GOOD))
    bundles.unpack(tmp_path / name, target)
    assert (target / "app/index.html").read_bytes() == b"hello"
    assert (target / "big").stat().st_size == 300_000


@pytest.mark.parametrize("name", ["x.tar.zst", "x.tar.gz", "x.tar.xz"])
def test_archives_of_several_frames(tmp_path: Path, target: Path, name: str) -> None:
    middle = len(GOOD) // 2
    (tmp_path / name).write_bytes(WAYS[name](GOOD[:middle]) + WAYS[name](GOOD[middle:]))
    bundles.unpack(tmp_path / name, target)
    assert (target / "big").stat().st_size == 300_000


LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
EVIL: dict[str, tuple[Member, ...]] = {
    "parent": (member("../evil", b"x"),),
    "parent deep": (member("a/b/../../../evil", b"x"),),
    "absolute": (member("/evil", b"x"),),
    "absolute twice": (member("//evil", b"x"),),
    "link out": (member("a", type=LINK, linkname="../evil"),),
    "link absolute": (member("a", type=LINK, linkname="/etc/passwd"),),
    "link deep": (member("d/a", type=LINK, linkname="../../evil"),),
    "through a link": (member("a", type=LINK, linkname=".."), member("a/evil", b"x")),
    "through two links": (
        member("a", type=LINK, linkname="."),
        member("a/b", type=LINK, linkname=".."),
        member("b/evil", b"x"),
    ),
    "a link that later leads out": (
        member("a", type=LINK, linkname="d/e/../../outside"),
        member("d/e", type=LINK, linkname=".."),
    ),
    "over a link": (member("a", type=LINK, linkname="b"), member("a", b"x")),
    "hard link to a link": (member("a", type=LINK, linkname="first"), member("b", type=HARD, linkname="a")),
    "hard link through a link": (member("a", type=LINK, linkname="."), member("b", type=HARD, linkname="a/first")),
    "hard link out": (member("a", type=HARD, linkname="../outside"),),
    "hard link absolute": (member("a", type=HARD, linkname="/etc/passwd"),),
    "device": (member("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3),),
    "disk": (member("a", type=tarfile.BLKTYPE, devmajor=8, devminor=0),),
    "pipe": (member("a", type=tarfile.FIFOTYPE),),
}


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("name", ["x.tar", "x.tar.zst"])
def test_nothing_gets_out_of_the_folder(tmp_path: Path, target: Path, kind: str, name: str) -> None:
    (tmp_path / "outside").write_text("outside")
    (tmp_path / name).write_bytes(WAYS[name](packed(member("first", b"1"), *EVIL[kind])))
    with pytest.raises(ReleaseRefused, match=rf"^{name} is refused: "):
        bundles.unpack(tmp_path / name, target)
    assert {path.name for path in tmp_path.iterdir()} == {name, "target", "outside"}
    assert (tmp_path / "outside").read_text() == "outside"
    assert not Path("/evil").exists()


def test_links_that_stay_inside_are_unpacked(tmp_path: Path, target: Path) -> None:
    (tmp_path / "x.tar").write_bytes(
        packed(
            member("v1/app", b"x"),
            member("current", type=LINK, linkname="v1"),
            member("v1/up", type=LINK, linkname="../current/app"),
            member("dangling", type=LINK, linkname="v2/later"),
            member("hard", type=HARD, linkname="v1/app"),
        )
    )
    bundles.unpack(tmp_path / "x.tar", target)
    assert (target / "v1/up").read_bytes() == (target / "hard").read_bytes() == b"x"


def test_nobody_becomes_somebody_else(tmp_path: Path, target: Path) -> None:
    (tmp_path / "x.tar").write_bytes(packed(member("a", b"x", mode=0o6777, uid=1234, gid=1234, uname="x", gname="x")))
    bundles.unpack(tmp_path / "x.tar", target)
    status = (target / "a").stat()
    assert status.st_mode & 0o7022 == 0
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("cut", [1, 4, 10, 100, 5000, 150_000, 300_000])
@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz", "x.tar.zst"])
def test_archives_that_were_cut_short_are_refused(tmp_path: Path, target: Path, name: str, cut: int) -> None:
    (tmp_path / name).write_bytes(WAYS[name](GOOD)[:-cut])
    with pytest.raises(ReleaseRefused, match=f"{name} is damaged or cut short"):
        bundles.unpack(tmp_path / name, target)


@pytest.mark.parametrize("left", [0, 100, 511, 513, 1000, 100_000, 300_000])
def test_a_plain_tar_that_ends_in_a_member_is_refused(tmp_path: Path, target: Path, left: int) -> None:
    (tmp_path / "x.tar").write_bytes(GOOD[:left])
    with pytest.raises(ReleaseRefused, match=r"x\.tar is damaged or cut short"):
        bundles.unpack(tmp_path / "x.tar", target)


def refusal(archive: Path, folder: Path) -> str | None:
    """What unpacking says, when it refuses; an error that is not meant for a person goes through."""
    try:
        bundles.unpack(archive, folder)
    except CorpusError as err:
        return str(err)
    return None


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.xz", "x.tar.zst"])
def test_damage_anywhere_is_refused_in_words(tmp_path: Path, name: str) -> None:
    """Never a bare traceback; zstd without a checksum may not notice, which the sum in the manifest does."""
    whole = WAYS[name](packed(member("a", bytes(range(256)) * 200)))
    for position in range(0, len(whole), max(1, len(whole) // 100)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        (tmp_path / name).write_bytes(bytes(damaged))
        folder = tmp_path / str(position)
        folder.mkdir()
        refused = refusal(tmp_path / name, folder)
        assert refused is not None or name.endswith(".zst") or (folder / "a").read_bytes() == bytes(range(256)) * 200


@pytest.mark.parametrize(
    "odd",
    [
        member("a\0b", b"x", pax_headers={"path": "a\0b"}),
        member("a", b"x", pax_headers={"mtime": "1e300"}),
        member("a", b"x", pax_headers={"mtime": "nan"}),
        member("n" * 300, b"x"),
        member("a/" * 3000 + "b", b"x"),
        member("first/below a file", b"x"),
        member("a", type=LINK, linkname="a\0b"),
    ],
    ids=["nul", "far future", "no time", "long name", "deep", "below a file", "nul link"],
)
def test_odd_members_are_unpacked_or_refused_in_words(tmp_path: Path, target: Path, odd: Member) -> None:
    (tmp_path / "x.tar").write_bytes(packed(member("first", b"1"), odd))
    refusal(tmp_path / "x.tar", target)
    assert {path.name for path in tmp_path.iterdir()} == {"x.tar", "target"}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("content", [b"", b"x", b"<html>not found</html>" * 100])
def test_what_is_no_archive_is_refused(tmp_path: Path, target: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseRefused, match=f"{name} is damaged or cut short"):
        bundles.unpack(tmp_path / name, target)


# what is kept


def release(layout: Layout, number: int, tree: bool = False, archive: bool = False, retired: int | None = None) -> None:
    identifier = IDS[number]
    layout.release(identifier).mkdir()
    files.write_json(layout.manifest(identifier), {"revision": f"r{number}", "artifacts": {"x.tar.zst": {}}})
    if tree:
        layout.tree(identifier).mkdir()
        (layout.tree(identifier) / "app").write_text(identifier)
        layout.pillar_tree(identifier).mkdir()
    if archive:
        (layout.archive(identifier) / "project").mkdir(parents=True)
        files.write_json(layout.archive(identifier) / "manifest.json", {"release": identifier})
    if retired is not None:
        stamp = layout.release(identifier) / ".retired"
        stamp.touch()
        os.utime(stamp, (retired, retired))


def test_listing_tells_what_a_rollback_can_use(layout: Layout) -> None:
    assert releases.listing(layout) == []
    release(layout, 0)
    release(layout, 1, archive=True)
    release(layout, 2, tree=True, archive=True)
    release(layout, 3)
    (layout.deployed / IDS[4]).mkdir()  # without a manifest: under way, or died
    files.link(layout.current, IDS[3])
    assert [(entry["release"], entry["kept"], entry["running"]) for entry in releases.listing(layout)] == [
        (IDS[3], "running", True),
        (IDS[2], "tree", False),
        (IDS[1], "archive", False),
        (IDS[0], None, False),
    ]
    assert releases.listing(layout)[0]["artifacts"] == ["x.tar.zst"]
    assert releases.listing(layout)[0]["revision"] == "r3"


def test_before_is_the_one_that_ran_last(layout: Layout) -> None:
    assert releases.before(layout) is None
    release(layout, 0, archive=True, retired=300)
    release(layout, 1, archive=True, retired=200)
    release(layout, 2, retired=400)
    release(layout, 3)
    files.link(layout.current, IDS[3])
    assert releases.before(layout) == IDS[0], "a rollback made it run after its successor"


def kept(layout: Layout) -> dict[str, str | None]:
    return {entry["release"][7:8]: entry["kept"] for entry in releases.listing(layout)}


def test_rotation_keeps_what_runs_and_what_ran_last(layout: Layout) -> None:
    for number in range(6):
        release(layout, number, tree=number in (3, 4), archive=True, retired=60 if number == 3 else number + 1)
    files.link(layout.current, IDS[0])
    layout.processes(IDS[1]).parent.mkdir()
    layout.processes(IDS[1]).touch()
    releases.rotate(layout, CFG)
    assert kept(layout) == {"1": "running", "4": "tree", "5": "archive", "6": "archive"}
    assert not layout.processes(IDS[1]).exists()
    assert layout.pillar_tree(IDS[3]).exists()
    assert not layout.pillar_tree(IDS[4]).exists()


def test_nothing_that_was_deployed_is_dropped_without_an_archive(layout: Layout) -> None:
    for number in range(3):
        release(layout, number, tree=number < 2, archive=number == 0, retired=number + 1)
    files.link(layout.current, IDS[2])
    releases.rotate(layout, {**CFG, "keep_trees": 0})
    assert kept(layout) == {"3": "running", "2": "archive", "1": "archive"}
    assert (layout.archive(IDS[1]) / "project/app").read_text() == IDS[1]


def test_a_tree_that_was_on_its_way_to_become_an_archive_counts(layout: Layout) -> None:
    """We died after the move and before the manifest."""
    release(layout, 0)
    release(layout, 1)
    (layout.archive(IDS[0]) / "project").mkdir(parents=True)
    (layout.archive(IDS[5])).mkdir()  # before the move
    files.link(layout.current, IDS[1])
    releases.rotate(layout, CFG)
    assert kept(layout) == {"2": "running", "1": "archive"}
    assert not (layout.archive(IDS[5]) / "manifest.json").exists()


def test_rotation_without_anything_that_runs(layout: Layout) -> None:
    releases.rotate(layout, CFG)
    release(layout, 0, archive=True)
    releases.rotate(layout, {**CFG, "keep_releases": 0})
    assert kept(layout) == {}


def test_failed_trees_are_few(layout: Layout) -> None:
    for identifier in IDS:
        (layout.failed / identifier / "project").mkdir(parents=True)
    releases.rotate(layout, CFG)
    assert sorted(path.name for path in layout.failed.iterdir()) == IDS[-2:]


def test_a_release_that_was_not_bundled_is_described_once(layout: Layout) -> None:
    releases.describe(layout, IDS[0], CFG, {"revision": "abc"})
    releases.describe(layout, IDS[0], CFG, {"revision": "other"})
    manifest = files.read_json(layout.manifest(IDS[0]))
    assert (manifest["revision"], manifest["artifacts"], manifest["release"]) == ("abc", {}, IDS[0])
