"""The bill of materials: what a built tree consists of, valid against CycloneDX's own schema."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from corpus.project import system_packages
from corpus.project.keeping import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with something of each kind, and something broken of each kind."""
    site = tmp_path / "venv/lib/python3.11/site-packages"
    write(site / "flask-3.0.dist-info/METADATA", "Name: Flask\nVersion: 3.0\nLicense-Expression: BSD-3-Clause\n\nText")
    write(site / "flask-3.0.dist-info/RECORD", "flask/__init__.py,sha256=x,1\n")
    write(site / "old-1.dist-info/METADATA", "Name: old\nVersion: 1\nLicense: A licence\nof many lines\n")
    write(
        site / "odd-2.dist-info/METADATA",
        "Name: odd\nVersion: 2\nClassifier: License :: OSI Approved :: MIT License\n",
    )
    write(site / "none-1.dist-info/METADATA", "nonsense")
    integrity = "sha512-" + base64.b64encode(b"x" * 64).decode()
    write(tmp_path / "node_modules/.package-lock.json", {"packages": {"node_modules/a": {"integrity": integrity}}})
    write(tmp_path / "node_modules/a/package.json", {"name": "a", "version": "1.0.0", "license": "MIT"})
    write(tmp_path / "node_modules/a/node_modules/b/package.json", {"name": "b", "version": "2.0.0"})
    write(tmp_path / "node_modules/@s/c/package.json", {"name": "@s/c", "version": "3.0.0", "license": {"type": "ISC"}})
    write(tmp_path / "node_modules/broken/package.json", "{")
    packages = [
        {"name": "twig/twig", "version": "v3.8.0", "license": ["BSD-3-Clause"], "dist": {"shasum": "a" * 40}},
        {"name": "x/y", "version": "1", "license": ["MIT", "GPL-2.0-only"]},
    ]
    write(tmp_path / "vendor/composer/installed.json", {"packages": packages})
    return tmp_path


def written(tree: Path) -> tuple[str, dict[str, Any]]:
    text = sbom.written(tree, "demo", "abc", {"libpq5": "15.6-0+deb12u1"}, "Debian-12", 1_700_000_000)
    return text, {component["purl"]: component for component in json.loads(text)["components"]}


def test_it_lists_what_stands_in_the_tree(tree: Path) -> None:
    text, components = written(tree)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert set(components) == {
        "pkg:pypi/flask@3.0",
        "pkg:pypi/old@1",
        "pkg:pypi/odd@2",
        "pkg:npm/a@1.0.0",
        "pkg:npm/b@2.0.0",
        "pkg:npm/%40s/c@3.0.0",
        "pkg:composer/twig/twig@v3.8.0",
        "pkg:composer/x/y@1",
        "pkg:deb/debian/libpq5@15.6-0%2Bdeb12u1?distro=debian-12",
    }
    flask = components["pkg:pypi/flask@3.0"]
    assert flask["licenses"] == [{"license": {"id": "BSD-3-Clause", "acknowledgement": "declared"}}]
    assert flask["hashes"][0]["alg"] == "SHA-256"
    assert components["pkg:npm/a@1.0.0"]["hashes"] == [{"alg": "SHA-512", "content": (b"x" * 64).hex()}]
    assert components["pkg:npm/%40s/c@3.0.0"]["name"] == "@s/c"
    assert components["pkg:composer/x/y@1"]["licenses"][0]["expression"] == "MIT OR GPL-2.0-only"
    assert components["pkg:composer/twig/twig@v3.8.0"]["hashes"] == [{"alg": "SHA-1", "content": "a" * 40}]
    assert "License" in components["pkg:pypi/odd@2"]["licenses"][0]["license"]["name"]


def test_the_same_tree_gives_the_same_text(tree: Path) -> None:
    assert written(tree)[0] == written(tree)[0]
    text = json.loads(written(tree)[0])
    assert text["metadata"]["component"]["name"] == "demo"
    assert text["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")


def test_an_empty_tree_has_one_too(tmp_path: Path) -> None:
    text = sbom.written(tmp_path, "demo", "abc", {}, "Debian-12", 0)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


# what a tree needs of the system


def test_what_a_tree_needs_is_told_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/ext.so").write_bytes(Path("/usr/bin/git").read_bytes())  # links to libz and libpcre2
    write(tmp_path / "bin/tool", "#!/usr/bin/perl\n")
    (tmp_path / "bin/tool").chmod(0o755)
    write(tmp_path / "bin/odd", "#!\xff\n")
    (tmp_path / "bin/odd").chmod(0o755)
    (tmp_path / "bin/broken").write_bytes(b"\x7fELFbroken")
    found = system_packages.needed(tmp_path, {"x": "/usr/bin/git"}, ["git daemon", "sh -c x", "nonesuch --x", ""])
    assert {"git", "zlib1g", "libc6", "perl-base"} <= set(found)
    assert all(found.values())
    assert system_packages.native(tmp_path)
    assert not system_packages.native(tmp_path / "nothing")


def test_configured_packages_are_those_of_this_system() -> None:
    grains = {"os_family": "Debian", "os": "Ubuntu"}
    assert system_packages.configured({"system_packages": ["b", "a", "a"]}, grains) == ["a", "b"]
    by_system = {"Debian": ["libpq5"], "Ubuntu": "extra", "RedHat": ["libpq"]}
    assert system_packages.configured({"system_packages": by_system}, grains) == ["extra", "libpq5"]
    for bad in ("-o", "a b", "../x", ""):
        with pytest.raises(system_packages.ConfigurationError, match="is no name of a package"):
            system_packages.configured({"system_packages": [bad]}, grains)
