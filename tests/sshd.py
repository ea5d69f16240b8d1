"""A real sshd on loopback, and a person's key to it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machine import Ended, deadline, free_port, run


@dataclass(frozen=True)
class Door:
    """A running sshd and a person's key to it."""

    port: int
    key: Path

    @property
    def host_key(self) -> str:
        """A line of ``known_hosts``."""
        kind, key, *_ = (self.key.parent / "host.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    @property
    def options(self) -> list[str]:
        known = self.key.parent / "known_hosts"
        settings = (
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=accept-new",
            "BatchMode=yes",
        )
        return ["-i", str(self.key), *(word for setting in settings for word in ("-o", setting))]

    @property
    def git_env(self) -> str:
        return " ".join(["ssh", "-p", str(self.port), *self.options])

    def ssh(self, user: str, *words: str) -> Ended:
        return run(["ssh", "-p", str(self.port), *self.options, f"{user}@127.0.0.1", *words])


@contextmanager
def opened(folder: Path) -> Iterator[Door]:
    """Run sshd while the block runs.

    :param folder: for its configuration and keys; not there yet
    """
    folder.mkdir(mode=0o700)
    for name in ("host", "ada"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@laptop", "-f", folder / name], check=True
        )
    port = free_port()
    Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nUsePAM no\nPasswordAuthentication no\n"
        f"PidFile {folder}/pid\nAuthorizedKeysFile .ssh/authorized_keys\n"
    )
    with subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE) as server:
        try:
            for _ in deadline(10):
                if b"SSH" in run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && head -c 3 <&3"]).output.encode():
                    break
            yield Door(port, folder / "ada")
        finally:
            server.terminate()
