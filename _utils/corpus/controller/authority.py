"""A certificate authority of the controller's own, for the web service where nobody gave it a certificate.

People trust it once, by its certificate; what it signs is for the names of one url, and is renewed long before its end.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

#: Days that browsers believe a certificate for at most; the authority's own; before the end, when another one is made.
_DAYS, _DAYS_OF_AUTHORITY, _DAYS_LEFT = 820, 3650, 90


@dataclass(frozen=True)
class Chain:
    """An authority, and what it signed, as PEM.

    :param authority_key: of the authority
    :param authority: its certificate
    :param key: of the service
    :param certificate: its certificate
    """

    authority_key: str
    authority: str
    key: str
    certificate: str


#: What each part of a chain is kept as.
NAMES = Chain("ca.key", "ca.crt", "web.key", "web.crt")


def chain(folder: Path, names: Sequence[str]) -> Chain:
    """Return what is kept in a folder, with new parts where one is missing, old, or for other names. Nothing is written.

    :param folder: absolute path
    :param names: host names and addresses that the service is reached by
    """
    kept = {part: _text(folder / getattr(NAMES, part)) for part in ("authority_key", "authority", "key", "certificate")}
    known = Chain(**kept)
    if not (known.authority_key and _lasts(known.authority)):
        known = replace(known, key="", **dict(zip(("authority_key", "authority"), _authority(), strict=True)))
    if not (known.key and _lasts(known.certificate) and _names(known.certificate) == sorted(set(names))):
        key, certificate = _signed(known, sorted(set(names)))
        known = replace(known, key=key, certificate=certificate)
    return known


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def _lasts(certificate: str) -> bool:
    from cryptography import x509

    if not certificate:
        return False
    end = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    return end - _now() > datetime.timedelta(days=_DAYS_LEFT)


def _names(certificate: str) -> list[str]:
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate.encode())
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(
        [*alternative.get_values_for_type(x509.DNSName), *map(str, alternative.get_values_for_type(x509.IPAddress))]
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _authority() -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    key = ec.generate_private_key(ec.SECP256R1())
    name = _called("corpus' own authority")
    made = (
        _builder(name, name, key, _DAYS_OF_AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, SHA256())
    )
    return _pem(key), _certificate(made)


def _signed(known: Chain, names: Sequence[str]) -> tuple[str, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority = x509.load_pem_x509_certificate(known.authority.encode())
    signing = load_pem_private_key(known.authority_key.encode(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    made = (
        _builder(_called(names[0]), authority.subject, key, _DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(own, critical=False)
        .sign(signing, SHA256())
    )
    return _pem(key), _certificate(made)


def _called(name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(_now() + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _certificate(made: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.public_bytes(Encoding.PEM).decode()
