"""The doors of the master, as Salt opens them: all of them, whichever is called."""

import subprocess
import sys

import pytest

from tests.machine import CHECKOUT

DOORS = sorted(path for folder in ("_runners", "_engines", "_pillar") for path in (CHECKOUT / folder).glob("mc_*.py"))
LOADS = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("door", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(*({"sqlalchemy", "jinja2", "fastapi"} & set(sys.modules)))
"""


@pytest.mark.parametrize("door", DOORS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_door_brings_nothing_heavy_to_who_goes_through_another(door: object) -> None:
    ended = subprocess.run([sys.executable, "-c", LOADS, str(door)], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == []
