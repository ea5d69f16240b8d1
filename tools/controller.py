"""Make this machine the cloud controller. ``make controller`` runs this, as root; ``docs/controller.rst`` tells more.

make controller ARGS='--zone corpus.example.org --master-address 192.0.2.1'
make controller ARGS='--settings controller.yaml --test'
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from corpus.controller import bootstrap
from corpus.errors import CorpusError


def main() -> int:
    """Make it; return the exit status."""
    arguments = _arguments()
    try:
        report = bootstrap.controller(
            _wish(arguments), test=arguments.test, say=lambda line: print(f"… {line}", flush=True)
        )
    except CorpusError as err:
        print(err, file=sys.stderr)
        return 1
    for part, change in report["changes"].items():
        print(f"  {part}: {change}")
    print(report["comment"])
    for line in report["start"]:
        print(f"  {line}")
    return 1 if report["result"] is False else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make this machine the cloud controller.")
    parser.add_argument("--settings", type=Path, help="YAML file with everything that is not named here")
    parser.add_argument("--zone", help="domain under which nodes and guests get their names")
    parser.add_argument("--master-address", help="name or address at which nodes and guests reach this machine")
    parser.add_argument("--test", action="store_true", help="change nothing, tell what would be changed")
    return parser.parse_args()


def _wish(arguments: argparse.Namespace) -> bootstrap.Wish:
    given: Any = {}
    if arguments.settings:
        try:
            given = yaml.safe_load(arguments.settings.read_text()) or {}
        except (OSError, yaml.YAMLError) as err:
            raise CorpusError(f"{arguments.settings} cannot be read: {err}") from err
    return bootstrap.wished(given, zone=arguments.zone, master_address=arguments.master_address)


if __name__ == "__main__":
    sys.exit(main())
