"""Sealed boxes: a service beside the master hands it a secret through the registry, which only the master can open.

The master keeps an X25519 key for itself and gives away its public half. Each box has a key of its own (Diffie-Hellman
with a key that is made for the box alone, HKDF-SHA256, then Fernet), so that not even who closed it opens it again.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import files
from corpus.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

#: How a box begins: one that is not known can be told from one that is damaged.
_BEGINS = "sealed1:"
_LENGTH = 32


def seal(public: str, value: str, purpose: str) -> str:
    """Return a box with a secret in it.

    :param public: what :meth:`Sealing.public` returned
    :param purpose: what the secret is for, such as ``project.env_set:shop``: it opens for nothing else
    :raises UsageError: that is no public key
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        receiver = base64.b64decode(public, validate=True)
        once = X25519PrivateKey.generate()
        shared = once.exchange(X25519PublicKey.from_public_bytes(receiver))
    except ValueError as err:
        raise UsageError("That is no public key to seal for.") from err
    sender = once.public_key().public_bytes_raw()
    closed = _fernet(shared, sender + receiver, purpose).encrypt(value.encode())
    return _BEGINS + base64.urlsafe_b64encode(sender).decode() + closed.decode()


class Sealing:
    """The master's side.

    :param key_file: absolute path of its key; made on first use, for its owner alone (0600)
    """

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def public(self) -> str:
        """The half of the key that everybody may know, in base64."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return base64.b64encode(
            X25519PrivateKey.from_private_bytes(self._key()).public_key().public_bytes_raw()
        ).decode()

    def unseal(self, box: str, purpose: str) -> str:
        """Return the secret that is in a box.

        :param purpose: what it was sealed for
        :raises UsageError: it is no box, or not for that, or not for this master
        """
        from cryptography.fernet import InvalidToken
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        key = X25519PrivateKey.from_private_bytes(self._key())
        width = 4 * -(-_LENGTH // 3)
        text = box.removeprefix(_BEGINS)
        try:
            if text == box:
                raise ValueError(box)
            sender = base64.urlsafe_b64decode(text[:width])
            shared = key.exchange(X25519PublicKey.from_public_bytes(sender))
            known = sender + key.public_key().public_bytes_raw()
            return _fernet(shared, known, purpose).decrypt(text[width:].encode()).decode()
        except (InvalidToken, ValueError) as err:
            raise UsageError(f"What was sealed for {purpose} cannot be opened: send it again.") from err

    def _key(self) -> bytes:
        try:
            if self._key_file.stat().st_mode & 0o077:
                raise CorpusError(f"Others can read {self._key_file}: remove it; the next call makes another.")
            key = base64.b64decode(self._key_file.read_text(encoding="ascii"), validate=False)
        except FileNotFoundError:
            self._make()
            return self._key()
        except (UnicodeDecodeError, binascii.Error):
            key = b""
        if len(key) != _LENGTH:
            raise CorpusError(f"{self._key_file} is damaged: remove it; the next call makes another.")
        return key

    def _make(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        apart = self._key_file.with_name(f".{self._key_file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        made = base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()
        try:
            files.write(apart, made + "\n", 0o600)
            with contextlib.suppress(FileExistsError):  # another process was first: its key is as good
                os.link(apart, self._key_file)
            files.flush_folder(self._key_file.parent)
        except OSError as err:
            raise CorpusError(f"{self._key_file} cannot be made: {err.strerror}.") from err
        finally:
            apart.unlink(missing_ok=True)


def _fernet(shared: bytes, known: bytes, purpose: str) -> Fernet:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=_LENGTH, salt=known, info=b"corpus sealed 1:" + purpose.encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(shared)))
