"""How a machine becomes a minion of this master: its keys are made and accepted here, and it is told who its master is.

Two ways lead there. A guest gets its files before it first starts (:func:`files`, no connection at all). A machine that
exists gets them over one ssh connection, with Salt and this pack when it has none (:func:`seed`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from corpus import files as small_files
from corpus import processes
from corpus.controller import access
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

#: Bits of a minion's key
KEY_SIZE = 2048
#: Where the minion's Salt and this pack are installed
HOME = "/opt/corpus"
#: Seconds that a machine gets to unpack what it was sent
UNPACKING = 600

_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_FOLDERS = ("minions", "minions_pre", "minions_rejected", "minions_denied")


@dataclass(frozen=True)
class Master:
    """What there is to know of this master.

    :param address: name or address at which minions reach it
    :param pki: absolute path of its folder of keys
    :param cache: absolute path of its cache
    :param user: that it runs as
    :param publish_port: where minions hear
    :param return_port: where minions answer
    """

    address: str
    pki: Path
    cache: Path
    user: str = "root"
    publish_port: int = 4505
    return_port: int = 4506

    @classmethod
    def of(cls, opts: Mapping[str, Any], address: str) -> Master:
        """Return the master whose configuration Salt has read.

        :param opts: ``__opts__`` of a runner, or what ``salt.config.master_config`` returns
        :param address: at which minions reach it
        """
        return cls(
            access.host(address),
            Path(opts["pki_dir"]),
            Path(opts["cachedir"]),
            opts.get("user") or "root",
            opts.get("publish_port", 4505),
            opts.get("ret_port", 4506),
        )

    @property
    def public(self) -> str:
        """Its public key (PEM).

        :raises CorpusError: it never ran
        """
        try:
            return (self.pki / "master.pub").read_text()
        except FileNotFoundError as err:
            raise CorpusError(f"The master has no key yet ({self.pki}/master.pub): start salt-master first.") from err


@dataclass(frozen=True)
class Keys:
    """A minion's key pair (RSA, PEM)."""

    public: str
    private: str = field(repr=False)


def minion_id(value: object) -> str:
    """Return ``value`` when it can be a minion's id.

    :raises UsageError: it is not 1 to 253 letters, digits, ``.``, ``_`` or ``-``, or begins or ends with a mark
    """
    if isinstance(value, str) and _ID.fullmatch(value) and ".." not in value:
        return value
    raise UsageError(f"{shown(value)} cannot be a minion's id: use letters, digits, '.', '_' or '-'.")


def new_keys() -> Keys:
    """Make a key pair for a minion."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Keys(public.decode(), private.decode())


def files(
    name: str,
    keys: Keys,
    master: Master,
    *,
    options: Mapping[str, Any] | None = None,
    authorized: Iterable[str] = (),
    host_key: access.Key | None = None,
    nameservers: Sequence[str] = (),
) -> dict[str, str]:
    """Return what makes a machine a minion: texts by absolute path, each to be written with mode 0600.

    A guest of one of our images gets them before its first start; then it is a minion from that start on.

    :param name: the minion's id
    :param keys: its key pair; :func:`accept` lets it in
    :param master: whose public key is pinned: the minion listens to no other
    :param options: more of the minion's configuration
    :param authorized: public ssh keys that are let in as root; none: the machine's own stay as they are
    :param host_key: of its ssh server, so that it is known before it first answers; None: it makes its own
    :param nameservers: addresses of the resolvers of a guest; none: it asks nobody
    """
    return {
        "/etc/salt/minion": configuration(name, master, options),
        "/etc/salt/minion_id": f"{minion_id(name)}\n",
        "/etc/salt/pki/minion/minion.pem": keys.private,
        "/etc/salt/pki/minion/minion.pub": keys.public,
        "/etc/salt/pki/minion/minion_master.pub": master.public,
        **({"/root/.ssh/authorized_keys": text} if (text := _let_in(authorized)) else {}),
        **(
            {
                "/etc/ssh/ssh_host_ed25519_key": host_key.private,
                "/etc/ssh/ssh_host_ed25519_key.pub": f"{host_key.public}\n",
            }
            if host_key
            else {}
        ),
        # /etc/resolv.conf must be readable by everybody: the image's corpus-first-boot copies this one there
        **({"/etc/corpus/resolv.conf": text} if (text := _resolvers(nameservers)) else {}),
    }


def _let_in(keys: Iterable[str]) -> str:
    lines = list(keys)
    return access.authorized_keys(lines) if lines else ""


def _resolvers(addresses: Sequence[str]) -> str:
    return "".join(f"nameserver {access.host(address)}\n" for address in addresses)


def configuration(name: str, master: Master, options: Mapping[str, Any] | None = None) -> str:
    """Return the text of ``/etc/salt/minion``: JSON, which is YAML."""
    settings = {
        "id": minion_id(name),
        "master": master.address,
        "publish_port": master.publish_port,
        "master_port": master.return_port,
        # Asking for the names of all of its addresses takes a machine without a resolver 40 seconds.
        "enable_fqdns_grains": False,
        "enable_gpu_grains": False,
        # A controller that was away is looked for again soon, and not by all minions at the same moment.
        "acceptance_wait_time": 2,
        "master_tries": -1,
        "random_reauth_delay": 5,
        "recon_default": 500,
        "recon_max": 5000,
        "recon_randomize": True,
        "retry_dns": 5,
        **(options or {}),
    }
    return (
        "# Written by corpus: what is to stay goes into /etc/salt/minion.d/*.conf.\n"
        + json.dumps(settings, indent=1)
        + "\n"
    )


def accept(master: Master, name: str, public: str) -> bool:
    """Let the master take a minion with this public key, and none of its name with another.

    :returns: whether that is new
    """
    folder = master.pki / "minions"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = folder / minion_id(name)
    changed = small_files.write(target, public, 0o644)
    status = folder.stat()
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid)  # the master may run as another user
    for other in _FOLDERS[1:]:
        (master.pki / other / name).unlink(missing_ok=True)
    return changed


def accepted(master: Master, name: str) -> str | None:
    """Return the public key by which the master takes a minion of that name; None: it takes none."""
    try:
        return (master.pki / "minions" / minion_id(name)).read_text()
    except FileNotFoundError:
        return None


def forget(master: Master, name: str) -> bool:
    """Let the master take no minion of that name any more, whatever it heard before; return whether it did.

    What minions share with the master for a session is renewed, so that the one that left hears nothing more.
    """
    places = [master.pki / folder / minion_id(name) for folder in _FOLDERS]
    there = [place for place in places if place.exists()]
    for place in there:
        place.unlink(missing_ok=True)
    shutil.rmtree(master.cache / "minions" / name, ignore_errors=True)
    (master.cache / "pillar" / f"{name}.p").unlink(missing_ok=True)
    if there:
        _renew_session(master)
    return bool(there)


def _renew_session(master: Master) -> None:
    """What ``salt-key --delete`` does, too."""
    import salt.crypt

    if master.cache.is_dir():
        salt.crypt.dropfile(str(master.cache), master.user)


_SCRIPT = """\
set -eu
umask 022
stop() { echo "$1" >&2; exit 3; }
have=$(cat /opt/corpus/.runtime 2>/dev/null || echo none)
python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
echo "corpus $have $python $(uname -m)"
rm -rf /opt/.corpus.seed /opt/.corpus.new
mkdir -p /opt/.corpus.seed
chmod 0700 /opt/.corpus.seed
tar --extract --no-same-owner --same-permissions --file=- --directory=/opt/.corpus.seed || stop "what was sent could not be unpacked"
cd /opt/.corpus.seed
test -f .complete || stop "not all that was sent arrived"
rm .complete
if test -d opt/corpus; then
    mv opt/corpus /opt/.corpus.new
    rm -rf /opt/corpus
    mv /opt/.corpus.new /opt/corpus
fi
# Without the folders: those that are there keep their modes.
find . ! -type d -print0 | tar --create --null --files-from=- --file=- | tar --extract --file=- --directory=/
cd /
rm -rf /opt/.corpus.seed
if test -d /run/systemd/system; then
    systemctl daemon-reload
    systemctl enable --quiet salt-minion.service
    systemctl restart salt-minion.service
    echo "started by systemd"
else
    if test -f /run/salt-minion.pid; then kill "$(cat /run/salt-minion.pid)" 2>/dev/null || true; fi
    /opt/corpus/bin/salt-minion -d --pid-file=/run/salt-minion.pid
    echo "started as a daemon"
fi
"""


def seed(target: access.Target, wanted: Mapping[str, str], runtime: Path | None = None) -> str:
    """Make a machine that exists a minion, over one ssh connection; accept its key first.

    Salt and this pack are sent along unless it has the same already.

    :param wanted: what :func:`files` returned
    :param runtime: archive of an image's runtime (``<name>-<version>.runtime.tar.zst``, see
        :mod:`corpus.controller.images`); None: the machine must have one
    :returns: how its minion was started, in words
    :raises CorpusError: it was not reached, its Python is another than the runtime's, or it refused something
    """
    shell = target.argv("sh", "-c", _SCRIPT)
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [processes.which(shell[0]), *shell[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=processes.environment(None),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            refusal = ""
            try:
                answer = process.stdout.readline().decode("utf-8", "replace").split()
                if len(answer) == 4 and answer[0] == "corpus":
                    refusal = _refusal(runtime, *answer[1:])
                    if not refusal:
                        _send(process.stdin, wanted, None if _has(runtime, answer[1]) else runtime)
                process.stdin.close()
            except BrokenPipeError:
                pass
            try:
                said = process.stdout.read().decode("utf-8", "replace")
                status = process.wait(UNPACKING)
            except subprocess.TimeoutExpired as err:
                process.kill()
                raise CorpusError(f"{target} did not start its minion within {UNPACKING} seconds.") from err
        errors.seek(0)
        complaint = errors.read().decode("utf-8", "replace")
    if refusal:
        raise CorpusError(f"{target} {refusal}")
    if status:
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit status {status}"
        what = "was not reached by ssh" if status == 255 else "could not be made a minion"
        raise CorpusError(f"{target} {what}: {reason}")
    return said.strip().splitlines()[-1]


def runtime_of(archive: Path) -> dict[str, Any]:
    """Return what is told of a runtime beside its archive: ``version``, ``python``, ``machine``.

    :raises CorpusError: nothing is
    """
    told = small_files.read_json(archive.with_name(archive.name.removesuffix(".tar.zst") + ".json"))
    if not isinstance(told, dict):
        raise CorpusError(f"{archive} has no description beside it: build the image again.")
    return told


def _has(runtime: Path | None, have: str) -> bool:
    return runtime is None or runtime_of(runtime)["version"] == have


def _refusal(runtime: Path | None, have: str, python: str, machine: str) -> str:
    """Tell why a machine cannot take the runtime; empty when it can."""
    if runtime is None:
        return "" if have != "none" else "has no Salt of ours: name the runtime to send."
    told = runtime_of(runtime)
    if python == "none":
        return f"has no Python: install python3 ({told['python']}) there first."
    if python != told["python"]:
        return f"has Python {python}, and the runtime is for {told['python']}: build an image of its suite."
    if machine != told["machine"]:
        return f"is a {machine}, and the runtime is for {told['machine']}: build an image on such a machine."
    return ""


def _send(pipe: IO[bytes], wanted: Mapping[str, str], runtime: Path | None) -> None:
    """Write one tar: the runtime, then the files, then the mark that says that it is whole."""
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as out:
        if runtime is not None:
            _copy(runtime, out)
        for path, text in wanted.items():
            if not path.startswith("/") or ".." in path.split("/"):
                raise UsageError(f"{shown(path)} is not an absolute path.")
            _add(out, path.lstrip("/"), text)
        _add(out, ".complete", "")


def _copy(runtime: Path, out: tarfile.TarFile) -> None:
    import zstandard

    with (
        runtime.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as stream,
        tarfile.open(fileobj=stream, mode="r|") as source,
    ):
        for member in source:
            out.addfile(member, source.extractfile(member) if member.isreg() else None)


def _add(out: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    content = text.encode()
    member.size, member.mode = len(content), 0o600
    out.addfile(member, BytesIO(content))
