"""What all tests share: where Salt's daemons live, and that a CI run may not skip."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from saltfactories.plugins.event_listener import EventListener

from tests.machine import Machine

LOOPBACK = "127.0.0.1"  # salt-factories would listen on every address


#: What takes longest begins first: a worker that got it last would let the others wait.
LONG = (
    "tests/lab/test_demo_cloud.py",  # makes what the lab shares, while the others need nothing of it
    "tests/integration/test_crash.py",
    "tests/integration/test_crash_changes.py",
    "tests/lab/test_cloud.py",
    "tests/lab/test_cloud_moves.py",
    "tests/integration/test_crash_pushes.py",
    "tests/lab/test_cloud_repaired.py",
    "tests/lab/",
    "tests/integration/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order modules by how long they take; the tests of each stay together, and in their order."""

    def rank(item: pytest.Item) -> int:
        return next((number for number, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG))

    items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Move the log server of salt-factories before that starts it."""
    session.config.pluginmanager.get_plugin("saltfactories-log-server").log_host = LOOPBACK


@pytest.fixture(scope="session")
def event_listener() -> Iterator[EventListener]:
    """Receive the events of the daemons that tests start."""
    listener = EventListener()
    listener.host, listener.address = LOOPBACK, f"tcp://{LOOPBACK}:{listener.port}"
    with listener:
        yield listener


@pytest.fixture(scope="session")
def salt_factories_config() -> Iterator[dict[str, object]]:
    """Keep Salt's daemons below a path that leaves room for their sockets' names (108 bytes)."""
    root = Path(tempfile.mkdtemp(prefix="corpus-", dir="/tmp"))
    yield {"root_dir": root}
    shutil.rmtree(root, ignore_errors=True)


def skipped_in_ci(config: pytest.Config) -> list[str]:
    """Return the tests and modules that a CI run skipped; elsewhere nothing counts."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if os.environ.get("CI") != "true" or terminal is None:
        return []
    return [report.nodeid for report in terminal.stats.get("skipped", [])]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a CI run that skipped: a skip would hide what nobody looks at there."""
    if exitstatus == pytest.ExitCode.OK and skipped_in_ci(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say why a CI run without a failed test failed."""
    if skipped := skipped_in_ci(config):
        terminalreporter.section("skipped, and CI=true makes that a failure", red=True)
        for nodeid in skipped:
            terminalreporter.line(nodeid)


def pytest_unconfigure() -> None:
    """Let pytest's closing line be the last: at exit, Salt flushes log records into a closed stream."""
    logging.raiseExceptions = False


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine that the tests of a module share; each test makes projects of its own."""
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/tmp") as folder:
        made = Machine(Path(folder) / "m")
        Path(folder).chmod(0o755)
        try:
            yield made
        finally:
            made.stop()
