"""A project that is really deployed: a master, the web service, a node in name, a guest's minion, and one that is silent."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from corpus.controller.registry import models
from sqlalchemy import select

from tests.machine import IDENTITY, free_port, run, stop_processes
from tests.master import master
from tests.web import Web, auth, serving

GUEST, SILENT, HOST = "web.corpus.test", "silent.corpus.test", "n1.corpus.test"
NODE = """
def harmless():
    return True


def traffic(wanted, test=False):
    return {"result": True, "changes": {}, "comment": "nothing"}
"""
APPLICATION = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for " + self.path, flush=True)
        words = (open("VERSION").read().strip() + " " + os.environ.get("GREETING", "-")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

#: A stage that lasts until somebody says that it may end.
WAITS = """\
go:
  cmd.run:
    - name: for i in $(seq 600); do test -e {go} && exit 0; sleep 0.1; done; exit 1
"""


@dataclass
class Cloud:
    """The service, the project's page, and a work tree to push from.

    :param page: url
    """

    web: Web
    page: str
    tree: Path

    @property
    def bare(self) -> Path:
        return self.web.master.folder / "projects/shop/git/project.git"

    def pushed(self, **files: str) -> str:
        """Commit and push; return the revision."""
        for name, content in files.items():
            (self.tree / name).parent.mkdir(exist_ok=True)
            (self.tree / name).write_text(content)
        run(["git", "add", "--all"], cwd=self.tree)
        assert run(["git", "commit", "--quiet", "-m", "Change"], cwd=self.tree, env=IDENTITY).status == 0
        done = run(["git", "push", str(self.bare), "HEAD:main"], cwd=self.tree)
        assert done.status == 0, done.said
        return run(["git", "rev-parse", "HEAD"], cwd=self.tree).output.strip()

    def asked(self) -> httpx.Response:
        """What the project answers."""
        return httpx.get(self.page, headers={"Host": GUEST})

    def shown(self) -> str:
        """What the project's page says."""
        return self.asked().text


@contextmanager
def deployed(
    people: tuple[str, ...],
    authority: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    **web: Any,
) -> Iterator[Cloud]:
    """The project ``shop`` of ada's, pushed once to the guest ``web``.

    :param people: whom a file knows
    :param authority: of the master's ``external_auth`` beside that
    :param options: of the master
    :param web: settings of the service
    """
    heard = ["salt://corpus/reactor/heard.sls"]
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        told = {
            "external_auth": {**(authority or {}), **auth(folder, people)},
            "engines": [{"mc_controller": {}}],
            "reactor": [{"corpus/deployment/*/*/end": heard}],
            **(options or {}),
        }
        with master(folder / "m", **told) as behind, serving(folder, behind, **web) as service:
            _furnish(service)
            try:
                yield _placed(service, free_port())
            finally:
                stop_processes(behind.folder / "projects")


def _furnish(web: Web) -> None:
    """A node, a guest whose minion runs, one whose does not."""
    behind = web.master
    with web.registry.session() as session:
        node = models.ComputeNode(
            name=HOST, minion_id=HOST, host="127.0.0.1", state="attaching", network="10.64.1.0/24"
        )
        ada = models.Owner(name="ada", email="ada@corpus.test")
        platform = models.Platform(node=node, type="prod", operation_mode="final", owner=ada)
        session.add_all([node, ada, platform])
        for at, (name, minion) in enumerate((("web", GUEST), ("silent", SILENT))):
            address = {"address": f"10.64.1.{at + 2}", "ssh_port": 40001 + at}
            guest = models.Guest(name=name, minion_id=minion, node=node, platform=platform, state="running", **address)
            session.add_all([guest, models.DnsName(fqdn=minion, guest=guest)])
    modules = behind.folder / "srv/_modules"
    modules.mkdir()
    (modules / "mc_node.py").write_text(NODE)
    behind.minion(HOST)
    assert behind.cloud().minions.call(HOST, "mc_node.harmless") is True
    with web.registry.session() as session:
        session.scalars(select(models.ComputeNode)).one().state = "ready"
    roots = {f"corpus.{name}_root": str(behind.folder / name) for name in ("projects", "states", "pillar")}
    behind.minion(GUEST, file_client="remote", **roots)


def _placed(web: Web, port: int) -> Cloud:
    user = {"user": "root"} if os.geteuid() == 0 else {}
    fitting = {"installer": "generic", "http_address": "127.0.0.1", "http_port": port, **user}
    web.master.ok("mc_project.create", "shop", owners=["ada"])
    web.master.ok("mc_project.place", "shop", "web", settings=fitting)
    made = Cloud(web, f"http://127.0.0.1:{port}/", web.master.folder / "tree")
    run(["git", "init", "--quiet", "--initial-branch=main", str(made.tree)])
    procfile = "web: /usr/bin/python3 -u app.py\n"
    made.pushed(**{"app.py": APPLICATION, "Procfile": procfile, "VERSION": "one"})
    return made
