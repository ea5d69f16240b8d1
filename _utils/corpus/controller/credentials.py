"""Credentials: made, kept encrypted in the registry, read, shown once by a link, encrypted anew with another key.

Encryption is Fernet (AES-128-CBC with HMAC-SHA256). The key file has one key a line, the newest first; all of them read.
An encrypted value knows what it belongs to: moved to another row, it is not read.

Subjects are texts such as ``guest:<uuid>``; see :class:`corpus.controller.registry.models.Credential`.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import string
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from corpus import files
from corpus.controller import links
from corpus.controller.registry import turns
from corpus.controller.registry.models import Credential, OneTimeLink, now
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

#: Without characters that one takes for another.
_ALPHABET = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))


def subject(kind: str, uuid: str) -> str:
    """How credentials name what they open: ``guest:<uuid>``."""
    return f"{kind}:{uuid}"


def new_password(length: int = 24) -> str:
    """A random password of letters and digits that are easy to read to somebody; 24 of them have 139 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Credentials:
    """The credentials of a registry.

    :param key_file: absolute path of the keys; made on first use, for its owner alone (0600)
    """

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    @classmethod
    def of(cls, registry: Registry) -> Credentials:
        """Those of an open registry."""
        return cls(registry.key_file)

    def store(self, session: Session, subject: str, name: str, value: str) -> None:
        """Keep a secret, in place of what was kept under that name."""
        turns.take(session, "credentials")  # a rotation sees every value, or lets us see its key
        encrypted = self.encrypted(subject, name, value)
        found = _find(session, subject, name)
        if found is None:
            session.add(Credential(subject=subject, name=name, value=encrypted))
        else:
            found.value, found.changed = encrypted, now()
            session.execute(delete(OneTimeLink).where(OneTimeLink.credential_id == found.id))  # they show the old one
        session.flush()

    def read(self, session: Session, subject: str, name: str) -> str:
        """Return a secret.

        :raises CorpusError: there is none, or the key is not the one it was encrypted with
        """
        found = _find(session, subject, name)
        if found is None:
            raise CorpusError(f"There is no credential {name!r} of {subject}.")
        return self.decrypted(found)

    def generate(self, session: Session, subject: str, name: str, length: int = 24) -> str:
        """Return a secret, and make it up when there is none yet."""
        found = _find(session, subject, name)
        if found is not None:
            return self.decrypted(found)
        value = new_password(length)
        self.store(session, subject, name, value)
        return value

    def names(self, session: Session, subject: str) -> list[str]:
        """Which secrets of a subject are kept."""
        return list(session.scalars(select(Credential.name).where(Credential.subject == subject).order_by("name")))

    def forget(self, session: Session, subject: str) -> int:
        """Remove everything that is kept of a subject, and the links to it; return how many secrets that were."""
        gone = session.scalars(select(Credential).where(Credential.subject == subject)).all()
        for one in gone:
            session.delete(one)
        session.flush()
        return len(gone)

    def link(self, session: Session, subject: str, name: str, lifetime: datetime.timedelta = links.LIFETIME) -> str:
        """Return a token that shows a secret once, until its lifetime is over. The token itself is kept nowhere."""
        token = links.new_token()
        self.link_for(session, subject, name, links.digest(token), links.key(token), lifetime)
        return token

    def link_for(
        self,
        session: Session,
        subject: str,
        name: str,
        digest: str,
        key: str,
        lifetime: datetime.timedelta = links.LIFETIME,
    ) -> None:
        """Make a link whose token somebody else made.

        :param digest: of the token
        :param key: of the token
        """
        found = _find(session, subject, name)
        if found is None:
            raise CorpusError(f"There is no credential {name!r} of {subject} to make a link to.")
        links.make(session, found.id, (subject, name, self.decrypted(found)), digest, key, lifetime)

    def count(self, registry: Registry) -> int:
        """Return how many secrets there are."""
        with registry.reading() as session:
            return session.scalar(select(func.count()).select_from(Credential)) or 0

    def rotate(self, registry: Registry) -> int:
        """Encrypt everything with a new key and drop the old ones; return how many secrets that were.

        Interrupted at any moment, everything stays readable: old keys leave the file last.
        """
        from cryptography.fernet import Fernet

        with registry.session() as session:
            turns.take(session, "credentials")
            keys = [Fernet.generate_key().decode(), *self._keys()]
            self._write(keys)
            count = 0
            for credential in session.scalars(select(Credential).execution_options(yield_per=500)):
                text = self.decrypted(credential)
                credential.value = self.encrypted(credential.subject, credential.name, text)
                count += 1
        with registry.session() as session:
            turns.take(session, "credentials")
            if self._keys()[:1] == keys[:1]:
                self._write(keys[:1])
        return count

    def encrypted(self, subject: str, name: str, value: str) -> bytes:
        """What the registry keeps of a secret."""
        return self._fernet().encrypt(json.dumps([subject, name, value]).encode())

    def decrypted(self, credential: Credential) -> str:
        """The secret that a row keeps.

        :raises CorpusError: no key reads it, or it was another row's
        """
        from cryptography.fernet import InvalidToken

        label = f"the credential {credential.name!r} of {credential.subject}"
        try:
            subject, name, value = json.loads(self._fernet().decrypt(credential.value))
        except InvalidToken as err:
            raise CorpusError(f"{self._key_file} has no key that reads {label}: restore it from a backup.") from err
        if (subject, name) != (credential.subject, credential.name):
            raise CorpusError(f"What is kept as {label} belongs to {subject}: somebody changed the registry.")
        return str(value)

    def _fernet(self) -> MultiFernet:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            return MultiFernet([Fernet(key) for key in self._keys()])
        except ValueError as err:
            raise CorpusError(f"The key file {self._key_file} is damaged: restore it from a backup.") from err

    def _keys(self) -> list[str]:
        """The keys, newest first. The file is read each time: another process may have rotated them."""
        from cryptography.fernet import Fernet

        try:
            if self._key_file.stat().st_mode & 0o077:
                raise CorpusError(f"Others can read the key file {self._key_file}: chmod 0600 it, then rotate the key.")
            return self._key_file.read_text(encoding="ascii").split()
        except FileNotFoundError:
            pass
        except UnicodeDecodeError as err:
            raise CorpusError(f"The key file {self._key_file} is damaged: restore it from a backup.") from err
        apart = self._key_file.with_name(f".{self._key_file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            files.write(apart, Fernet.generate_key().decode() + "\n", 0o600)
            with contextlib.suppress(FileExistsError):  # another process was first: its key is as good
                os.link(apart, self._key_file)
            files.flush_folder(self._key_file.parent)
        except OSError as err:
            raise CorpusError(f"The key file {self._key_file} cannot be made: {err.strerror}.") from err
        finally:
            apart.unlink(missing_ok=True)
        return self._keys()

    def _write(self, keys: list[str]) -> None:
        files.write(self._key_file, "".join(f"{key}\n" for key in keys), 0o600)


def _find(session: Session, subject: str, name: str) -> Credential | None:
    wanted = select(Credential).where(Credential.subject == subject, Credential.name == name)
    return session.scalar(wanted.execution_options(populate_existing=True))
