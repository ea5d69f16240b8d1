"""Signatures of releases, made and checked by ``ssh-keygen -Y`` (ssh-keygen(1)), which is wherever git and ssh are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from corpus import identifiers, processes
from corpus.errors import ConfigurationError, ReleaseRefused, UsageError

NAMESPACE = "corpus-release"
#: what is added to the name of a file for that of its signature
SUFFIX = ".sig"
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")


def make_key(key: Path, comment: str) -> None:
    """Make a key pair to sign with, unless it is there.

    :param key: path of the private key (0600); the public one gets ``.pub``
    """
    if not key.exists():
        processes.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key])


def public_key(key: Path) -> str | None:
    """Return the public half of a signing key as one line, or None when it is not there (yet)."""
    try:
        return key.with_name(f"{key.name}.pub").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def sign(path: Path, key: Path) -> Path:
    """Sign a file; the signature lies beside it.

    :raises UsageError: there is no such key, or it needs a passphrase
    """
    if not key.is_file():
        raise UsageError(f"sign_with: there is no key {key}: make one with ssh-keygen -t ed25519 -f {key}.")
    signed = path.with_name(path.name + SUFFIX)
    signed.unlink(missing_ok=True)
    done = processes.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", NAMESPACE, path],
        env={"SSH_ASKPASS_REQUIRE": "never", "DISPLAY": None},
        check=False,
    )
    if done.status or not signed.is_file():
        raise UsageError(f"{key} cannot sign the release: {done.last_words}")
    return signed


@dataclass(frozen=True)
class Trust:
    """Whose releases a project takes.

    :param keys: public keys, or lines of an allowed_signers file (ssh-keygen(1), ALLOWED SIGNERS)
    :param required: whether a release must be signed by one of them
    """

    keys: tuple[str, ...] = ()
    required: bool = False

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Trust:
        """Read it from a configuration: ``trusted_keys``, and ``require_signature`` (not set: when there are keys).

        :raises ConfigurationError: a line is no key, or a signature is required and no key is trusted
        """
        keys = tuple(str(line) for line in cfg.get("trusted_keys") or ())
        required = cfg.get("require_signature")
        if required and not keys:
            raise ConfigurationError(
                "require_signature is set and trusted_keys names no key: add staging's public key "
                "(mc_project.status there shows it)."
            )
        for line in keys:
            _allowed(line)
        return cls(keys, bool(keys) if required is None else bool(required))

    def signer(self, signed: Path, name: str) -> str | None:
        """Return who of the trusted signed a file, or None when nobody of them did and nobody must.

        :param signed: the file; its signature, when there is one, lies beside it
        :param name: what to call the release in a message
        :raises ReleaseRefused: the signature is missing and required, does not fit, or is by somebody else
        """
        signature = signed.with_name(signed.name + SUFFIX)
        if not signature.is_file():
            if self.required:
                raise ReleaseRefused(f"{name} is refused: it is not signed, and only signed releases are taken here.")
            return None
        content = signed.read_text(encoding="utf-8", errors="surrogateescape")
        fits = _verify(["check-novalidate", "-s", signature], content)
        if fits.status:
            raise ReleaseRefused(f"{name} is refused: its signature is not of this manifest, or was damaged.")
        with TemporaryDirectory() as folder:
            allowed = Path(folder) / "allowed_signers"
            allowed.write_text("".join(f"{_allowed(line)}\n" for line in self.keys), encoding="utf-8")
            found = _verify(["find-principals", "-s", signature, "-f", allowed], None)
            for who in found.output.replace(",", " ").split() if found.status == 0 else ():
                if _verify(["verify", "-f", allowed, "-I", who, "-s", signature], content).status == 0:
                    return who
        if self.required:
            key = next((word for word in fits.output.split() if word.startswith("SHA256:")), "another key")
            raise ReleaseRefused(f"{name} is refused: it is signed by {key}, which is none of the trusted_keys.")
        return None


def _verify(words: list[str | Path], content: str | None) -> processes.Result:
    verb, *rest = words
    return processes.run(["ssh-keygen", "-Y", verb, "-n", NAMESPACE, *rest], stdin=content, check=False)


def _allowed(line: str) -> str:
    """Return a line of an allowed_signers file for a trusted key.

    :raises ConfigurationError: it is neither a public key nor such a line
    """
    words = line.split()
    if "\n" not in line.strip() and len(words) >= 2:
        if words[0].startswith(_KEY_TYPES):
            name = re.sub(r"[^A-Za-z0-9@._-]", "_", " ".join(words[2:]))[:80] or f"key-{words[1][-12:-2]}"
            return f'{name} namespaces="{NAMESPACE}" {words[0]} {words[1]}'
        if any(word.startswith(_KEY_TYPES) for word in words[1:-1]):
            return " ".join(words)
    raise ConfigurationError(
        f"trusted_keys: {identifiers.shown(line)} is no public ssh key ('ssh-ed25519 AAAA… comment') "
        "and no line of an allowed_signers file."
    )
