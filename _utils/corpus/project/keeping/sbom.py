"""The bill of materials of a release: CycloneDX 1.6, from what stands in the built tree itself."""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from corpus.project.keeping import trees

_ALGORITHMS = {
    "sha1": HashAlgorithm.SHA_1,
    "sha256": HashAlgorithm.SHA_256,
    "sha384": HashAlgorithm.SHA_384,
    "sha512": HashAlgorithm.SHA_512,
}


def written(tree: Path, name: str, version: str, packages: Mapping[str, str], system: str, when: int) -> str:
    """Return the bill of materials of a tree, as JSON; the same tree gives the same text.

    :param name: of the project
    :param version: of the project: its revision, or the release's id
    :param packages: of the system that it needs: ``{name: version}``
    :param system: that they are of, such as ``Debian-12``
    :param when: the tree's own time, seconds since the epoch
    """
    bom = Bom()
    root = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref=f"{name}@{version}")
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    found: dict[str, Component] = {}
    for component in (*_python(tree), *_node(tree), *_composer(tree), *_debian(packages, system)):
        found.setdefault(str(component.purl), component)
    for _, component in sorted(found.items()):
        bom.components.add(component)
    bom.register_dependency(root, found.values())
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"corpus:{name}@{version}:{','.join(sorted(found))}")
    return JsonV1Dot6(bom).output_as_string(indent=1)


def _component(purl: PackageURL, licenses: list[Any], hashes: list[HashType], place: str = "") -> Component:
    return Component(
        name=f"{purl.namespace}/{purl.name}" if purl.namespace and purl.type != "deb" else purl.name,
        version=purl.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=licenses,
        hashes=hashes,
        properties=[Property(name="corpus:path", value=place)] if place else [],
    )


def _licenses(*values: object) -> list[Any]:
    """Return one license from the first value that says something: an SPDX id or expression, or a name."""
    factory = LicenseFactory()
    for value in values:
        text = value.strip() if isinstance(value, str) else ""
        if text and "\n" not in text and len(text) <= 200 and text.upper() != "UNKNOWN":
            made = factory.make_from_string(text, license_acknowledgement=LicenseAcknowledgement.DECLARED)
            return [made]
    return []


def _python(tree: Path) -> Iterator[Component]:
    """Every distribution that is installed in a virtual environment of the tree (``*.dist-info``)."""
    for entry in trees.entries(tree):
        if entry.name != "METADATA" or not (path := Path(entry.path)).parent.name.endswith(".dist-info"):
            continue
        about = HeaderParser().parsestr(path.read_text(encoding="utf-8", errors="replace"))
        name, version = about.get("Name"), about.get("Version")
        if not name or not version:
            continue
        classified = [
            line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License ::")
        ]
        licenses = _licenses(about.get("License-Expression"), about.get("License"))
        if not licenses and classified:
            licenses = [DisjunctiveLicense(name=words) for words in classified]
        record = path.with_name("RECORD")  # lists the sum of every file that was installed
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=trees.sha256(record))] if record.is_file() else []
        purl = PackageURL("pypi", name=name.lower().replace("_", "-").replace(".", "-"), version=version)
        yield _component(purl, licenses, hashes, str(path.parent.relative_to(tree)))


def _node(tree: Path) -> Iterator[Component]:
    """Every package in ``node_modules``, with the sums that npm's own list of what it installed has."""
    for entry in trees.entries(tree):
        if entry.name != "node_modules" or not entry.is_dir(follow_symlinks=False):
            continue
        folder = Path(entry.path)
        known = _json(folder / ".package-lock.json").get("packages")
        known = known if isinstance(known, dict) else {}
        for package in (*folder.glob("*/package.json"), *folder.glob("@*/*/package.json")):
            about = _json(package)
            name, version = about.get("name"), about.get("version")
            if not isinstance(name, str) or not isinstance(version, str):
                continue
            scope, _, short = name.rpartition("/")
            place = package.parent.relative_to(folder)
            locked = known.get(f"node_modules/{place}", {})
            license_ = about.get("license")
            license_ = license_.get("type") if isinstance(license_, dict) else license_
            purl = PackageURL("npm", namespace=scope or None, name=short, version=version)
            where = str(package.parent.relative_to(tree))
            yield _component(purl, _licenses(license_), _integrity(locked.get("integrity")), where)


def _integrity(value: object) -> list[HashType]:
    """Return the hash that an ``integrity`` (W3C Subresource Integrity) holds."""
    algorithm, _, encoded = str(value or "").split(" ")[0].partition("-")
    if algorithm not in _ALGORITHMS:
        return []
    try:
        return [HashType(alg=_ALGORITHMS[algorithm], content=base64.b64decode(encoded, validate=True).hex())]
    except ValueError:
        return []


def _composer(tree: Path) -> Iterator[Component]:
    """Every package that Composer lists as installed."""
    for entry in trees.entries(tree):
        if entry.name != "installed.json" or (path := Path(entry.path)).parent.name != "composer":
            continue
        listed: Any = _json(path)
        for about in listed.get("packages", []):
            vendor, _, short = str(about.get("name", "")).rpartition("/")
            if not short:
                continue
            names = about.get("license") or []
            shasum = (about.get("dist") or {}).get("shasum")
            hashes = [HashType(alg=HashAlgorithm.SHA_1, content=shasum)] if shasum else []
            version = str(about.get("version", "")) or None
            purl = PackageURL("composer", namespace=vendor or None, name=short, version=version)
            yield _component(purl, _licenses(" OR ".join(map(str, names))), hashes, str(path.parent.relative_to(tree)))


def _debian(packages: Mapping[str, str], system: str) -> Iterator[Component]:
    """The packages of the system that the tree needs."""
    for name, version in packages.items():
        vendor, distro = system.partition("-")[0].lower() or "debian", {"distro": system.lower()}
        yield _component(PackageURL("deb", namespace=vendor, name=name, version=version, qualifiers=distro), [], [])


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if isinstance(value, list):  # Composer 1
        return {"packages": value}
    return value if isinstance(value, dict) else {}
