"""One-time links: whoever has a link's token may see one secret, once, before its lifetime is over.

The registry has the token's digest, by which a link is found, and the secret under a key that only the token makes:
showing it needs no key of the registry's, and the registry alone shows nothing.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import secrets
from typing import TYPE_CHECKING

from corpus.errors import NotThere, UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from sqlalchemy.orm import Session

#: How long a link shows what it was made for.
LIFETIME = datetime.timedelta(days=7)


def new_token() -> str:
    """A token that nobody guesses. It may stand on a command line: hex, so that none begins like an option."""
    return secrets.token_hex(32)


def digest(token: str) -> str:
    """What a link is found by."""
    return hashlib.sha256(token.encode()).hexdigest()


def key(token: str) -> str:
    """What a link's secret is encrypted with; who has it does not have the token."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"corpus one-time link").derive(token.encode())
    return base64.urlsafe_b64encode(made).decode()


def address(url: str, token: str) -> str:
    """How a person uses a link: a page's address, or a command where there are no pages.

    :param url: at which people reach the web service; empty: there is none
    """
    return f"{url}/links#{token}" if url else f"salt-run mc_guest.redeem {token}"


def make(
    session: Session,
    credential: int,
    told: tuple[str, str, str],
    found_by: str,
    encrypted_with: str,
    lifetime: datetime.timedelta = LIFETIME,
) -> None:
    """Keep a link.

    :param credential: id of what it shows
    :param told: that thing's subject, name and value
    :param found_by: the :func:`digest` of its token
    :param encrypted_with: the :func:`key` of its token
    """
    from sqlalchemy import delete

    from corpus.controller.registry.models import OneTimeLink, now

    session.execute(delete(OneTimeLink).where(OneTimeLink.expires < now()))
    value = _fernet(encrypted_with).encrypt(json.dumps(told).encode())
    expires = now() + lifetime
    session.add(OneTimeLink(credential_id=credential, token_digest=found_by, value=value, expires=expires))
    session.flush()


def redeem(session: Session, token: str) -> tuple[str, str, str]:
    """Return the subject, name and value that a link shows, which it does not do again.

    :raises NotThere: the link was used, is too old, or never was: who asks is not told which
    """
    from cryptography.fernet import InvalidToken
    from sqlalchemy import update

    from corpus.controller.registry.models import OneTimeLink, now

    wanted = (OneTimeLink.token_digest == digest(token), OneTimeLink.used.is_(None), OneTimeLink.expires > now())
    found = session.scalar(update(OneTimeLink).where(*wanted).values(used=now()).returning(OneTimeLink.id))
    row = None if found is None else session.get(OneTimeLink, found)
    if row is None:
        raise NotThere("This link shows nothing: it was used already, or is too old.")
    try:
        subject, name, value = json.loads(_fernet(key(token)).decrypt(row.value))
    except InvalidToken as err:
        raise NotThere("This link shows nothing: what it led to is damaged.") from err
    row.value = b""
    return str(subject), str(name), str(value)


def _fernet(word: str) -> Fernet:
    from cryptography.fernet import Fernet

    try:
        return Fernet(word)
    except ValueError as err:
        raise UsageError("That is no key of a link.") from err
