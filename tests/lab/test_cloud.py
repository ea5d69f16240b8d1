"""The story of a cloud, from bare machines to a page that nobody misses."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import cloud
from tests.lab.cloud import Cloud
from tests.machine import run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of two bare machines."""
    folder = Path(tempfile.mkdtemp(prefix="cc-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with cloud.running(folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_bare_machines_are_reached_by_ssh_and_can_hold_guests(lab: Cloud) -> None:
    for machine in lab.machines:
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", str(lab.key)]
        said = run(
            ["ssh", *options, f"root@{machine.address}", "hostname; ls /opt/corpus/bin; ls -d /sys/fs/cgroup/cpuacct"]
        )
        assert said.status == 0, said.said
        assert said.output.split()[0] == machine.hostname
    assert lab.minions() == []
