"""``corpus-web``: serve the API and the pages."""

from __future__ import annotations

import argparse
import gc
import sys
from pathlib import Path

from corpus.errors import CorpusError
from corpus.web import app, settings


def main() -> int:
    """Serve until told to end; return the exit status."""
    parser = argparse.ArgumentParser(prog="corpus-web", description="Serve corpus' API and pages.")
    parser.add_argument("--settings", type=Path, default=settings.DEFAULT, help="YAML file (%(default)s)")
    arguments = parser.parse_args()
    try:
        told = settings.read(arguments.settings)
        application = app.create(told)
    except CorpusError as err:
        print(err, file=sys.stderr)  # noqa: T201 - to the person who started it
        return 1
    import uvicorn

    gc.collect()
    gc.freeze()  # what is there now stays: looking through it again and again would let some requests wait
    gc.set_threshold(50_000, 50, 100)  # and what one request made is gone with it
    uvicorn.run(
        application,
        host=told.listen,
        port=told.port,
        ssl_certfile=str(told.certificate) if told.certificate else None,
        ssl_keyfile=str(told.key) if told.key else None,
        proxy_headers=told.certificate is None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
