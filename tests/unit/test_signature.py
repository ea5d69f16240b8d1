"""Signatures of releases: who signed, who may, and what does not fit."""

from pathlib import Path

import pytest
from corpus.errors import ConfigurationError, ReleaseRefused, UsageError
from corpus.project.keeping import signature
from corpus.project.keeping.signature import Trust


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signature.make_key(tmp_path / "key", "staging@example.org")
    return tmp_path / "key"


@pytest.fixture
def manifest(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "manifest.json"
    path.write_text('{"name": "demo"}\n')
    signature.sign(path, key)
    return path


def trusting(key: Path, required: bool = True) -> Trust:
    return Trust((str(signature.public_key(key)),), required)


def test_who_signed_is_known_by_the_comment_of_the_key(manifest: Path, key: Path) -> None:
    assert trusting(key).signer(manifest, "demo") == "staging@example.org"
    words = str(signature.public_key(key)).split()
    line = f'ada@example.org,bob namespaces="corpus-release" {words[0]} {words[1]}'
    assert Trust((line,), True).signer(manifest, "demo") == "ada@example.org"


def test_what_is_refused(manifest: Path, key: Path, tmp_path: Path) -> None:
    signature.make_key(tmp_path / "other", "mallory")
    with pytest.raises(ReleaseRefused, match=r"^demo is refused: it is signed by SHA256:\S+, which is none of the"):
        trusting(tmp_path / "other").signer(manifest, "demo")
    assert trusting(tmp_path / "other", required=False).signer(manifest, "demo") is None
    good = manifest.read_text()
    manifest.write_text(good.replace("demo", "demi"))
    for required in (True, False):
        with pytest.raises(ReleaseRefused, match="its signature is not of this manifest, or was damaged"):
            trusting(key, required).signer(manifest, "demo")
    manifest.write_text(good)
    (tmp_path / "manifest.json.sig").unlink()
    assert trusting(key, required=False).signer(manifest, "demo") is None
    with pytest.raises(ReleaseRefused, match="it is not signed, and only signed releases are taken here"):
        trusting(key).signer(manifest, "demo")


def test_a_signature_for_another_purpose_does_not_count(manifest: Path, key: Path, tmp_path: Path) -> None:
    """Made with the same key, for git say."""
    from corpus import processes

    (tmp_path / "manifest.json.sig").unlink()
    processes.run(["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", "git", manifest])
    with pytest.raises(ReleaseRefused, match="its signature is not of this manifest"):
        trusting(key).signer(manifest, "demo")


def test_a_signature_is_required_as_soon_as_keys_are_trusted(key: Path) -> None:
    public = signature.public_key(key)
    assert Trust.configured({"trusted_keys": [], "require_signature": None}) == Trust((), False)
    assert Trust.configured({"trusted_keys": [public], "require_signature": None}).required
    assert not Trust.configured({"trusted_keys": [public], "require_signature": False}).required
    with pytest.raises(ConfigurationError, match="trusted_keys names no key"):
        Trust.configured({"trusted_keys": [], "require_signature": True})


@pytest.mark.parametrize("line", ["", "nonsense", "a b c", "ssh-ed25519", "x ssh-ed25519", "ssh-ed25519 AAAA\nb c d"])
def test_lines_that_are_no_keys(line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^trusted_keys: "):
        Trust.configured({"trusted_keys": [line]})


def test_a_key_that_cannot_sign(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(UsageError, match="there is no key"):
        signature.sign(tmp_path / "x", tmp_path / "nonesuch")
    (tmp_path / "broken").write_text("no key")
    with pytest.raises(UsageError, match="cannot sign the release"):
        signature.sign(tmp_path / "x", tmp_path / "broken")
