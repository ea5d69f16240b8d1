"""The url by which a database server is administered."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from corpus.errors import ConfigurationError


@dataclass(frozen=True)
class Address:
    """Where a server is and who administers it; empty: not said.

    :param host: name or address
    :param socket: its Unix socket (MySQL), or the folder of it (PostgreSQL), absolute
    """

    host: str = ""
    port: str = ""
    user: str = ""
    password: str = ""
    socket: str = ""

    @classmethod
    def read(cls, url: str, schemes: tuple[str, ...]) -> Address:
        """Read ``<scheme>://user:password@host:port/?socket=/path``.

        :raises ConfigurationError: it is no such url
        """
        if not url:
            return cls()
        try:
            parts = urlsplit(url)
            query = parse_qs(parts.query)
            port = str(parts.port or (query.get("port") or [""])[0])
        except ValueError:
            parts, query, port = urlsplit(""), {}, ""
        socket = (query.get("socket") or query.get("host") or [""])[0]
        if parts.scheme not in schemes or not url.isprintable() or (socket and not socket.startswith("/")):
            raise ConfigurationError(
                f"databases: admin is a url such as {schemes[0]}://admin:password@host, or {schemes[0]}:///?socket=/path."
            )
        return cls(parts.hostname or "", port, unquote(parts.username or ""), unquote(parts.password or ""), socket)
