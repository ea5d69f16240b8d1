"""Where the traffic of a node is written down, and where its daemon can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Places:
    """Folders, absolute.

    :param etc: what is loaded at boot, and what was asked for last
    :param run: sockets and the lock; empty after a boot
    :param units: where systemd finds units of the administrator
    :param sysctl: where kernel parameters are read at boot
    :param pool: of the containers; it need not exist
    """

    etc: Path = Path("/etc/corpus")
    run: Path = Path("/run/corpus")
    units: Path = Path("/etc/systemd/system")
    sysctl: Path = Path("/etc/sysctl.d")
    pool: Path = Path("/srv/corpus/pool")

    @classmethod
    def configured(cls, opts: Mapping[str, Any]) -> Places:
        """Return the folders that the minion's configuration names: ``corpus.etc``, ``corpus.run``, ``corpus.units``, ``corpus.sysctl``, ``corpus.pool``."""
        return cls(**{key: Path(opts.get(f"corpus.{key}") or value) for key, value in cls().__dict__.items()})

    @property
    def containers(self) -> Path:
        """The folder that has a folder for each container."""
        return self.pool / "containers"

    @property
    def table(self) -> Path:
        """The nftables table, as ``nft -f`` takes it."""
        return self.etc / "nftables.nft"

    @property
    def proxy(self) -> Path:
        """haproxy's configuration."""
        return self.etc / "haproxy.cfg"

    @property
    def maps(self) -> Path:
        """The folder of haproxy's maps."""
        return self.etc / "maps"

    @property
    def settled(self) -> Path:
        """What was asked for last, and by what it is known in the kernel (JSON)."""
        return self.etc / "traffic.json"

    @property
    def lock(self) -> Path:
        """One writer at a time."""
        return self.run / "traffic.lock"

    @property
    def socket(self) -> Path:
        """haproxy's runtime API; root's alone."""
        return self.run / "haproxy.sock"

    @property
    def master(self) -> Path:
        """The socket of haproxy's master process; root's alone."""
        return self.run / "haproxy-master.sock"

    @property
    def pid(self) -> Path:
        """Process id of haproxy's master."""
        return self.run / "haproxy.pid"

    @property
    def booted(self) -> bool:
        """Whether systemd is in charge of this machine, and reads units from where ours are."""
        return self.units == Places.units and Path("/run/systemd/system").exists()

    def made(self) -> Places:
        """Return ourselves when the folders exist."""
        for folder in (self.etc, self.maps, self.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        return self
