"""Installers: official, by an absolute path, in the project; and what is none."""

import re
from pathlib import Path

import pytest
import yaml
from corpus.errors import ConfigurationError
from corpus.project import dot_salt, installers, workflow


def installer(folder: Path, but: str | None = None) -> Path:
    folder.mkdir(parents=True)
    for sls in workflow.SLS:
        if sls != but:
            (folder / f"{sls}.sls").touch()
    return folder


@pytest.fixture
def salt_root(tmp_path: Path) -> Path:
    return installer(tmp_path / "project/.salt")


@pytest.mark.parametrize("name", ["generic", "static", "python"])
def test_official_ones(name: str, salt_root: Path) -> None:
    found = installers.find(name, 2, salt_root)
    assert found == installers.official_root() / "2" / name
    assert name in installers.official(2)
    installers.defaults(found)


def test_by_an_absolute_path(tmp_path: Path, salt_root: Path) -> None:
    folder = installer(tmp_path / "elsewhere/mine")
    assert installers.find(str(folder), 2, salt_root) == folder


@pytest.mark.parametrize("name", ["mine", "deep/er", "./mine", "deep/../mine"])
def test_in_the_project(name: str, salt_root: Path) -> None:
    installer(salt_root / "mine")
    installer(salt_root / "deep/er")
    assert installers.find(name, 2, salt_root).resolve() == (salt_root / name).resolve()


def test_a_link_that_stays_inside(salt_root: Path) -> None:
    folder = installer(salt_root / "mine")
    (salt_root / "other").symlink_to("mine")
    assert installers.find("other", 2, salt_root).resolve() == folder


@pytest.mark.parametrize("name", ["../elsewhere", "mine/../../../elsewhere", "link", "link/..", "..", ".", "", "x/.."])
def test_nothing_leads_out_of_the_project(tmp_path: Path, salt_root: Path, name: str) -> None:
    installer(salt_root / "mine")
    (salt_root / "x").mkdir()
    elsewhere = installer(tmp_path / "project/elsewhere")
    (salt_root / "link").symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match=r"leads out of the project's \.salt folder"):
        installers.find(name, 2, salt_root)


@pytest.mark.parametrize("name", ["nonesuch", "Generic", "generic/x", "généric", "a b", "a\nb", "x" * 200])
def test_an_unknown_name_lists_the_official_ones(salt_root: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is neither official \(.*generic, .*python.*static"):
        installers.find(name, 2, salt_root)


@pytest.mark.parametrize("name", ["/no/such/folder", "/etc/passwd", "a\0b", "/a\0b"])
def test_a_path_that_is_no_folder(salt_root: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no folder|is no path"):
        installers.find(name, 2, salt_root)


@pytest.mark.parametrize("sls", workflow.SLS)
def test_a_missing_stage_is_named(tmp_path: Path, salt_root: Path, sls: str) -> None:
    folder = installer(tmp_path / "elsewhere", but=sls)
    with pytest.raises(ConfigurationError, match=rf"has no {re.escape(sls)}\.sls: an installer carries every stage"):
        installers.find(str(folder), 2, salt_root)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, {}), ("", {}), ("# nothing\n", {}), ("user: app\n", {"user": "app"})]
)
def test_defaults(tmp_path: Path, content: str | None, expected: dict[str, str]) -> None:
    if content is not None:
        (tmp_path / "defaults.yaml").write_text(content)
    assert installers.defaults(tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("\tx", "is not YAML"),
        ("- a\n", "must hold a mapping"),
        ("text", "must hold a mapping"),
        ("!!python/object/apply:os.system [id]", "is not YAML"),
    ],
)
def test_defaults_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "defaults.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=message) as refused:
        installers.defaults(tmp_path)
    assert "\n" not in str(refused.value)


def test_every_stage_includes_the_installers_however_it_is_spelled() -> None:
    includes = installers.includes()
    for sls in workflow.SLS:
        assert includes[sls] == includes[sls.replace("-", "_")] == [f"installer.{sls}"]


def test_wire_links_installer_and_project(tmp_path: Path, salt_root: Path) -> None:
    installers.wire(tmp_path / "root", installer(tmp_path / "one"), installers.official_root(), "demo", salt_root)
    pack = tmp_path / "pack"
    installers.wire(tmp_path / "root", installer(tmp_path / "two"), pack, "demo", salt_root)
    assert (tmp_path / "root/installer").resolve() == tmp_path / "two"
    assert (tmp_path / "root/2").readlink() == pack / "2", "macros come from where the installer does"
    assert (tmp_path / "root/makina-projects/demo").resolve() == salt_root


def test_a_sample_has_what_installers_set_and_says_nothing_by_itself() -> None:
    sample = dot_salt.pillar_sample()
    assert yaml.safe_load(sample) is None
    for name in installers.official(2):
        for line in (installers.official_root() / "2" / name / "defaults.yaml").read_text().strip().splitlines():
            assert f"# {line}".rstrip() in sample.splitlines()
