"""Who gets in, and to whom: ssh keys, the keys of hosts that we know, and the command line that uses both."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import ipaddress
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from corpus import files, processes
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

#: seconds until a machine must have answered
CONNECTING = 10

_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)),
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
#: Characters of a line (RSA with 16384 bits has 2800), and of the comment in it
_LINE, _COMMENT = 6000, 200
#: Bits of an RSA key
_SHORTEST, _LONGEST = 2048, 16384
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Key:
    """An ssh key pair.

    :param public: one line, as in ``authorized_keys``
    :param private: as OpenSSH writes it, not encrypted
    """

    public: str
    private: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` tells it."""
        return fingerprint(self.public)

    def save(self, path: Path) -> None:
        """Write the private key to ``path`` (0600), and the public one beside it (``.pub``)."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(path, self.private, 0o600)
        files.write(path.with_name(f"{path.name}.pub"), f"{self.public}\n")


def new_key(comment: str = "corpus") -> Key:
    """Make a key pair (Ed25519).

    :param comment: stands at the end of the public key
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = Ed25519PrivateKey.generate()
    public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return Key(public_key(f"{public} {comment}"), private)


def kept_key(path: Path, comment: str = "corpus") -> Key:
    """Return the key pair in ``path``; made when there is none yet."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _turn(path):
        try:
            return Key(path.with_name(f"{path.name}.pub").read_text().strip(), path.read_text())
        except FileNotFoundError:
            made = new_key(comment)
            made.save(path)
            return made


def public_key(line: object) -> str:
    """Return a public key when it is one, on one line and without options.

    :raises UsageError: it is no public key, more than that, or one that is too weak
    """
    words = line.strip().split(None, 2) if isinstance(line, str) and len(line) <= _LINE else []
    if len(words) >= 2 and words[0] in _KINDS and _is_comment("".join(words[2:])):
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key

        try:
            key = None if words[0].startswith("sk-") else load_ssh_public_key(" ".join(words[:2]).encode())
            if _kind_inside(words[1]) == words[0]:
                if isinstance(key, RSAPublicKey) and not _SHORTEST <= key.key_size <= _LONGEST:
                    raise UsageError(
                        f"An RSA key of {key.key_size} bits is not taken: make one of {_SHORTEST} to {_LONGEST} bits, "
                        "or better an ed25519 key (ssh-keygen -t ed25519)."
                    )
                return " ".join(words)
        except (UnsupportedAlgorithm, ValueError):
            pass
    raise UsageError(
        f"{shown(line)} is not a public ssh key: give the one line of a file such as ~/.ssh/id_ed25519.pub."
    )


def _is_comment(words: str) -> bool:
    """Whether words can stand at the end of a key: on one line, whoever reads it, and without quotes."""
    return len(words) <= _COMMENT and words.isprintable() and not any(sign in "\"'`\\" for sign in words)


def _kind_inside(encoded: str) -> str:
    """A key says once more what it is."""
    blob = base64.b64decode(encoded, validate=True)
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode()


def fingerprint(line: str) -> str:
    """Return the fingerprint of a public key, ``SHA256:…``."""
    return fingerprint_of(public_key(line).split()[1])


def fingerprint_of(encoded: str) -> str:
    """Return the fingerprint of what stands behind a public key's kind, good key or not.

    :raises UsageError: it is not base64
    """
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError as err:
        raise UsageError(f"{shown(encoded)} is no key.") from err
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def authorized_keys(lines: Iterable[str]) -> str:
    """Return the text of an ``authorized_keys`` that lets these public keys in, each once."""
    keys = {tuple(line.split()[:2]): line for line in map(public_key, lines)}
    return "# Written by corpus: keys of others would be lost.\n" + "".join(
        f"{line}\n" for line in sorted(keys.values())
    )


def host(name: object) -> str:
    """Return ``name`` when it is an address, or a name, of a machine.

    :raises UsageError: it is neither
    """
    if isinstance(name, str):
        if _HOST.fullmatch(name):
            return name
        with contextlib.suppress(ValueError):
            if "%" not in name:  # what follows is checked by nobody
                return str(ipaddress.ip_address(name))
    raise UsageError(f"{shown(name)} is neither the address nor the name of a machine.")


@dataclass(frozen=True)
class Target:
    """Where a machine is reached by ssh.

    :param host: name or address
    :param identity: absolute path of the private key that is let in
    :param known_hosts: absolute path of the file with the keys of hosts that we know
    :param user: to log in as; another one than root must be allowed to ``sudo`` without a password
    """

    host: str
    identity: Path
    known_hosts: Path
    port: int = 22
    user: str = "root"

    def __post_init__(self) -> None:
        host(self.host)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise UsageError(f"{shown(self.port)} is not a port: write a number from 1 to 65535.")
        if not isinstance(self.user, str) or not _USER.fullmatch(self.user):
            raise UsageError(f"{shown(self.user)} cannot name a user.")

    @property
    def options(self) -> list[str]:
        """What ``ssh`` must be told, whoever runs it: our key, the hosts that we know, and no questions."""
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECTING),
            "GlobalKnownHostsFile": "/dev/null",
            "HashKnownHosts": "no",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "ServerAliveCountMax": "4",
            "ServerAliveInterval": "15",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": str(self.known_hosts),
        }
        words = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return ["-F", "none", "-i", str(self.identity), "-p", str(self.port), *words]

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` there as root; its words are quoted for the shell there."""
        sudo = [] if self.user == "root" else ["sudo", "-n", "--"]
        said = shlex.join([*sudo, *command])
        return ["ssh", *self.options, "-l", self.user, "--", self.host, said]

    def run(self, *command: str, stdin: str | None = None, timeout: float | None = 60) -> processes.Result:
        """Run a program there, as root, to its end.

        :raises CorpusError: the machine was not reached, or the program failed
        """
        done = processes.run(self.argv(*command), stdin=stdin, timeout=timeout, check=False)
        if done.status == 255:
            raise CorpusError(f"{self} was not reached by ssh: {done.last_words}")
        if done.status:
            raise CorpusError(f"{command[0]} on {self} failed (exit status {done.status}): {done.last_words}")
        return done

    @property
    def rsh(self) -> str:
        """What ``rsync --rsh`` wants."""
        return shlex.join(["ssh", *self.options, "-l", self.user])

    def __str__(self) -> str:
        return self.host if self.port == 22 else f"{self.host} (port {self.port})"


class KnownHosts:
    """A ``known_hosts`` of ours: one line a key, host names in the clear.

    :param path: absolute
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self, machine: str, port: int = 22) -> list[str]:
        """Return the public keys that we know of a machine."""
        return [key for name, key in self._entries() if name == _named(machine, port)]

    def learn(self, machine: str, port: int, *keys: str) -> bool:
        """Know these keys of a machine, and no others; return whether that is new."""
        name = _named(machine, port)
        wanted = sorted({" ".join(public_key(key).split()[:2]) for key in keys})
        with self._changed() as entries:
            others = [entry for entry in entries if entry[0] != name]
            new = [*others, *((name, key) for key in wanted)]
            changed = sorted(new) != sorted(entries)
            entries[:] = new
        return changed

    def forget(self, machine: str, port: int = 22) -> bool:
        """Know no key of a machine any more; return whether we did."""
        return self.learn(machine, port)

    def meet(self, machine: str, port: int = 22) -> list[str]:
        """Return the keys that we know of a machine; when there are none, ask it for them and believe it.

        :raises CorpusError: it does not answer
        """
        known = self.keys(machine, port)
        if known:
            return known
        asked = processes.run(
            ["ssh-keyscan", "-T", str(CONNECTING), "-p", str(port), "--", host(machine)], check=False, timeout=60
        )
        found = [line.split(None, 1)[1] for line in asked.output.splitlines() if line and not line.startswith("#")]
        if not found:
            raise CorpusError(f"No ssh server answers at {machine}, port {port}.")
        self.learn(machine, port, *found)
        return self.keys(machine, port)

    def _entries(self) -> list[tuple[str, str]]:
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return []
        words = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
        return [(word[0], word[1].strip()) for word in words if len(word) == 2]

    @contextmanager
    def _changed(self) -> Iterator[list[tuple[str, str]]]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _turn(self.path):
            entries = self._entries()
            yield entries
            files.write(self.path, "".join(f"{name} {key}\n" for name, key in entries), 0o600)


def _named(machine: str, port: int) -> str:
    """A machine's name in ``known_hosts``."""
    return host(machine) if port == 22 else f"[{host(machine)}]:{port}"


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """One writer at a time of a file."""
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
