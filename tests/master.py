"""A master with a minion, both real, on loopback; for tests of runners and of what is called on minions."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import salt.config
from corpus.controller.cloud import Cloud
from corpus.controller.events import Bus
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings

from tests.machine import CHECKOUT, Ended, WarmSalt, deadline, free_port

_BIN = Path(sys.executable).parent


@dataclass
class Master:
    """A master's machine.

    :param folder: everything lies below it; short, for the sockets' names
    :param settings: of the controller
    :param options: of the master
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        (self.folder / "etc").mkdir(parents=True)
        (self.folder / "srv").mkdir()
        self.ports = {"publish_port": free_port(), "ret_port": free_port()}
        self.configure()

    def configure(self, **more: Any) -> None:
        """Write the master's configuration."""
        settings = {
            "root_dir": str(self.folder / "master"),
            "module_dirs": [str(CHECKOUT)],
            "interface": "127.0.0.1",
            **self.ports,
            "corpus": {"home": str(self.folder / "home"), **self.settings},
            "file_roots": {"base": [str(CHECKOUT / "salt"), str(self.folder / "srv")]},
            "worker_threads": 3,
            "auto_accept": True,
            "timeout": 5,
            "gather_job_timeout": 5,
            "log_level": "warning",
            "log_level_logfile": "info",
            **self.options,
            **more,
        }
        (self.folder / "master").mkdir(exist_ok=True)
        (self.folder / "home").mkdir(exist_ok=True)
        (self.folder / "etc/master").write_text(json.dumps(settings))  # JSON is YAML

    @property
    def opts(self) -> dict[str, Any]:
        return dict(salt.config.master_config(str(self.folder / "etc/master")))

    def cloud(self, **arguments: Any) -> Cloud:
        """The cloud as a runner sees it."""
        return Cloud(Settings.configured(self.opts), self.opts, tell=Bus(self.opts).tell, **arguments)

    def registry(self) -> Registry:
        """The controller's registry, upgraded."""
        settings = Settings.configured(self.opts)
        made = Registry(settings.registry_url, settings.key_file)
        made.upgrade()
        return made

    def start(self, daemon: str = "master") -> None:
        """Start a daemon: ``master``, or a minion by its id."""
        if daemon == "master":
            argv = [str(_BIN / "salt-master"), "-c", str(self.folder / "etc")]
        else:
            argv = [str(_BIN / "salt-minion"), "-c", str(self.folder / f"etc-{daemon}")]
        with (self.folder / f"{daemon}.out").open("ab") as out:
            self.processes[daemon] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def minion(self, name: str, **options: Any) -> None:
        """Configure and start a minion; return when it answers."""
        folder = self.folder / f"etc-{name}"
        if not folder.exists():
            folder.mkdir()
            (self.folder / name).mkdir()
            settings = {
                "id": name,
                "root_dir": str(self.folder / name),
                "module_dirs": [str(CHECKOUT), str(self.folder / "srv")],  # of two that have a module the last counts
                "master": "127.0.0.1",
                "master_port": self.ports["ret_port"],
                "publish_port": self.ports["publish_port"],
                "enable_fqdns_grains": False,
                "acceptance_wait_time": 1,
                "random_reauth_delay": 1,
                "auth_timeout": 5,
                "log_level": "warning",
                **options,
            }
            (folder / "minion").write_text(json.dumps(settings))
        self.start(name)
        cloud = self.cloud()
        for _ in deadline(90, 0.2):
            if name in cloud.minions.accepted() and cloud.minions.answers(name, timeout=3):
                return

    def stop(self, daemon: str) -> None:
        """End a daemon and its children."""
        process = self.processes.pop(daemon)
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(3)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for left in (self.folder / daemon / "var/run").glob(
            "*.pid"
        ):  # the next one would take its number for a daemon's
            left.unlink()

    def run(self, function: str, *arguments: str, out: str = "json", **keywords: Any) -> Ended:
        """``salt-run`` as a person calls it."""
        words = [f"{key}={json.dumps(value)}" for key, value in keywords.items()]
        return WarmSalt.shared().run([*self.argv(function, *arguments, out=out), *words])

    def argv(self, *words: str, out: str = "json") -> list[str]:
        """``salt-run`` with these words."""
        return [str(_BIN / "salt-run"), "-c", str(self.folder / "etc"), "--log-level=quiet", f"--out={out}", *words]

    def ok(self, function: str, *arguments: str, **keywords: Any) -> Any:
        """What a runner returned; it must have worked."""
        ended = self.run(function, *arguments, **keywords)
        assert ended.status == 0, ended.said
        return json.loads(ended.output)

    def refused(self, function: str, *arguments: str, **keywords: Any) -> str:
        """What a runner complained about; it must have failed, with words for a person."""
        ended = self.run(function, *arguments, **keywords)
        assert ended.status != 0, ended.said
        assert "Traceback" not in ended.said, ended.said
        return ended.said.strip()


@contextmanager
def master(folder: Path, settings: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Master]:
    """A master that runs; whatever minions it got are stopped with it."""
    made = Master(folder, settings or {}, options)
    with ExitStack() as stack:
        stack.callback(lambda: [made.stop(daemon) for daemon in list(made.processes)])
        made.start()
        cloud = made.cloud()
        for _ in deadline(60, 0.1):
            if cloud.minions.master_runs():
                break
        yield made
