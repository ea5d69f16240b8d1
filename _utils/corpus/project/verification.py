"""Is a release what was released, and whose? Asked of one that is kept here, or lies at a url."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from corpus import files
from corpus.errors import CorpusError, ReleaseRefused, UsageError
from corpus.identifiers import release_id
from corpus.project import projects
from corpus.project.keeping import artifacts, signature, trees
from corpus.project.keeping import manifest as manifests
from corpus.project.keeping.manifest import MANIFEST
from corpus.project.keeping.signature import SUFFIX, Trust
from corpus.project.layout import Layout
from corpus.project.minion import Minion


def verify(minion: Minion, name: str, release: str | None = None, url: str | None = None) -> dict[str, Any]:
    """Check sums and signature of a release, and the tree when it is the one that runs.

    :param release: id, of this machine's deployment or of the one that made it; None: the one that runs
    :param url: of an archive instead, as in ``release_artifacts_urls``
    :returns: ``{name, result, changes, comment, checks: [{what, result, comment}]}``
    :raises UsageError: there is no such release, or nothing of it to verify
    """
    layout = Layout.existing(minion.roots, name)
    cfg = projects.assembled(minion, layout).values
    own = signature.public_key(Path(cfg["sign_with"]))
    configured = Trust.configured(cfg)
    trust = Trust((*configured.keys, *([own] if own else [])), configured.required)
    checks: list[dict[str, Any]] = []
    try:
        if url is not None:
            rows = _at_url(url, cfg["user"] if minion.privileged else None, trust)
        else:
            rows = _kept(layout, release, trust)
        for what, words in rows:
            checks.append({"what": what, "result": True, "comment": words})
    except ReleaseRefused as err:
        checks.append({"what": "refused", "result": False, "comment": str(err)})
    good = all(check["result"] for check in checks)
    told = "; ".join(f"{check['what']}: {check['comment']}" for check in checks if check["result"])
    comment = f"Verified. {told}." if good else f"{checks[-1]['comment']} (Right so far: {told or 'nothing'}.)"
    return {"name": name, "result": good, "changes": {}, "comment": comment, "checks": checks}


def check_bundle(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check archive and bill of materials of a release against its manifest.

    :raises ReleaseRefused: one of them is not what was released; it is left as it is
    :raises CorpusError: one of them is gone
    """
    sums = {name: about["sha256"] for name, about in manifest["artifacts"].items()}
    if manifest.get("sbom"):
        sums[manifest["sbom"]["name"]] = manifest["sbom"]["sha256"]
    for name, expected in sums.items():
        _check_file(folder / name, expected)


def _check_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ReleaseRefused(f"{path} is gone.")
    actual = trees.sha256(path)
    if actual != expected:
        raise ReleaseRefused(f"{path} is not what was released: its sha256 is {actual}, the manifest says {expected}.")


def _at_url(url: str, user: str | None, trust: Trust) -> Iterator[tuple[str, str]]:
    with TemporaryDirectory(prefix="corpus-verify-") as folder:
        Path(folder).chmod(0o711)
        try:
            (archive,) = artifacts.fetch([url], Path(folder), user, trust)
        except ReleaseRefused:
            raise
        except CorpusError as err:
            raise ReleaseRefused(str(err)) from err
        yield "sums", f"{archive.name} is what was released"
        yield "signature", _signed(artifacts.signer_of(archive), artifacts.beside(archive, MANIFEST + SUFFIX))


def _kept(layout: Layout, release: str | None, trust: Trust) -> Iterator[tuple[str, str]]:
    """Check a release that this machine made, fetched, or was handed."""
    release = release_id(release) if release else layout.running()
    if release is None:
        raise UsageError(f"Nothing of {layout.name!r} is deployed yet: name a release or a url.")
    found = [layout.manifest(release), *(layout.release(release) / "artifacts").glob(f"*.{MANIFEST}")]
    found += [layout.incoming / release / MANIFEST]
    manifests_here = [path for path in found if files.read_json(path, {}).get("artifacts")]
    if not manifests_here:
        raise UsageError(
            f"{release} of {layout.name!r} has no archive that could be verified: only bundled releases do."
        )
    for path in manifests_here:
        manifest = manifests.parsed(path.read_text(encoding="utf-8"), str(path))
        signer = trust.signer(path, f"{manifest.get('name')}-{manifest.get('release')}")
        yield "signature", _signed(signer, path.with_name(path.name + SUFFIX))
        for archive, about in manifest["artifacts"].items():
            _check_file(path.with_name(archive), about["sha256"])
            yield "archive", f"{archive} is what was released"
        if bill := manifest.get("sbom"):
            fetched = next(iter(manifest["artifacts"])) if path.name != MANIFEST else None
            _check_file(path.with_name(f"{fetched}.{bill['name']}" if fetched else bill["name"]), bill["sha256"])
            yield "bill of materials", "it is what was released"
        if release == layout.running():
            yield from _tree(layout, manifest)


def _tree(layout: Layout, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    different = list(manifests.differences(layout.project, manifest))
    if different:
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise ReleaseRefused(f"The tree that runs was changed: {different[0]}{more}.")
    extra = manifests.additional(layout.project, manifest)
    also = f", and {len(extra)} files of its own ({', '.join(extra[:3])}…)" if extra else ""
    yield "tree", f"all {len(manifest['files'])} files of project/ are those of the release{also}"


def _signed(signer: str | None, beside: Path) -> str:
    if signer:
        return f"by {signer}"
    return "by a key that is not trusted here" if beside.is_file() else "none"
