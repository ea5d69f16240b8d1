"""Secrets: found in a pillar, taken out of every text that leaves, encrypted where they must be stored.

A leaf of a pillar counts as secret when its key says so, or when it is no plain word, number or path:
hiding a harmless value costs nothing, showing a secret one does.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from corpus.errors import CorpusError

MASK = "**********"

_TELLING = re.compile(
    r"pass(word|wd|phrase)?$|pass(word|wd|phrase)|(^|[_-])pw(d)?($|[_-])|secret|token|credential|"
    r"(^|[_-])key$|(api|access|ssh|encryption|signing|master)[_-]?keys?$|private|dsn$",
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
    value = value.strip()  # a YAML block ends with a line feed that nobody repeats
    yield from _in_url(value)
    if inside:
        if len(value) >= 3:
            yield value
    elif len(value) >= 6 and "://" not in value and not _plain(value):
        yield value
    else:
        return
    for line in value.splitlines():
        if len(line.strip()) >= 8 and line.strip() != value:
            yield line.strip()


def _plain(value: str) -> bool:
    """Tell whether a value is a word, a number or a path; what base64 makes of a key has slashes, too."""
    return _PLAIN.fullmatch(value) is not None and not any(
        len(part) >= 16 and all(re.search(kind, part) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        for part in value.split("/")
    )


def _in_url(value: str) -> Iterator[str]:
    """Yield a url's password, or the token that stands for a user, and telling parameters; as written and as meant."""
    if "://" not in value:
        return
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    if parts.username and len(parts.username) >= 8 and not _plain(parts.username):
        yield from (parts.username, unquote(parts.username))
    for key, parameter in parse_qsl(parts.query):
        if telling(key) and len(parameter) >= 3:
            yield parameter


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
            self._secrets |= {
                secret,
                json.dumps(secret)[1:-1],
                json.dumps(secret, ensure_ascii=False)[1:-1],
                quote(secret),
                quote(secret, safe=""),
                quote_plus(secret),
                repr(secret)[1:-1],
                shlex.quote(secret),
            }
        self._compile()

    def forget(self, texts: Iterable[str]) -> None:
        """Do not take these texts for secrets."""
        self._secrets -= set(texts)
        self._compile()

    def _compile(self) -> None:
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
    return tree if tree is None or tree == "" or isinstance(tree, bool) else MASK


class Vault:
    """Encrypts leaves with a key file (0600), made on first use.

    Fernet from the ``cryptography`` package: AES-128-CBC with HMAC-SHA256.

    :param key_file: absolute path of the key
    """

    _PREFIX = "encrypted:"

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def _encrypted(self, text: str) -> str:
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
        return str(self._fernet().encrypt(text.encode()).decode())

    def _decrypted(self, token: str) -> str:
        from cryptography.fernet import InvalidToken

        try:
            return str(self._fernet().decrypt(token.encode()).decode())
        except InvalidToken as err:
            raise CorpusError(
                f"What was encrypted with {self._key_file} cannot be read: restore that file from a backup."
            ) from err

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        try:
            return Fernet(self._key_file.read_bytes())
        except FileNotFoundError as err:
            raise CorpusError(f"The key {self._key_file} is gone: restore it from a backup.") from err
        except ValueError as err:
            raise CorpusError(f"The key {self._key_file} is damaged: restore it from a backup.") from err

    def sealed(self, tree: Any, inside: bool = False, always: Collection[str] = ()) -> Any:
        """Return a copy of ``tree`` in which the leaves below telling keys are encrypted.

        So is a text that only looks as if it were: it comes back as it was.

        :param inside: encrypt every leaf
        :param always: keys below which every leaf is encrypted, whatever they tell
        """
        if isinstance(tree, Mapping):
            return {
                key: self.sealed(value, inside or telling(key) or key in always, always) for key, value in tree.items()
            }
        if isinstance(tree, (list, tuple)):
            return [self.sealed(value, inside, always) for value in tree]
        if (inside and isinstance(tree, (str, int, float)) and not isinstance(tree, bool)) or (
            isinstance(tree, str) and tree.startswith(self._PREFIX)
        ):
            return self._PREFIX + self._encrypted(json.dumps(tree))
        return tree

    def opened(self, tree: Any) -> Any:
        """Return a copy of ``tree`` with what :meth:`sealed` encrypted in the clear.

        :raises CorpusError: the key is gone, damaged, or not the one it was encrypted with
        """
        if isinstance(tree, Mapping):
            return {key: self.opened(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.opened(value) for value in tree]
        if isinstance(tree, str) and tree.startswith(self._PREFIX):
            return json.loads(self._decrypted(tree[len(self._PREFIX) :]))
        return tree
