"""Calls functions of a minion, and dies on the way where it was told to: SIGKILL, nothing is cleaned up.

A program. It loads Salt once; every job, a line of JSON on standard input, runs in a fork of its own, so a case costs
what its deployment costs. What it patches is in that fork: the code under test knows nothing of it.

    {"call": "mc_project.deploy_project", "arguments": ["shop"], "keywords": {}, "die": {...}, "views": false}

``die`` says where: ``{"record": 7, "moment": "before"}`` at the 8th line of the journal (or one by name), ``{"touch": 30}``
before the 31st time that the main process touches the machine (or the first that matches; ``"spare": 2``: the third),
``{"appears": "/…/*"}`` when there is such a file; ``"slow": true`` gives rsync time for that.
The answer is a line of JSON: ``signal``, ``answer`` or ``error``, ``records`` and ``touches`` in words.
"""

import glob
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Counts what a job does to the machine, and ends it in the middle.

    :param where: to die; empty: nowhere
    """

    def __init__(self, where: dict[str, Any], out: Path) -> None:
        self.where, self.out = where, out
        self.records: list[str] = []
        self.touches: list[str] = []
        self.spared = 0
        self.process = os.getpid()

    def install(self) -> None:
        """Watch the journal, and whatever changes files, processes or the supervisor."""
        from corpus import files, processes
        from corpus.project.keeping.journal import Journal
        from corpus.project.running.supervisord import Supervisord

        self._patch(Journal, "record", self._record)
        for owner, name in (
            (Path, "rename"),
            (Path, "unlink"),
            (Path, "mkdir"),
            (Path, "touch"),
            (Path, "symlink_to"),
            (os, "replace"),
            (shutil, "rmtree"),
            (files, "exchange"),
            (processes, "run"),
        ):
            self._patch(owner, name, self._touch)
        self._patch(Supervisord, "_call", self._ask_supervisor)
        if self.where.get("slow"):
            self._patch(processes, "run", self._crawl)
        if self.where.get("appears"):
            threading.Thread(target=self._await, args=(self.where["appears"],), daemon=True).start()

    def _patch(self, owner: Any, name: str, instead: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            return instead(name, original, *arguments, **keywords)

        setattr(owner, name, call)

    def _record(self, _: str, original: Callable[..., Any], journal: Any, step: str, **facts: Any) -> Any:
        mine = os.getpid() == self.process and self.where.get("record") in (len(self.records), step)
        moment = self.where.get("moment", "before")
        self.records.append(f"{step} {facts.get('stage', '')}".strip())
        if mine and moment == "before":
            die()
        if mine and moment == "torn":
            with journal._layout.journal.open("a") as stream:
                stream.write('{"step": "' + step)
            die()
        result = original(journal, step, **facts)
        if mine and moment == "after":
            die()
        return result

    def _touch(self, name: str, original: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        if os.getpid() == self.process:
            words = arguments[0] if name == "run" else arguments
            touch = f"{len(self.records)} {name} {' '.join(Path(str(word)).name for word in words)}"[:120]
            where = self.where.get("touch")
            matches = isinstance(where, str) and re.search(where, touch)
            self.spared += bool(matches)
            if where == len(self.touches) or (matches and self.spared > self.where.get("spare", 0)):
                die()
            self.touches.append(touch)
        return original(*arguments, **keywords)

    def _ask_supervisor(self, _: str, original: Callable[..., Any], ours: Any, method: str, *arguments: Any) -> Any:
        if method.startswith("get"):
            return original(ours, method, *arguments)
        return self._touch(method, lambda *_, **__: original(ours, method, *arguments), *arguments)

    def _crawl(self, _: str, original: Callable[..., Any], argv: Any, **keywords: Any) -> Any:
        slower = ["--bwlimit=50"] if str(argv[0]) == "rsync" else []
        return original([argv[0], *slower, *argv[1:]], **keywords)

    def _await(self, pattern: str) -> None:
        while not glob.glob(pattern):
            time.sleep(0.005)
        die()


def work(functions: Any, job: dict[str, Any], out: Path) -> None:
    """Do a job, in a process of its own."""
    watch = Watch(job.get("die") or {}, out)
    watch.install()
    if job.get("views") is False:
        from corpus.project.running import view

        view.possible = lambda: False
    os.environ["CORPUS_WHO"] = "Ada"
    told: dict[str, Any] = {}
    try:
        told["answer"] = functions[job["call"]](*job.get("arguments", ()), **job.get("keywords", {}))
    except Exception as err:
        told["error"] = f"{type(err).__name__}: {err}"
    told.update(records=watch.records, touches=watch.touches)
    out.write_text(json.dumps(told, default=str))


def main(configuration: str, once: str | None = None) -> None:
    """Serve jobs; or do the one in the file ``once`` in this very process, standard input being its own."""
    import salt.config
    import salt.minion

    opts = salt.config.minion_config(os.path.join(configuration, "minion"))
    opts["file_client"] = "local"
    functions = salt.minion.SMinion(opts).functions
    functions["mc_project.status"]  # what is loaded now is loaded for all jobs
    functions["state.single"]("file.exists", name="/")

    if once is not None:
        work(functions, json.loads(Path(once).read_text()), Path(f"{once}.told"))
        told = json.loads(Path(f"{once}.told").read_text())
        sys.exit(1 if told.get("error") or not told["answer"]["result"] else 0)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        out = Path(configuration) / f"told-{os.getpid()}"
        out.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                work(functions, job, out)
            finally:
                os._exit(0)
        status = os.waitpid(child, 0)[1]
        told = json.loads(out.read_text()) if out.exists() else {}
        told["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
