"""The console script: what it needs may not be installed, where corpus was installed for something else."""

from __future__ import annotations

import sys


def main() -> int:
    """Do what the command line says; return the exit status."""
    try:
        from .command import main as command
    except ModuleNotFoundError as err:
        package = __name__.split(".", 1)[0]
        distribution = "corpus-client" if package == "corpus_client" else "corpus-salt[client]"
        sys.stderr.write(f"corpus: {err.name} is not installed: pip install '{distribution}'\n")
        return 1
    return command()
