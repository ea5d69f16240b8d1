"""Secrets: found in a pillar, taken out of every text that leaves, encrypted where they must be stored.

A leaf of a pillar counts as secret when its key says so, or when it is no plain word, number or path:
hiding a harmless value costs nothing, showing a secret one does.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

MASK = "**********"

_TELLING = re.compile(
    r"pass(word|wd|phrase)?$|pass(word|wd|phrase)|(^|[_-])pw(d)?($|[_-])|secret|token|credential|"
    r"(^|[_-])(api|private|access|ssh|secret|encryption)?[_-]?key$|private|dsn$",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"[A-Za-z][A-Za-z]{0,15}|[0-9.]{1,8}|/?[a-z0-9_.-]+(/[a-z0-9_.-]+)+/?|true|false|none|null", re.IGNORECASE
)


def telling(key: object) -> bool:
    """Tell whether a key names a secret (``password``, ``api_key``, ``token`` …)."""
    return isinstance(key, str) and _TELLING.search(key) is not None


def found_in(tree: object, public: Iterable[str] = (), inside: bool = False) -> set[str]:
    """Return the secret texts in a pillar.

    :param tree: mappings, lists and leaves
    :param public: top-level keys whose values are no secrets unless a key below says so
    :param inside: whether a key above already said that all of this is secret
    """
    open_keys = set(public)
    found: set[str] = set()
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in open_keys and not telling(key):
                found |= set(_below_telling_keys(value))
            else:
                found |= found_in(value, (), inside or telling(key))
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            found |= found_in(value, (), inside)
    elif isinstance(tree, str) or (inside and isinstance(tree, (int, float)) and not isinstance(tree, bool)):
        found |= set(_texts(str(tree), inside))
    return found


def _below_telling_keys(tree: object) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if telling(key):
                yield from found_in(value, (), True)
            else:
                yield from _below_telling_keys(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _below_telling_keys(value)
    elif isinstance(tree, str) and "://" in tree:
        yield from _in_url(tree)


def _texts(value: str, inside: bool) -> Iterator[str]:
    if not value.strip():
        return
    yield from _in_url(value)
    if inside:
        if len(value) >= 3:
            yield value
    elif len(value) >= 6 and not _PLAIN.fullmatch(value) and "://" not in value:
        yield value
    else:
        return
    for line in value.splitlines():
        if len(line.strip()) >= 8 and line.strip() != value:
            yield line.strip()


def _in_url(value: str) -> Iterator[str]:
    if "://" in value and "@" in value:
        try:
            password = urlsplit(value).password
        except ValueError:
            password = None
        if password:
            yield password


class Redactor:
    """Takes secrets out of texts and trees.

    >>> Redactor({"s3cr3t"}).text("the password is s3cr3t")
    'the password is **********'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Know these texts too, also as JSON, shell or URL would write them."""
        for secret in secrets:
            self._secrets |= {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), repr(secret)[1:-1]}
        self._secrets.discard("")
        ordered = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return ``text`` with every secret masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def tree(self, tree: Any) -> Any:
        """Return a copy of a JSON-like tree: texts redacted, and everything below a telling key masked."""
        if isinstance(tree, Mapping):
            return {
                self.text(key) if isinstance(key, str) else key: (masked(value) if telling(key) else self.tree(value))
                for key, value in tree.items()
            }
        if isinstance(tree, (list, tuple)):
            return [self.tree(value) for value in tree]
        return self.text(tree) if isinstance(tree, str) else tree


def masked(tree: Any) -> Any:
    """Return the tree with every leaf masked; emptiness stays visible."""
    if isinstance(tree, Mapping):
        return {key: masked(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [masked(value) for value in tree]
    return tree if tree in (None, "", True, False) else MASK


class Vault:
    """Encrypts leaves with a key file (0600), made on first use.

    Fernet from the ``cryptography`` package: AES-128-CBC with HMAC-SHA256.

    :param key_file: absolute path of the key
    """

    _PREFIX = "encrypted:"

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        try:
            handle = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "wb") as stream:
                stream.write(Fernet.generate_key())
                stream.flush()
                os.fsync(stream.fileno())
        return Fernet(self._key_file.read_bytes())

    def sealed(self, tree: Any, inside: bool = False) -> Any:
        """Return a copy of ``tree`` in which the leaves below telling keys are encrypted."""
        if isinstance(tree, Mapping):
            return {key: self.sealed(value, inside or telling(key)) for key, value in tree.items()}
        if isinstance(tree, (list, tuple)):
            return [self.sealed(value, inside) for value in tree]
        if inside and isinstance(tree, (str, int, float)) and not isinstance(tree, bool):
            token = self._fernet().encrypt(json.dumps(tree).encode())
            return self._PREFIX + token.decode()
        return tree

    def opened(self, tree: Any) -> Any:
        """Return a copy of ``tree`` with what :meth:`sealed` encrypted in the clear.

        :raises cryptography.fernet.InvalidToken: the key is not the one it was encrypted with
        """
        if isinstance(tree, Mapping):
            return {key: self.opened(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.opened(value) for value in tree]
        if isinstance(tree, str) and tree.startswith(self._PREFIX):
            return json.loads(self._fernet().decrypt(tree[len(self._PREFIX) :].encode()))
        return tree
