"""Secrets on their way from the controller to a minion: closed there, opened by that minion alone.

A minion has a key pair for its master (RSA); its public half is no secret. What is closed for it may pass
through the master's job cache, its bus and every other minion: whoever reads it there has nothing.

The content is encrypted with a fresh key (AES-256-GCM), and that one for the machine (RSA-OAEP with SHA-256). What it
is about is bound to it: opened for anything else it is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError, UsageError

#: Bytes that may be sent at once: it travels to every minion of a master.
LIMIT = 256 << 10
_NONCE = 12


def closed(text: str, about: str, public: str) -> str:
    """Return a text that the owner of a key alone can read.

    :param about: what it is for; needed to open it
    :param public: the machine's public key, PEM
    :raises UsageError: it is too long
    :raises CorpusError: that is no RSA key
    """
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = text.encode()
    if len(content) > LIMIT:
        raise UsageError(f"These are {len(content)} bytes; at most {LIMIT >> 10} KiB can be sent at once.")
    try:
        reader = load_pem_public_key(public.encode())
    except ValueError as err:
        raise CorpusError("The machine's public key cannot be read: see salt-key --finger.") from err
    if not isinstance(reader, rsa.RSAPublicKey):
        raise CorpusError("The machine's public key is no RSA key.")
    key, nonce = AESGCM.generate_key(256), os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, content, about.encode())
    return ".".join(
        base64.urlsafe_b64encode(part).decode() for part in (reader.encrypt(key, _padding()), nonce + sealed)
    )


def opened(sealed: str, about: str, private: Path) -> str:
    """Return what was closed for this minion.

    :param about: what it is for
    :param private: absolute path of the machine's private key, PEM
    :raises UsageError: it is not for this minion, not about that, or damaged
    :raises CorpusError: the key cannot be read
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        ours = load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError, TypeError) as err:
        raise CorpusError(f"This minion's key {private} cannot be read: {err}") from err
    if not isinstance(ours, rsa.RSAPrivateKey):
        raise CorpusError(f"This minion's key {private} is no RSA key.")
    try:
        locked, content = (base64.urlsafe_b64decode(part) for part in sealed.split("."))
        key = ours.decrypt(locked, _padding())
        return AESGCM(key).decrypt(content[:_NONCE], content[_NONCE:], about.encode()).decode()
    except (ValueError, binascii.Error, InvalidTag) as err:
        raise UsageError("What was sent is not for this minion, not for that, or damaged: send it again.") from err


def _padding() -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    return padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
