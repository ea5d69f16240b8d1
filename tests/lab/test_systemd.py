"""A project under systemd, in a real guest: its units, its view of the tree, deployments that nobody notices, a reboot."""

import json

import pytest

from tests.asking import asking
from tests.lab.guest import Guest
from tests.machine import WorkTree, deadline

pytestmark = pytest.mark.lab

APP = """
import http.server, json, os, time

hoard = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(2)
        if self.path == "/hoard":
            print("hoarding", flush=True)
            while True:
                hoard.append(b"x" * (1 << 20))
        version = open("/srv/projects/shop/project/VERSION").read().strip()
        body = version if self.path != "/me" else json.dumps({
            "uid": os.getuid(), "release": os.environ["CORPUS_RELEASE"],
            "status": open("/proc/self/status").read(), "secrets": os.listdir("/srv/projects/shop/.corpus"),
            "writes": [path for path in ("/srv/projects/shop/data", "/srv/projects/shop/home", "/tmp") if os.access(path, os.W_OK)],
        })
        broken = "broken" in version and self.path == "/health"
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words):
        pass


print("starts", os.environ.get("TOKEN"), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SECRET = "s3cret-of-the-shop"


@pytest.fixture(scope="module")
def tree(guest: Guest) -> WorkTree:
    """A project that is deployed."""
    guest.init(
        "shop",
        http_port=8000,
        healthcheck={"path": "/health", "timeout": 3},
        limits={"cpu": "90%", "tasks": 100, "web": {"memory": "128M"}},
        env={"TOKEN": SECRET},
    )
    files = {"app.py": APP, "Procfile": "web: /usr/bin/python3 -u app.py\n", "VERSION": "one"}
    made = guest.work_tree("shop", files)
    pushed = made.push()
    assert pushed.status == 0, pushed.said
    return made


def settled(guest: Guest, version: str) -> None:
    """Wait until a version is served."""
    for _ in deadline(30):
        if guest.page(8000) == (200, version):
            return


def test_units_are_confined_and_tell_no_secret(guest: Guest, tree: WorkTree) -> None:
    release = guest.ok("mc_project.status", "shop")["release"]
    assert guest.units("shop") == [f"corpus-shop-web@{release}.1.service"]
    (unit,) = guest.units("shop")
    wanted = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "ProtectKernelTunables": "yes",
        "RestrictSUIDSGID": "yes",
        "ReadWritePaths": "/srv/projects/shop /srv/projects/shop/data",
        "KillMode": "mixed",
        "TimeoutStopUSec": "5s",
        "MemoryMax": str(128 << 20),
        "CPUQuotaPerSecUSec": "900ms",
        "TasksMax": "100",
    }
    assert guest.shown(unit, *wanted) == wanted
    assert SECRET not in guest.run("systemctl", "show", unit).output + guest.run("systemctl", "cat", unit).output
    me = json.loads(guest.page(8000, "/me")[1])
    status = dict(line.split(":\t") for line in me["status"].splitlines())
    assert me["uid"] == int(guest.run("id", "-u", "shop").output) != 0
    assert (status["CapBnd"], status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    assert (me["secrets"], len(me["writes"])) == ([], 3)
    assert guest.call("mc_project.logs", "shop", "web").answer.splitlines()[-1].startswith("starts ")
    assert SECRET not in guest.call("mc_project.logs", "shop").said


def test_nobody_who_asks_meanwhile_is_refused(guest: Guest, tree: WorkTree) -> None:
    """A good push, a bad one, a rollback, more processes and new ones, with requests all the time, slow ones too."""

    def get(port: int, path: str, host: str) -> tuple[int, str]:
        return guest.page(port, path, host)

    settled(guest, "one")
    with asking(8000, "/", 0.01, get=get) as quick, asking(8000, "/slow", 0.2, 12, get=get) as slow:
        tree.commit({"VERSION": "two"})
        good = tree.push()
        tree.commit({"VERSION": "broken"})
        bad = tree.push()
        guest.ok("mc_project.scale", "shop", web=2)
        guest.ok("mc_project.restart", "shop")
        guest.ok("mc_project.rollback", "shop")
    assert good.status == 0, good.said
    assert "The health check failed: /health answers 500" in bad.said
    assert (quick.lost, slow.lost) == ([], [])
    assert quick.texts == ["one", "two", "one"]
    assert len(slow) > 10
    release = guest.ok("mc_project.status", "shop")["release"]
    assert {unit.partition("@")[2].partition(".")[0] for unit in guest.units("shop")} == {release}


def test_too_much_memory_is_the_end_of_a_process_and_told(guest: Guest, tree: WorkTree) -> None:
    settled(guest, "one")
    guest.page(8000, "/hoard")
    for _ in deadline(20):
        words = [row["words"] for row in guest.ok("mc_project.ps", "shop")]
        if any("more memory than its limit of 128 MiB" in word or "started again" in word for word in words):
            break
    settled(guest, "one")


def test_a_guest_that_lost_its_power_serves_again_by_itself(guest: Guest, tree: WorkTree) -> None:
    settled(guest, "one")
    units = guest.units("shop")
    guest.cut_power()
    settled(guest, "one")
    assert guest.units("shop") == units
    assert {row["state"] for row in guest.ok("mc_project.ps", "shop")} <= {"RUNNING", "STARTING"}
