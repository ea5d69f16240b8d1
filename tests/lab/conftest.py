"""A guest that the tests of a module share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guest import Guest


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with tempfile.TemporaryDirectory(prefix="corpus-lab-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Guest(Path(folder))
        try:
            yield made
        finally:
            made.stop()
