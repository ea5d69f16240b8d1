"""The images that there are: listed, found, removed; and archives that are the same whenever they are made."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from corpus import tree
from corpus.controller import images, runtime
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, UsageError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def _built(settings: Settings, version: str, created: str, name: str = "debian") -> None:
    settings.images.mkdir(exist_ok=True)
    told = {
        "name": name,
        "version": version,
        "digest": "sha256:00",
        "content": "sha256:00",
        "size": 4,
        "suite": "bookworm",
        "machine": "x86_64",
        "python": "3.11",
        "recipe": "",
        "created": created,
        "packages": {},
        "python_packages": {"salt": "3008.3"},
    }
    for ending, text in (
        (".json", json.dumps(told)),
        (".runtime.json", "{}"),
        (".tar.zst", ""),
        (".runtime.tar.zst", ""),
    ):
        (settings.images / f"{name}-{version}{ending}").write_text(text)


def test_images_are_listed_by_age_and_found_by_version(settings: Settings) -> None:
    assert images.image_list(settings) == []
    _built(settings, "b" * 12, "2026-01-01T00:00:00+00:00")
    _built(settings, "a" * 12, "2026-02-01T00:00:00+00:00")
    _built(settings, "c" * 12, "2026-03-01T00:00:00+00:00", "small")
    assert [image.version[0] for image in images.image_list(settings)] == ["b", "a", "c"]
    assert images.newest(settings, "debian").full_name == "debian-aaaaaaaaaaaa"
    assert images.find(settings, "debian", "b" * 12).archive == settings.images / "debian-bbbbbbbbbbbb.tar.zst"
    assert images.newest(settings, "small").summary()["salt"] == "3008.3"
    with pytest.raises(UsageError, match="build it first"):
        images.newest(settings, "other")
    with pytest.raises(UsageError, match="There is no image 'debian' of version"):
        images.find(settings, "debian", "d" * 12)


def test_an_image_whose_archive_is_gone_is_none(settings: Settings) -> None:
    _built(settings, "b" * 12, "2026-01-01T00:00:00+00:00")
    (settings.images / "debian-bbbbbbbbbbbb.tar.zst").unlink()
    assert images.image_list(settings) == []


def test_old_images_go_and_used_ones_stay(settings: Settings) -> None:
    for number, letter in enumerate("abcd", 1):
        _built(settings, letter * 12, f"2026-0{number}-01T00:00:00+00:00")
    assert images.prune(settings, "debian", keep=2, used=["a" * 12], test=True) == ["debian-bbbbbbbbbbbb"]
    assert len(images.image_list(settings)) == 4
    assert images.prune(settings, "debian", keep=2, used=["a" * 12]) == ["debian-bbbbbbbbbbbb"]
    assert images.prune(settings, "debian", keep=2, used=["a" * 12]) == []
    assert [image.version[0] for image in images.image_list(settings)] == ["a", "c", "d"]
    assert not list(settings.images.glob("debian-b*"))
    assert images.remove(settings, "debian", "a" * 12)
    assert not images.remove(settings, "debian", "a" * 12)
    with pytest.raises(UsageError):
        images.prune(settings, "debian", keep=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"name": "Debian"},
        {"suite": "book worm"},
        {"suite": "--help"},
        {"packages": ["vim", "--include"]},
        {"mirror": "ext::sh"},
        {"mirror": "http://a b"},
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict, settings: Settings) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        images.build(settings, **wrong)


def test_a_version_that_is_none_is_not_removed(settings: Settings) -> None:
    with pytest.raises(UsageError):
        images.remove(settings, "debian", "../../x")


def test_only_root_builds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CorpusError, match="by root"):
        images.build(settings)


def _some_tree(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (folder / "link").symlink_to("etc/a")


def test_an_archive_does_not_tell_when_it_was_made(tmp_path: Path) -> None:
    names = ["etc/a", "etc/b", "usr/c", "run/d"]
    _some_tree(tmp_path / "one", names)
    _some_tree(tmp_path / "two", names[::-1])
    old = time.time() - 1000
    os.utime(tmp_path / "two/etc/b", (old, old))
    for folder in ("one", "two"):
        for path in [tmp_path / folder, *(tmp_path / folder).rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)
    first = runtime.pack(tmp_path / "one", tmp_path / "one.tar.zst", ".", exclude=("./run/*",))
    second = runtime.pack(tmp_path / "two", tmp_path / "two.tar.zst", ".", exclude=("./run/*",))
    assert first == second
    assert first.size == (tmp_path / "one.tar.zst").stat().st_size
    listed = subprocess.run(["tar", "-tf", tmp_path / "one.tar.zst"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["./", "./etc/", "./etc/a", "./etc/b", "./link", "./run/", "./usr/", "./usr/c"]
    (tmp_path / "two/usr/c").write_text("other")
    assert runtime.pack(tmp_path / "two", tmp_path / "two.tar.zst", ".").content != first.content


def test_packing_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"x\.tar\.zst could not be written: .*nowhere"):
        runtime.pack(tmp_path, tmp_path / "x.tar.zst", "nowhere")


def test_the_packs_digest_is_that_of_its_sources() -> None:
    assert runtime.source_digest() == runtime.source_digest()
    assert tree.checkout() is not None
    assert (tree.folder() / "corpus/guest/files/etc/systemd/system/salt-minion.service").is_file()


def test_a_root_without_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="install python3"):
        runtime.python_of(tmp_path)
