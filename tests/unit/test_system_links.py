"""Links to programs of the system travel with a release as a list; no other link may lead out of its tree."""

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from corpus.errors import CorpusError, ReleaseRefused
from corpus.project.keeping import bundles
from corpus.project.layout import Layout

RELEASE = "20260101T000000Z-00000001"
CFG = {"api_version": 2, "operation_mode": "cooking"}


def packed(layout: Layout) -> Path:
    layout.release(RELEASE).mkdir()
    manifest = bundles.pack(layout, RELEASE, CFG, {}, 0)
    return layout.release(RELEASE) / next(iter(manifest["artifacts"]))


def listing(folder: Path, links: object) -> Path:
    """An archive that somebody else made, with a list of links."""
    path = folder / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        text = json.dumps(links).encode()
        info = tarfile.TarInfo(".corpus-links.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return path


def test_virtual_environment_survives_the_way_to_production(layout: Layout, tmp_path: Path) -> None:
    programs = layout.deploy / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/usr/bin/env")
    (programs / "python3").symlink_to("python")
    archive = packed(layout)
    bundles.unpack(archive, tmp_path / "out")
    unpacked = tmp_path / "out/venv/bin"
    assert os.readlink(unpacked / "python") == "/usr/bin/env"
    assert os.readlink(unpacked / "python3") == "python"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["venv"]


def test_release_is_for_its_owner_alone(layout: Layout) -> None:
    (layout.deploy / "settings.ini").write_text("password = s3cr3t")
    archive = packed(layout)
    for path in (archive, layout.manifest(RELEASE)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_program_that_is_missing_here_is_named(layout: Layout, tmp_path: Path) -> None:
    (layout.deploy / "tool").symlink_to("/usr/bin/no-such-program")
    with pytest.raises(CorpusError, match="needs /usr/bin/no-such-program, which is not installed"):
        bundles.unpack(packed(layout), tmp_path / "out")


@pytest.mark.parametrize("target", ["/etc/shadow", "/root/.ssh", "/usr/../etc/shadow", "../up", "relative"])
def test_link_to_anything_else_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(ReleaseRefused):
        bundles.unpack(listing(tmp_path, {"link": target}), tmp_path / "out")
    assert not (tmp_path / "out/link").is_symlink()


@pytest.mark.parametrize("place", ["../escaped", "/tmp/escaped", "a/../../escaped", ".", ""])
def test_link_outside_of_the_tree_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(ReleaseRefused):
        bundles.unpack(listing(tmp_path, {place: "/usr/bin/env"}), tmp_path / "out")
    assert not (tmp_path / "escaped").is_symlink()
