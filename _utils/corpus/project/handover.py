"""How a release is handed from one machine to another over a pipe: an offer, an answer, the rest of the archive.

The one who hands over writes a header (a line of JSON with the sizes of what follows), manifest, signature and bill
of materials, and waits. The other side looks at those alone, and answers ``send <offset>`` or ``have``; so what is not
trusted is never transferred, and what was cut short goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from corpus.errors import CorpusError, ReleaseRefused
from corpus.project.keeping.manifest import MANIFEST, SBOM
from corpus.project.keeping.signature import SUFFIX

_FORMAT = 1
_HEADER_LIMIT = 4096
_SECONDS_LIMIT = 86400
#: bytes that each part of an offer may have
_LIMITS = {MANIFEST: 64 << 20, MANIFEST + SUFFIX: 16 << 10, SBOM: 64 << 20}
BLOCK = 1 << 20
HAVE, SEND = "have", "send"


@dataclass(frozen=True)
class Offer:
    """What is handed over before the archive.

    :param parts: manifest, signature and bill of materials by their file names
    :param deploy: whether to deploy it at once
    :param wait: seconds to wait for another deployment
    """

    parts: Mapping[str, bytes] = field(default_factory=dict)
    deploy: bool = True
    wait: float = 0

    def write(self, stream: IO[bytes]) -> None:
        """Write it for the other side."""
        sizes = {name: len(content) for name, content in self.parts.items()}
        header = {"format": _FORMAT, "deploy": self.deploy, "wait": self.wait, "parts": sizes}
        stream.write(json.dumps(header).encode() + b"\n")
        for name in sizes:
            stream.write(self.parts[name])
        stream.flush()

    @classmethod
    def read(cls, stream: IO[bytes]) -> Offer:
        """Read one; never more than it may have.

        :raises ReleaseRefused: it is none
        """
        line = stream.readline(_HEADER_LIMIT)
        try:
            header: dict[str, Any] = json.loads(line)
            sizes = {str(name): int(size) for name, size in header["parts"].items()}
            wait = float(header["wait"])
            deploy = bool(header["deploy"])
            spoken = header["format"] == _FORMAT
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise ReleaseRefused("What came is no release: use mc_project.promote on the other side.") from err
        if not spoken:
            raise ReleaseRefused("The other side hands releases over in a way that is not known here: update corpus.")
        if MANIFEST not in sizes or not all(0 <= size <= _LIMITS.get(name, -1) for name, size in sizes.items()):
            raise ReleaseRefused("What came is no release: it has parts that no release has, or is too large.")
        parts = {}
        for name, size in sizes.items():
            parts[name] = stream.read(size)
            if len(parts[name]) != size:
                raise CorpusError(f"The release was cut short within its {name}.")
        if not 0 <= wait <= _SECONDS_LIMIT:
            raise ReleaseRefused(f"wait must be between 0 and {_SECONDS_LIMIT} seconds.")
        return cls(parts, deploy, wait)
