"""Envelopes: one minion alone opens what is in them, and for one thing alone."""

from pathlib import Path

import pytest
from corpus import envelopes
from corpus.errors import CorpusError, UsageError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def pair(folder: Path, name: str) -> tuple[str, Path]:
    """A public key, and where the private one is."""
    made = rsa.generate_private_key(65537, 2048)
    private = folder / name
    private.write_bytes(
        made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.decode(), private


def test_one_minion_opens_it_for_one_thing(tmp_path: Path) -> None:
    public, private = pair(tmp_path, "ours")
    _, foreign = pair(tmp_path, "other")
    made = envelopes.closed("sesame ö", "environment of shop", public)
    assert "sesame" not in made
    assert made != envelopes.closed("sesame ö", "environment of shop", public)
    assert envelopes.opened(made, "environment of shop", private) == "sesame ö"
    broken = made[:-8] + ("A" * 8 if made[-8:] != "A" * 8 else "B" * 8)
    for words, about, key in (
        (made, "environment of blog", private),
        (made, "environment of shop", foreign),
        (broken, "environment of shop", private),
        ("nonsense", "environment of shop", private),
        ("a.b.c", "environment of shop", private),
    ):
        with pytest.raises(UsageError, match="send it again"):
            envelopes.opened(words, about, key)


def test_what_is_no_key_or_too_much_is_refused(tmp_path: Path) -> None:
    public, _ = pair(tmp_path, "ours")
    with pytest.raises(UsageError, match="256 KiB"):
        envelopes.closed("x" * (envelopes.LIMIT + 1), "a", public)
    with pytest.raises(CorpusError, match="cannot be read"):
        envelopes.closed("x", "a", "no key")
    with pytest.raises(CorpusError, match="cannot be read"):
        envelopes.opened("x.y", "a", tmp_path / "absent")
