"""The key ``tls`` of a configuration: where a project's certificate comes from, and what browsers are told about it."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corpus.errors import ConfigurationError
from corpus.identifiers import shown
from corpus.project.running.front import address, certificates

#: Let's Encrypt, as most people mean it
DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Acme:
    """How certificates are asked for.

    :param directory: url of the certificate authority's ACME directory
    :param contact: mail addresses that it may write to
    :param ca_bundle: absolute path of the certificates that the authority itself is trusted by; None: the system's
    """

    directory: str
    contact: tuple[str, ...] = ()
    ca_bundle: str | None = None


@dataclass(frozen=True)
class Settings:
    """What ``tls`` says.

    :param pair: the certificate and key that were given
    :param acme: how to get one instead
    :param redirect: whether http is sent to https
    :param hsts: value of the header Strict-Transport-Security; empty: it is not sent
    """

    pair: certificates.Pair | None
    acme: Acme | None
    redirect: bool
    hsts: str

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Settings | None:
        """Read them; None when the project wants no TLS.

        :raises ConfigurationError: something in them cannot be
        """
        given = cfg["tls"]
        if not given:
            return None
        _known("tls", given, ("certificate", "key", "acme", "redirect", "hsts"))
        acme = _acme(given.get("acme", False), address.check_names(cfg))
        pair = certificates.Pair.given(given.get("certificate"), given.get("key"))
        if (pair is None) == (acme is None):
            raise ConfigurationError("tls: give either certificate and key, or acme.")
        redirect = given.get("redirect", True)
        if not isinstance(redirect, bool):
            raise ConfigurationError(f"tls: redirect is yes or no, not {shown(redirect)}.")
        return cls(pair, acme, redirect, _hsts(given.get("hsts", False)))


def check(cfg: Mapping[str, Any]) -> None:
    """Find now what browsers would refuse.

    :raises ConfigurationError: a given certificate has expired, is for other names, or does not fit its key
    """
    settings = Settings.configured(cfg)
    if settings and settings.pair:
        settings.pair.check(address.check_names(cfg))


def _known(where: str, given: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, n=1)
            raise ConfigurationError(
                f"{where}: there is no key {shown(key)}: "
                + (f"did you mean {near[0]!r}?" if near else f"use {', '.join(keys)}.")
            )


def _acme(given: object, names: list[str]) -> Acme | None:
    if given is False or given is None:
        return None
    if given is not True and not isinstance(given, Mapping):
        raise ConfigurationError("tls: acme is yes, or a mapping of directory, contact and ca_bundle.")
    options: Mapping[str, Any] = {} if given is True else given
    _known("tls: acme", options, ("directory", "contact", "ca_bundle"))
    directory = options.get("directory") or DIRECTORY
    if not isinstance(directory, str) or urlsplit(directory).scheme != "https" or not urlsplit(directory).hostname:
        raise ConfigurationError(f"tls: the directory of acme is an https url, not {shown(directory)}.")
    contact = options.get("contact") or []
    contact = [contact] if isinstance(contact, str) else contact
    if not isinstance(contact, list) or not all(_is_mail(one) for one in contact):
        raise ConfigurationError(
            f"tls: the contact of acme is a mail address, or a list of them, not {shown(contact)}."
        )
    bundle = options.get("ca_bundle")
    if bundle is not None and not (isinstance(bundle, str) and bundle.startswith("/") and Path(bundle).is_file()):
        raise ConfigurationError(f"tls: the ca_bundle of acme is the absolute path of a file, not {shown(bundle)}.")
    if not names:
        raise ConfigurationError("tls: acme gets certificates for host names: set domain.")
    for name in names:
        if name.startswith("*."):
            raise ConfigurationError(
                f"tls: acme proves host names by http and gets no certificate for {name}: "
                "name the hosts in domains, or give certificate and key."
            )
        if "." not in name or _is_number(name):
            raise ConfigurationError(f"tls: no authority gives a certificate for {name} by acme: use a full host name.")
    return Acme(directory, tuple(contact), bundle)


def _is_mail(text: object) -> bool:
    if not isinstance(text, str) or not text.isprintable() or len(text) > 254:
        return False
    user, _, host = text.rpartition("@")
    return bool(user) and "." in host and not set(text) & set(' ,;<>"?')


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _hsts(given: object) -> str:
    options: Mapping[str, Any] = given if isinstance(given, Mapping) else {"max_age": given}
    _known("tls: hsts", options, ("max_age", "subdomains", "preload"))
    age = options.get("max_age", True)
    if age is False or age is None:
        return ""
    age = _YEAR if age is True else age
    if not isinstance(age, int) or not 0 <= age <= 10 * _YEAR:
        raise ConfigurationError(f"tls: hsts is yes, no, or a whole number of seconds, not {shown(age)}.")
    for key in ("subdomains", "preload"):
        if not isinstance(options.get(key, False), bool):
            raise ConfigurationError(f"tls: {key} of hsts is yes or no, not {shown(options[key])}.")
    return "; ".join(
        [f"max-age={age}"]
        + (["includeSubDomains"] if options.get("subdomains") else [])
        + (["preload"] if options.get("preload") else [])
    )
