"""A machine whose minion lives in this process: functions are called through Salt's loader, already warm."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.machine import IDENTITY, Machine, WorkTree, run


class WarmMachine(Machine):
    """A machine of the tests; ``ok`` calls functions here instead of in a new ``salt-call``."""

    _caller: Any = None

    def ok(self, function: str, *arguments: Any, **keywords: Any) -> Any:
        """Call an execution function and return its answer; a report must be of a success."""
        if self._caller is None:
            import salt.client
            import salt.config

            self._caller = salt.client.Caller(mopts=salt.config.minion_config(str(self.folder / "etc/minion")))
        answer = self._caller.cmd(function, *arguments, **keywords)
        if isinstance(answer, dict) and answer.get("result") is False:
            raise RuntimeError(f"{function} {' '.join(map(str, arguments))}: {answer['comment']}")
        return answer

    def store(self, tree: WorkTree, message: str = "Change") -> str:
        """Commit everything in a person's folder straight into the project's repository, as a push would bring it.

        Returns the revision. Packing and sending half a gigabyte is not what is measured.
        """
        for words in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", message]):
            git = ["git", f"--git-dir={tree.remote}", f"--work-tree={tree.folder}"]
            ended = run([*git, "-c", "core.bare=false", "-c", "core.compression=0", *words], env=IDENTITY)
            if ended.status:
                raise RuntimeError(ended.said)
        return tree.branch()


@contextmanager
def machine() -> Iterator[WarmMachine]:
    """A machine for one measurement; afterwards nothing of it is left, on disk or running."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-bench-"))
    folder.chmod(0o755)
    made = WarmMachine(folder / "m")
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
