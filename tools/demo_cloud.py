"""A cloud to look at, on this machine: ``make demo-cloud`` makes it, ``make demo-cloud-stop`` removes it, both as root.

A controller and a compute node are containers on a bridge of their own: the controller has the master, PowerDNS, slapd
with two people, and the web service; the node has a guest, to which the Flask example is pushed. Pages of the cloud are
at https://localhost, those of the example at http://shop.corpus.localhost, which every browser takes for this machine.
"""

import argparse
import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.lab import guest, images
from tests.lab.cloud import BareMachine
from tests.machine import CHECKOUT, Ended, deadline, run

FOLDER = Path(os.environ.get("CORPUS_DEMO_CLOUD", "/var/lib/corpus-demo-cloud"))
ZONE, PROJECT = "corpus.localhost", "shop"
NETWORK = "10.219.77"
BRIDGE = "corpus-demo"
BASE = "dc=corpus,dc=localhost"
#: Guests reach no network here: what the example needs is brought along.
OFFLINE = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=/srv/wheels", "UV_OFFLINE=1", "UV_FIND_LINKS=/srv/wheels")
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
_SLAPD = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /run/slapd/slapd.pid
database mdb
maxsize 16777216
suffix {base}
directory /var/lib/ldap
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=cn=salt,{base} read by anonymous auth by * none
"""
_TREE = """\
dn: {base}
objectClass: dcObject
objectClass: organization
o: corpus
dc: corpus

dn: cn=salt,{base}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: salt
userPassword: {looker}

dn: ou=People,{base}
objectClass: organizationalUnit
ou: People

dn: ou=Groups,{base}
objectClass: organizationalUnit
ou: Groups

dn: cn=corpus-admins,ou=Groups,{base}
objectClass: posixGroup
cn: corpus-admins
gidNumber: 20000
memberUid: root1
"""
_PERSON = """
dn: uid={name},ou=People,{base}
objectClass: inetOrgPerson
objectClass: posixAccount
uid: {name}
cn: {name}
sn: {name}
mail: {name}@example.org
userPassword: {password}
uidNumber: {number}
gidNumber: 10000
homeDirectory: /nonexistent
"""


#: What uv asks on this machine, files and variables.
_UV_READS = (
    "/etc/uv/uv.toml",
    "/root/.config/uv/uv.toml",
    "/etc/resolv.conf",
    "/etc/ssl/certs/ca-certificates.crt",
)
_UV_KNOWS = ("uv_", "all_proxy", "http_proxy", "https_proxy", "no_proxy", "ssl_cert_")
_INSTALL = """\
set -e
mkdir -p /opt/src
tar -C /opt/checkout --exclude=./.venv --exclude=./.git --exclude=./build -cf - . | tar -C /opt/src -xf -
python3 -m venv /opt/corpus
/opt/checkout/.venv/bin/uv pip install --quiet --compile-bytecode --python /opt/corpus/bin/python -e '/opt/src[web,ldap]'
: >/etc/resolv.conf  # it leads nowhere from the demo's network: no name is waited for in vain
"""


class Surprise(Exception):
    """Something went otherwise than it should."""


def main() -> int:
    """Make the cloud or remove it; return the exit status."""
    words = argparse.ArgumentParser(description="A cloud to look at, on this machine.")
    words.add_argument("what", choices=("start", "stop"))
    words.add_argument(
        "--keep-cache", action="store_true", help="with stop: keep the root file system for the next time"
    )
    words.add_argument("--https", type=int, default=443, help="port of this machine for the cloud's pages")
    words.add_argument("--http", type=int, default=80, help="port of this machine for the guests' pages")
    given = words.parse_args()
    if os.geteuid() != 0:
        print("Containers are made by root: sudo make demo-cloud.", file=sys.stderr)
        return 1
    try:
        with _turn():
            if given.what == "stop":
                stop(given.keep_cache)
            else:
                start(given.https, given.http)
    except (Surprise, AssertionError) as err:
        print(f"\nThat did not work: {err}\nmake demo-cloud-stop removes what there is.", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _turn() -> Iterator[None]:
    """One at a time."""
    with Path("/run/lock/corpus-demo-cloud").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Surprise("It is being made or removed already: wait for that.") from None
        yield


def start(https: int, http: int) -> None:
    """Make everything, unless it is there."""
    began, told = time.monotonic(), FOLDER / "told"
    if told.exists():
        print(told.read_text(), end="")
        print("(It was there already: make demo-cloud-stop removes it.)")
        return
    if FOLDER.exists():
        say("What an interrupted one left is removed first.")
        stop(keep_cache=True)
    for port in (https, http):
        _free(port)
    FOLDER.mkdir(mode=0o700, parents=True)
    say("Two machines: their root file system is made once, and kept for the next time.")
    _bridge()
    key = FOLDER / "operator"
    _done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", key)
    controller, node = machines()
    for machine in (node, controller):
        machine.start()
    passwords = {name: secrets.token_urlsafe(9) for name in ("root1", "ada")}
    _directory(controller, passwords)
    _install(controller)
    _make_controller(controller, https)
    say("The node: attached by ssh, with the golden image.")
    _image(controller)
    shutil.copy(key, controller.folder / "disk/operator")
    salt_run(controller, "mc_compute_node.image_build")
    ada = FOLDER / "ada"
    _done("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@demo", "-f", ada)
    public = ada.with_suffix(".pub").read_text().strip()
    salt_run(controller, "mc_owner.create", "ada", email="ada@example.org", keys=[public])
    settings = {"name": "node1", "identity": "/srv/operator", "owner": "ada"}
    salt_run(controller, "mc_compute_node.init", node.address, "staging", **settings)
    say(f"A guest with a project: {PROJECT}.")
    salt_run(controller, "mc_project.create", PROJECT, owners=["ada"])
    salt_run(controller, "mc_guest.create", "node1", PROJECT, size="2G", owner="ada", project=PROJECT)
    say("The Flask example is pushed to it.")
    push(controller, node)
    _forward(https, controller.address, 443)
    _forward(http, node.address, 80)
    suffix = ("" if https == 443 else f":{https}", "" if http == 80 else f":{http}")
    told.write_text(_words(passwords, suffix))
    print(f"\n{told.read_text()}Made in {time.monotonic() - began:.0f} seconds.")


def _words(passwords: dict[str, str], suffix: tuple[str, str]) -> str:
    return f"""\
{BOLD}The cloud{PLAIN}     https://localhost{suffix[0]}
              its certificate is of its own authority: {FOLDER}/ca.crt
{BOLD}Accounts{PLAIN}      root1 / {passwords["root1"]}   (sysadmin)
              ada / {passwords["ada"]}     (owner of the node's platform and of the project)
{BOLD}The example{PLAIN}   http://{PROJECT}.{ZONE}{suffix[1]}/
{BOLD}Push to it{PLAIN}    cd {FOLDER}/{PROJECT}; edit, commit, and
              git push corpus HEAD:main
{BOLD}Remove it{PLAIN}     make demo-cloud-stop
"""


def stop(keep_cache: bool = False) -> None:
    """Remove everything, whatever is there of it."""
    for path in FOLDER.glob("forward-*.pid"):
        with suppress(ValueError, ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGTERM)
    for machine in machines():
        machine.stop()
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    if not keep_cache:
        shutil.rmtree(guest.CACHE, ignore_errors=True)
    say("Nothing of it is left." if not FOLDER.exists() else f"{FOLDER} could not be removed.")


def machines() -> tuple[BareMachine, BareMachine]:
    """The controller and the node, as they are or shall be."""
    path = FOLDER / "operator.pub"
    public = path.read_text() if path.exists() else ""

    def machine(hostname: str, number: int, **more: Any) -> BareMachine:
        return BareMachine(
            hostname,
            FOLDER / hostname,
            BRIDGE,
            f"{NETWORK}.{number}",
            f"fd00:219:77::{number}",
            f"{NETWORK}.1",
            "fd00:219:77::1",
            public,
            container=f"corpus-demo-{hostname}",
            **more,
        )

    return machine("controller", 2, checkout=True, controller=True), machine("node1", 11)


def _bridge() -> None:
    _done("ip", "link", "add", BRIDGE, "type", "bridge")
    _done("ip", "address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
    _done("ip", "address", "add", "fd00:219:77::1/64", "dev", BRIDGE, "nodad")
    _done("ip", "link", "set", BRIDGE, "up")


def _directory(controller: BareMachine, passwords: dict[str, str]) -> None:
    """slapd with two people, as Debian runs it."""
    say("People: slapd, with root1 and ada.")
    looker = secrets.token_urlsafe(24)
    people = "".join(
        _PERSON.format(name=name, base=BASE, password=word, number=10000 + at)
        for at, (name, word) in enumerate(passwords.items())
    )
    files = {
        "ldap/slapd.conf": _SLAPD.format(base=BASE),
        "default/slapd": 'SLAPD_CONF=/etc/ldap/slapd.conf\nSLAPD_USER=openldap\nSLAPD_GROUP=openldap\nSLAPD_SERVICES="ldap://127.0.0.1/"\n',
    }
    disk = controller.folder / "disk"
    for path, text in (
        (disk / "people.ldif", _TREE.format(base=BASE, looker=looker) + people),
        (disk / "ldap.password", looker),
    ):
        _secret(path, text)
    for name, text in files.items():
        _within(controller, "sh", "-c", 'cat > "/etc/$1"', "sh", name, stdin=text)
    controller.run("sh", "-c", "systemctl stop slapd; rm -rf /var/lib/ldap/*; chgrp openldap /etc/ldap/slapd.conf")
    controller.run("slapadd", "-f", "/etc/ldap/slapd.conf", "-l", "/srv/people.ldif")
    controller.run("sh", "-c", "rm /srv/people.ldif; chown -R openldap: /var/lib/ldap; systemctl start slapd")


def _install(controller: BareMachine) -> None:
    """corpus, as root would install it: where the web service's user may read it.

    uv works there as it is configured here, and uses this machine's network.
    """
    say("corpus, into /opt/corpus of the controller.")
    for path in _UV_READS:
        if Path(path).exists():
            words = ("sh", "-c", 'mkdir -p "$(dirname "$1")"; cat > "$1"', "sh", path)
            _within(controller, *words, stdin=Path(path).read_text())
    variables = [f"--set-var={key}={value}" for key, value in os.environ.items() if key.lower().startswith(_UV_KNOWS)]
    path = "--set-var=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    words = ("lxc-attach", "-P", str(controller.folder), "-n", controller.container, "-s", "MOUNT|PID|UTSNAME")
    ended = run([*words, "--clear-env", path, *variables, "--", "sh", "-c", _INSTALL], timeout=600)
    if ended.status:
        raise Surprise(ended.said)


def _make_controller(controller: BareMachine, https: int) -> None:
    say("The controller: master, registry, PowerDNS, web service.")
    wish = {
        "settings": {"zone": ZONE, "master_address": controller.address},
        "dns_addresses": [controller.address, "127.0.0.1"],
        "admins": "corpus-admins",
        "ldap": {
            "uri": "ldap://127.0.0.1",
            "basedn": BASE,
            "binddn": f"cn=salt,{BASE}",
            "bind_password_file": "/srv/ldap.password",
            "filter": "(&(uid={{ username }})(objectClass=posixAccount))",
            "groupou": "Groups",
            "groupclass": "posixGroup",
            "accountattributename": "memberUid",
        },
        "web": {"url": "https://localhost" + ("" if https == 443 else f":{https}"), "port": 443},
    }
    (controller.folder / "disk/controller.yaml").write_text(yaml.safe_dump(wish))
    words = ["/opt/corpus/bin/python", "/opt/src/tools/controller.py", "--settings", "/srv/controller.yaml"]
    for _ in deadline(120, 1):
        made = controller.run(*words, check=False)
        if made.status:
            raise Surprise(made.said)
        if "This machine is the controller." in made.output:
            break
    (FOLDER / "ca.crt").write_text(controller.run("cat", "/etc/corpus/ca.crt").output)


def _image(controller: BareMachine) -> None:
    """The golden image, built here, where packages can be had; the controller finds it."""
    built, folder = images.image(), controller.folder / "disk/corpus/images"
    folder.mkdir(parents=True, exist_ok=True)
    for path in built.folder.glob(f"{built.full_name}.*"):
        shutil.copy(path, folder / path.name)


def push(controller: BareMachine, node: BareMachine) -> None:
    """Push the example to the guest, as ada."""
    infos = salt_run(controller, "mc_guest.infos", PROJECT)
    port, host = str(infos["ssh_port"]), f"{PROJECT}.{ZONE}"
    known = FOLDER / "known_hosts"
    known.write_text(controller.run("cat", "/srv/corpus/ssh/known_hosts").output)
    ssh = ["ssh", "-F", "none", "-i", str(FOLDER / "ada"), "-o", f"HostName={node.address}"]
    ssh += ["-o", f"HostKeyAlias=[{host}]:{port}", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
    wheels, tree = FOLDER / "wheels", FOLDER / PROJECT
    example = CHECKOUT / "examples/flask"
    words = ["--quiet", "--only-binary=:all:", f"--python-version={guest.PYTHON}", "--no-deps", f"--dest={wheels}"]
    _done(sys.executable, "-m", "pip", "download", *words, f"--requirement={example}/requirements.txt")
    _done("scp", "-q", *ssh[1:], "-P", port, "-r", str(wheels), f"root@{host}:/srv/wheels")
    (controller.folder / "disk/shop.env").write_text("\n".join(OFFLINE) + "\n")
    salt_run(controller, "mc_project.env_set", PROJECT, "/srv/shop.env")
    shutil.copytree(example, tree)
    url = f"ssh://{PROJECT}@{host}:{port}/srv/projects/{PROJECT}/git/project.git"
    settings = {"user.name": "Ada", "user.email": "ada@example.org", "core.sshCommand": shlex.join(ssh)}
    _done("git", "-C", tree, "init", "--quiet", "--initial-branch=main")
    for name, value in settings.items():
        _done("git", "-C", tree, "config", name, value)
    _done("git", "-C", tree, "remote", "add", "corpus", url)
    _done("git", "-C", tree, "add", "--all")
    _done("git", "-C", tree, "commit", "--quiet", "-m", "The example")
    pushed = run(["git", "-C", str(tree), "push", "corpus", "HEAD:main"], timeout=280)
    print(pushed.errors)
    if pushed.status:
        raise Surprise("The push was refused.")


def salt_run(controller: BareMachine, function: str, *arguments: str, **keywords: Any) -> Any:
    """``salt-run`` on the controller, as its administrator; the answer."""
    words = ["/opt/corpus/bin/salt-run", "--log-level=error", "--out=json", function, *arguments]
    ended = controller.run(*words, *(f"{key}={json.dumps(value)}" for key, value in keywords.items()), check=False)
    if ended.status:
        raise Surprise(ended.said)
    answer = json.loads(ended.output)
    if isinstance(answer, dict) and answer.get("result") is False:
        raise Surprise(str(answer.get("comment")))
    return answer


def _forward(port: int, address: str, to: int) -> None:
    """Let a port of this machine lead into the cloud."""
    words = ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"TCP:{address}:{to}"]
    silent = subprocess.DEVNULL
    process = subprocess.Popen(words, stdin=silent, stdout=silent, stderr=silent, start_new_session=True)
    (FOLDER / f"forward-{port}.pid").write_text(str(process.pid))


def _free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Surprise(f"Port {port} is taken: make demo-cloud ARGS='--https 8443 --http 8080'.") from None


def _secret(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def _within(machine: BareMachine, *argv: str, stdin: str) -> None:
    """Run a program on a machine that reads something."""
    words = ["lxc-attach", "-P", str(machine.folder), "-n", machine.container, "--clear-env", "--", *argv]
    subprocess.run(words, input=stdin, text=True, check=True)


def _done(*argv: object) -> Ended:
    ended = run([str(word) for word in argv], timeout=280)
    if ended.status:
        raise Surprise(ended.said)
    return ended


def say(words: str) -> None:
    """Tell what goes on, and when."""
    print(f"{time.strftime('%H:%M:%S')} {BOLD}{words}{PLAIN}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
