"""The main job in a minute: push an application, change it, break it, roll it back. ``make demo`` runs this.

Everything is real and lives in ``.demo``: a Salt minion's configuration, a project, its repositories, its processes.
Nothing is left running, unless ``KEEP=1``.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = CHECKOUT / ".demo"
NAME = "hello"
SALT_CALL = [str(Path(sys.executable).parent / "salt-call"), "-c", str(DEMO / "etc"), "--local", "--log-level=quiet"]
PUSHER = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Surprise(Exception):
    """Something went otherwise than it should."""


def main() -> int:
    """Run the demonstration; return the exit status."""
    began = time.monotonic()
    keep = os.environ.get("KEEP") == "1"
    stop()
    shutil.rmtree(DEMO, ignore_errors=True)
    try:
        port = prepare()
        story(port)
    except Surprise as err:
        print(f"\nThe demo failed: {err}", file=sys.stderr)
        return 1
    finally:
        if not keep:
            stop()
    say(f"Done in {time.monotonic() - began:.0f} seconds.")
    if keep:
        print(f"It still runs: http://127.0.0.1:{port}/  (make demo without KEEP=1 starts over and stops it.)")
        print(f"Your own commands: {' '.join(SALT_CALL[:4])} mc_project.status {NAME}")
        print("Your own pushes:   git -C .demo/work push corpus HEAD:main")
    return 0


def prepare() -> int:
    """Configure a minion of our own below ``.demo``; return the port to serve at."""
    for folder in ("etc", "root", "srv/salt", "srv/pillar"):
        (DEMO / folder).mkdir(parents=True)
    settings = {
        "id": "demo",
        "file_client": "local",
        "master_type": "disable",
        "root_dir": str(DEMO / "root"),
        "module_dirs": [str(CHECKOUT)],
        "file_roots": {"base": [str(DEMO / "srv/salt")]},
        "pillar_roots": {"base": [str(DEMO / "srv/pillar")]},
        "corpus.projects_root": str(DEMO / "srv/projects"),
        "corpus.states_root": str(DEMO / "srv/salt"),
        "corpus.pillar_root": str(DEMO / "srv/pillar"),
        "enable_fqdns_grains": False,
    }
    (DEMO / "etc/minion").write_text(json.dumps(settings, indent=1))  # JSON is YAML
    return free_port()


def story(port: int) -> None:
    """Init, push, change, break, roll back, look at the history."""
    say("A project is made: repositories, hooks, folders.")
    settings = ["installer=python", "http_address=127.0.0.1", f"http_port={port}"]
    settings += ["healthcheck={path: /health, timeout: 3}"]
    if os.geteuid() == 0:
        settings.append("user=root")  # below a checkout that other users may not be able to walk through
    salt_call("mc_project.init_project", NAME, *settings)

    say("The Flask example is pushed: the push deploys it.")
    work = DEMO / "work"
    shutil.copytree(CHECKOUT / "examples/flask", work)
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "remote", "add", "corpus", str(DEMO / f"srv/projects/{NAME}/git/project.git"))
    commit(work, "The first version")
    push(work, accepted=True)
    expect(port, "1.0.0")
    first = releases()[0]["release"]

    say("A change is pushed: the old version serves until the new one has proved itself.")
    (work / "VERSION").write_text("2.0.0\n")
    commit(work, "The second version")
    push(work, accepted=True)
    expect(port, "2.0.0")

    say("A version that fails its health check is pushed: the push is refused, the page stays.")
    (work / "VERSION").write_text("3.0.0 broken\n")
    commit(work, "A bad version")
    push(work, accepted=False)
    expect(port, "2.0.0")

    say("Back to the first release.")
    salt_call("mc_project.rollback", NAME, f"release={first}")
    expect(port, "1.0.0")

    say("What happened:")
    salt_call("mc_project.history", NAME)


def say(text: str) -> None:
    """Print a headline."""
    print(f"\n{BOLD}### {text}{PLAIN}", flush=True)


def command(argv: list[str], shown: str, cwd: Path = CHECKOUT) -> int:
    """Show a command, run it with its output on the terminal, return its exit status."""
    print(f"$ {shown}", flush=True)
    return subprocess.run(argv, cwd=cwd, env={**os.environ, **PUSHER}, stdin=subprocess.DEVNULL, check=False).returncode


def salt_call(*words: str) -> None:
    """Call a function as a person would; it must work."""
    quoted = " ".join(f"'{word}'" if " " in word else word for word in words)
    if command([*SALT_CALL, *words], f"salt-call --local {quoted}"):
        raise Surprise(f"{words[0]} failed.")


def releases() -> list[dict[str, str]]:
    """Return the kept releases, newest first."""
    argv = [*SALT_CALL, "--out=json", "mc_project.list_releases", NAME]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout)["local"])


def git(work: Path, *words: str) -> None:
    """Run git quietly in the work tree."""
    subprocess.run(["git", *words], cwd=work, env={**os.environ, **PUSHER}, check=True)


def commit(work: Path, message: str) -> None:
    """Commit everything."""
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "-m", message)


def push(work: Path, *, accepted: bool) -> None:
    """Push, and see that git accepted or refused it as it should."""
    status = command(["git", "push", "corpus", "HEAD:main"], "git push corpus HEAD:main", cwd=work)
    if (status == 0) is not accepted:
        raise Surprise("a good push was refused." if accepted else "a bad push was accepted.")


def expect(port: int, version: str) -> None:
    """Fetch the page; it must show a version."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        text = answer.read().decode()
    shown = next((line.strip() for line in text.splitlines() if "<title>" in line), "")
    print(f"http://127.0.0.1:{port}/ answers: {shown}", flush=True)
    if version not in shown:
        raise Surprise(f"the page does not show version {version}.")


def free_port() -> int:
    """Return 8080, or another port when that is taken."""
    for wanted in (8080, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    raise Surprise("no port is free.")


def stop() -> None:
    """Stop what an earlier demo, or this one, left running."""
    pid_file = DEMO / "srv/projects/.corpus/supervisor/supervisord.pid"
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    for _ in waiting(20):
        if not Path(f"/proc/{pid}").exists():
            return


def waiting(seconds: float) -> Iterator[None]:
    """Yield every 50 ms until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
