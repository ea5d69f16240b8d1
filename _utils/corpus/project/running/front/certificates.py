"""Certificates and their keys: checked, kept where only the front's master process reads them, made when there is none."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus import files
from corpus.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

#: where a certificate comes from; the first word of its id
GIVEN, ISSUED, SELF_SIGNED = "given", "acme", "self"
_ID = re.compile(r"(given|acme|self)(-[0-9a-f]+)+")


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its private key; both PEM.

    :param certificate: the chain, the server's own first
    :param key: not encrypted
    """

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Pair(…)"  # a key is never shown, not even in a traceback

    @classmethod
    def given(cls, certificate: object, key: object) -> Pair | None:
        """Return what a person wrote, or None when neither is given.

        :raises ConfigurationError: one is missing, or is not PEM
        """
        if certificate is None and key is None:
            return None
        for name, text in (("certificate", certificate), ("key", key)):
            if not isinstance(text, str) or not text.strip():
                raise ConfigurationError(f"tls: {name} is missing: certificate and key go together, both as PEM.")
        made = cls(str(certificate).strip() + "\n", str(key).strip() + "\n")
        made.chain()
        made.private()
        return made

    def chain(self) -> list[x509.Certificate]:
        """Return the certificates, the server's own first.

        :raises ConfigurationError: it is no PEM
        """
        from cryptography import x509

        try:
            return x509.load_pem_x509_certificates(self.certificate.encode())
        except ValueError as err:
            raise ConfigurationError(
                "tls: certificate is no PEM: it begins with -----BEGIN CERTIFICATE-----, the server's own first."
            ) from err

    def private(self) -> PrivateKeyTypes:
        """Return the private key.

        :raises ConfigurationError: it cannot be read
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            return load_pem_private_key(self.key.encode(), password=None)
        except TypeError:
            raise ConfigurationError("tls: key is encrypted: give it without a passphrase.") from None
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError("tls: key is no private key in PEM.") from None

    def check(self, names: Sequence[str]) -> None:
        """Find now what nginx or a browser would refuse.

        :param names: host names that it must be for
        :raises ConfigurationError: it does not fit the key, a name, the time or its chain
        """
        self.check_fit(names)
        now = datetime.datetime.now(datetime.timezone.utc)
        for number, one in enumerate(self.chain()):
            who = "the certificate" if number == 0 else f"{one.subject.rfc4514_string()!r} in its chain"
            if one.not_valid_after_utc < now:
                raise ConfigurationError(f"tls: {who} has expired on {one.not_valid_after_utc:%Y-%m-%d}.")
            if one.not_valid_before_utc > now + datetime.timedelta(days=1):
                raise ConfigurationError(f"tls: {who} is not valid before {one.not_valid_before_utc:%Y-%m-%d}.")

    def check_fit(self, names: Sequence[str]) -> None:
        """The same without the time: a certificate that expired meanwhile must not be in the way of a rollback."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import rsa

        chain = self.chain()
        public = chain[0].public_key()
        if _encoded(public) != _encoded(self.private().public_key()):
            raise ConfigurationError("tls: key is not the key of the certificate, whose own must come first.")
        if isinstance(public, rsa.RSAPublicKey) and public.key_size < 2048:
            raise ConfigurationError(f"tls: the key has {public.key_size} bits; browsers want 2048.")
        missing = [name for name in names if not covers(self.names(), name)]
        if missing:
            raise ConfigurationError(
                f"tls: the certificate is not for {missing[0]}, only for {', '.join(self.names()[:5]) or 'no host'}."
            )
        for issued, issuer in itertools.pairwise(chain):
            try:
                issued.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature):
                raise ConfigurationError(
                    f"tls: the chain is broken: {issuer.subject.rfc4514_string()!r} did not issue "
                    f"{issued.subject.rfc4514_string()!r} before it."
                ) from None

    def names(self) -> list[str]:
        """Return the host names and addresses that it is for."""
        from cryptography import x509

        try:
            found = self.chain()[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return [
            *found.get_values_for_type(x509.DNSName),
            *(str(one) for one in found.get_values_for_type(x509.IPAddress)),
        ]

    def validity(self) -> tuple[datetime.datetime, datetime.datetime]:
        """Return from when to when it is valid, in UTC."""
        own = self.chain()[0]
        return own.not_valid_before_utc, own.not_valid_after_utc

    def due(self) -> datetime.datetime:
        """Return when it should be renewed: with a third of its life left."""
        begin, end = self.validity()
        return end - (end - begin) / 3

    def issuer(self) -> str:
        return self.chain()[0].issuer.rfc4514_string()


def _encoded(public: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]


def covers(certified: Iterable[str], name: str) -> bool:
    """Tell whether a certificate for some names is one for ``name``, too (RFC 6125, 6.4.3: a star is one label)."""
    known = {one.lower() for one in certified}
    star = "*." + name.lower().partition(".")[2]
    return name.lower() in known or (not name.startswith("*.") and star in known)


def self_signed(names: Sequence[str]) -> Pair:
    """Make a certificate that encrypts and proves nothing, until there is a better one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    key = new_key()
    private = Pair("", key).private()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "no certificate yet")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names or ["localhost"]]), False)
        .sign(private, hashes.SHA256())  # type: ignore[arg-type]
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    return Pair(made.public_bytes(Encoding.PEM).decode(), key)


def new_key() -> str:
    """Make a private key (P-256) in PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = ec.generate_private_key(ec.SECP256R1())
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def request(key: str, names: Sequence[str]) -> bytes:
    """Return a certificate signing request for host names, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    asked = asked.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return asked.sign(Pair("", key).private(), hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


class Store:
    """The certificates of one project. Each has an id of its own, so that a site which comes back finds the one it had.

    :param folder: 0700, made when needed
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def certificate(self, identity: str) -> Path:
        return self._folder / f"{self._checked(identity)}.crt"

    def key(self, identity: str) -> Path:
        return self._folder / f"{self._checked(identity)}.key"

    @staticmethod
    def _checked(identity: str) -> str:
        if not _ID.fullmatch(identity):
            raise ValueError(identity)
        return identity

    def keep(self, pair: Pair, kind: str, source: str = "") -> str:
        """Keep a pair, and return its id.

        :param kind: where it comes from
        :param source: url of the authority that issued it
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        digest = hashlib.sha256((pair.certificate + pair.key).encode()).hexdigest()[:16]
        identity = f"{kind}-{digest}" if kind != ISSUED else f"{ISSUED}-{short(source)}-{digest}"
        files.write(self.key(identity), pair.key, 0o600)
        files.write(self.certificate(identity), pair.certificate, 0o600)
        return identity

    def pair(self, identity: str) -> Pair:
        """Return a pair that is kept.

        :raises OSError: it is not
        """
        return Pair(
            self.certificate(identity).read_text(encoding="ascii"), self.key(identity).read_text(encoding="ascii")
        )

    def best(self, names: Sequence[str], source: str) -> str | None:
        """Return the id of the certificate from an authority that is for all names and valid longest, or None."""
        found = []
        now = datetime.datetime.now(datetime.timezone.utc)
        for path in self._folder.glob(f"{ISSUED}-{short(source)}-*.crt"):
            pair = self.pair(path.stem)
            if pair.validity()[1] > now and all(covers(pair.names(), name) for name in names):
                found.append((pair.validity()[1], path.stem))
        return max(found)[1] if found else None

    def own(self, names: Sequence[str]) -> str:
        """Return the id of a self-signed certificate for the names; it is made when there is none."""
        for path in self._folder.glob(f"{SELF_SIGNED}-*.crt"):
            if set(self.pair(path.stem).names()) == set(names or ["localhost"]):
                return path.stem
        return self.keep(self_signed(names), SELF_SIGNED)

    def tidy(self, used: Iterable[str]) -> None:
        """Remove what no site uses; what an authority issued stays while it is valid."""
        keep = set(used)
        now = datetime.datetime.now(datetime.timezone.utc)
        for path in self._folder.glob("*.crt"):
            valid = path.stem.startswith(f"{ISSUED}-") and self.pair(path.stem).validity()[1] > now
            if path.stem not in keep and not valid:
                self.key(path.stem).unlink(missing_ok=True)
                path.unlink()


def short(source: str) -> str:
    """Return a part of a file name that stands for an authority's url."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]
