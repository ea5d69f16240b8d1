"""A push deploys, and a bad one never hurts what runs."""

from tests.asking import asking
from tests.machine import CHECKOUT, Machine

EXAMPLES = CHECKOUT / "examples"


def test_static_site_is_served_after_the_push(machine: Machine) -> None:
    settings = machine.init("pages", installer="static")
    tree = machine.work_tree("pages", like=EXAMPLES / "static")
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "Deployed" in pushed.errors
    assert machine.page(settings["http_port"])[0] == 200
    tree.commit({"public/index.html": "<h1>second</h1>"})
    assert tree.push().status == 0
    assert machine.page(settings["http_port"])[1] == "<h1>second</h1>"
    assert tree.branch() == tree.git("rev-parse", "HEAD").output.strip()


APPLICATION = """
import http.server, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        version = open("VERSION").read().strip()
        self.send_response(500 if "broken" in version and self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(version)))
        self.end_headers()
        self.wfile.write(version.encode())

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_nobody_who_asks_meanwhile_is_refused(machine: Machine) -> None:
    """A good push, a bad one and a rollback, with a request every 10 ms and slow ones under way all the time."""
    settings = machine.init("busy", healthcheck={"path": "/health", "timeout": 1.5})
    procfile = "web: /usr/bin/python3 -u app.py\n"
    tree = machine.work_tree("busy", {"app.py": APPLICATION, "Procfile": procfile, "VERSION": "one"})
    assert tree.push().status == 0
    port = settings["http_port"]
    with asking(port) as quick, asking(port, "/slow", every=0.25, visitors=8) as slow:
        tree.commit({"VERSION": "two"})
        good = tree.push()
        tree.commit({"VERSION": "broken"})
        bad = tree.push()
        machine.ok("mc_project.rollback", "busy")
    assert good.status == 0, good.said
    assert bad.status != 0, bad.said
    assert "The health check failed: /health answers 500" in bad.errors
    assert len(quick) > 100
    assert quick.lost == []
    assert slow.lost == []
    assert quick.texts == ["one", "two", "one"]


def test_initialization_that_is_skipped_leaves_out_its_sls_alone(machine: Machine) -> None:
    machine.init("lean", installer="static", skip_initialization=True)
    marker = "never:\n  test.fail_without_changes: []\n"
    tree = machine.work_tree("lean", {"public/index.html": "x", ".salt/initialization.sls": marker})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "its sls skipped: skip_initialization is set" in pushed.errors
