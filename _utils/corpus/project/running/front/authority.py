"""A certificate authority that speaks ACME (RFC 8555): one order, from the proof of the names to the certificate.

The protocol is certbot's library ``acme``: typed, kept by the people who run the largest authority's client, and made
of packages that are here already.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from corpus import files
from corpus.errors import CorpusError, MissingTool
from corpus.project.running.front import certificates
from corpus.project.running.front.tls import Acme

if TYPE_CHECKING:
    from acme.client import ClientV2

_SECONDS = 90  # for one order


class Solver(Protocol):
    """Proves to an authority that a host name is ours. One a way of proving: http-01 here, dns-01 by whoever has the zone."""

    #: the authority's word for it
    kind: str

    def present(self, name: str, token: str, proof: str) -> None:
        """Show the proof.

        :param name: the host name
        :param token: of the challenge
        :param proof: what must be found: the key authorization
        """

    def withdraw(self, name: str, token: str) -> None:
        """Show it no more."""


class HttpSolver:
    """Proves by a file that the front serves (http-01).

    :param folder: that is served, absolute
    """

    kind = "http-01"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def present(self, name: str, token: str, proof: str) -> None:
        files.write(self._folder / _plain(token), proof)

    def withdraw(self, name: str, token: str) -> None:
        (self._folder / _plain(token)).unlink(missing_ok=True)


def _plain(token: str) -> str:
    """Return a token that can name a file: base64url, RFC 8555, 8.3."""
    if not token or not all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in token):
        raise CorpusError("The certificate authority sent a token that is none.")
    return token


class Authority:
    """An authority, and our account there.

    :param settings: where it is
    :param folder: where accounts are kept, absolute; 0700, made when needed
    """

    def __init__(self, settings: Acme, folder: Path) -> None:
        self._settings = settings
        self._account = folder / certificates.short(settings.directory)

    def issue(self, names: Sequence[str], solver: Solver) -> certificates.Pair:
        """Get a certificate.

        :param names: host names that it is to be for
        :param solver: that proves them
        :raises CorpusError: the authority refuses, or does not answer; the message is one sentence
        """
        try:
            import requests
            from acme import errors, messages
        except ImportError as err:
            raise MissingTool("Certificates by ACME need the Python package acme beside Salt: install it.") from err
        where = self._settings.directory
        try:
            try:
                return self._issue(names, solver)
            except messages.Error as err:
                if err.code not in ("accountDoesNotExist", "unauthorized"):
                    raise
                (self._account / "account.json").unlink(missing_ok=True)  # an authority may forget: say who we are
                return self._issue(names, solver)
        except errors.ValidationError as err:
            raise CorpusError(f"{where} gives no certificate: {_failures(err)}") from err
        except messages.Error as err:
            words = "; ".join([str(err.detail), *(str(one.detail) for one in err.subproblems or ())])
            raise CorpusError(f"{where} gives no certificate: {_sentence(words)}") from err
        except errors.TimeoutError as err:
            raise CorpusError(f"{where} gave no certificate within {_SECONDS} seconds.") from err
        except (errors.Error, requests.RequestException, OSError, ValueError) as err:
            raise CorpusError(f"{where} cannot be asked for a certificate: {_sentence(_root(err))}") from err

    def _issue(self, names: Sequence[str], solver: Solver) -> certificates.Pair:
        from acme import messages

        client, account = self._client()
        key = certificates.new_key()
        order = client.new_order(certificates.request(key, names))
        shown: list[tuple[str, str]] = []
        try:
            for authorization in order.authorizations:
                if authorization.body.status == messages.STATUS_VALID:
                    continue
                name = authorization.body.identifier.value
                challenge = next((one for one in authorization.body.challenges if one.chall.typ == solver.kind), None)
                if challenge is None:
                    raise CorpusError(f"{self._settings.directory} does not take {solver.kind} as a proof for {name}.")
                response, proof = challenge.response_and_validation(account)
                token = challenge.chall.encode("token")
                shown.append((name, token))
                solver.present(name, token, proof)
                client.answer_challenge(challenge, response)
            until = datetime.datetime.now() + datetime.timedelta(seconds=_SECONDS)  # noqa: DTZ005 - the library's wish
            done = client.poll_and_finalize(order, until)
        finally:
            for name, token in shown:
                solver.withdraw(name, token)
        pair = certificates.Pair(str(done.fullchain_pem), key)
        pair.check(names)
        return pair

    def _client(self) -> tuple[ClientV2, Any]:
        """Return a client with our account, which is made when there is none."""
        from acme import client, errors, messages

        key = self._key()
        trusted: Any = self._settings.ca_bundle or True
        net = client.ClientNetwork(key, user_agent="corpus", timeout=20, verify_ssl=trusted)
        directory = client.ClientV2.get_directory(self._settings.directory, net)
        made = client.ClientV2(directory, net)
        kept = self._account / "account.json"
        known = files.read_json(kept)
        if known and known["contact"] == list(self._settings.contact):
            net.account = messages.RegistrationResource.from_json(known["account"])
            return made, key
        contact = tuple(f"mailto:{one}" for one in self._settings.contact)
        wish = messages.NewRegistration(contact=contact, terms_of_service_agreed=True)
        try:
            account = made.new_account(wish)
        except errors.ConflictError as err:
            account = messages.RegistrationResource(uri=err.location, body=messages.Registration())
            net.account = account
            account = made.update_registration(account, messages.Registration(contact=contact))
        net.account = account
        files.write_json(kept, {"contact": list(self._settings.contact), "account": account.to_json()})
        return made, key

    def _key(self) -> Any:
        """Return the account's key, which is made when there is none and stays."""
        from cryptography.hazmat.primitives.asymmetric import rsa
        from josepy.jwk import JWK, JWKRSA

        path = self._account / "account.key"
        if path.exists():
            return JWK.from_json(json.loads(path.read_text(encoding="ascii")))
        self._account.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._account.parent.chmod(0o700)
        key = JWKRSA(key=rsa.generate_private_key(65537, 2048))
        files.write(path, json.dumps(key.to_json()), 0o600)
        return JWK.from_json(json.loads(path.read_text(encoding="ascii")))


def _failures(err: Any) -> str:
    """Say which names could not be proven, and why."""
    words = []
    for authorization in err.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                words.append(f"{authorization.body.identifier.value}: {challenge.error.detail}")
    return _sentence("; ".join(dict.fromkeys(words)) or "a name could not be proven")


def _root(err: BaseException) -> str:
    return str(err) or type(err).__name__


def _sentence(words: str) -> str:
    """Return the first words of a foreign message, as one line with a full stop."""
    line = " ".join(words.split())[:400].rstrip(".")
    return f"{line}."
