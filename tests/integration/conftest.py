"""What the crash tests of a module share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.crashes import Driver, Shop, shop_on
from tests.machine import Machine

HANG_SLS = """\
hang:
  cmd.run:
    - name: setsid sleep 297 & touch {{ cfg.data_root }}/hangs; sleep 298
"""


@pytest.fixture(scope="module")
def driver(machine: Machine) -> Iterator[Driver]:
    made = Driver(machine)
    yield made
    made.close()
    machine.stop()
    for process in psutil.process_iter():  # of a supervisord that a failed test killed
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME", "").startswith(f"{machine.projects}/"):
                process.kill()


@pytest.fixture(scope="module")
def shop(machine: Machine, driver: Driver) -> Shop:
    """A project that many cases kill; each leaves it well, or says so and fails."""
    return shop_on(machine, driver, "shop")


@pytest.fixture
def hangs(shop: Shop) -> Iterator[Path]:
    """Present while the version ``hang`` hangs in its build."""
    if "hang" not in shop.revisions:
        shop.store("hang", {".salt/build.sls": HANG_SLS})
        shop.tree.commit({".salt/build.sls": ""})
    path = shop.folder / "data/hangs"
    yield path
    path.unlink(missing_ok=True)
