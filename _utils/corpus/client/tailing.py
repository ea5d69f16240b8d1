"""A log, followed for as long as somebody looks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .api import PATIENCE, Api
from .errors import ClientError, Unreachable

#: Seconds after a stream began in which its lines may be those that were seen already: it begins with the last ones.
_BEGINNING = 1.5


def followed(api: Api, path: str, query: Mapping[str, Any]) -> Iterator[str]:
    """Yield a log's last lines, and those that come; when the stream ends, it is asked for again.

    :param query: of the log
    :raises ClientError: the log cannot be read any more
    """
    recent: deque[str] = deque(maxlen=5000)
    again, broken = False, None
    while True:
        begun = time.monotonic()
        try:
            for event in api.stream(path, **query, follow="true"):
                broken = None
                if event.kind == "log.problem":
                    raise ClientError(str(event.data.get("detail")))
                line = event.data.get("line")
                if line is None or (again and time.monotonic() - begun < _BEGINNING and line in recent):
                    continue
                recent.append(line)
                yield line
        except Unreachable:
            broken = broken or begun
            if time.monotonic() - broken > PATIENCE:
                raise
        again = True
        time.sleep(1)
