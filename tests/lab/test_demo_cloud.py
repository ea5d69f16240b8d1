"""``make demo-cloud`` as a newcomer has it: the pages by https, two people of the directory, a guest, pushes, a way back."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser
from tests.machine import CHECKOUT, Ended, deadline, free_port, run
from tools import demo_cloud

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(os.geteuid() != 0, reason="LXC needs root"),
    pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING)),
]


@dataclass
class Demo:
    """The cloud that was made.

    :param told: what was printed
    """

    told: str
    https: int
    http: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"

    def password(self, name: str) -> str:
        found = re.search(rf"{name} / (\S+)", self.told)
        assert found
        return found[1]

    def example(self) -> str:
        host = f"{demo_cloud.PROJECT}.{demo_cloud.ZONE}"
        return httpx.get(f"http://127.0.0.1:{self.http}/", headers={"Host": host}, timeout=20).text

    def log_in(self, chromium: Browser, name: str) -> Page:
        page = browser.opened(chromium, self.url, ignore_https_errors=True)
        browser.log_in(page, name, self.password(name))
        return page


def tool(*words: str) -> Ended:
    return run([sys.executable, str(CHECKOUT / "tools/demo_cloud.py"), *words], timeout=1200)


def remains() -> str:
    """What this machine has of a demo."""
    script = "ip -o link show corpus-demo; ls -d /var/lib/corpus-demo-cloud; pgrep -af 'corpus-demo-(controller|node1)'"
    found = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    return found.stdout


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    https, http = free_port(), free_port()
    before = remains()
    assert before == "", "there is a demo already: make demo-cloud-stop"
    try:
        made = tool("start", "--https", str(https), "--http", str(http))
        assert made.status == 0, made.said
        print(made.output.splitlines()[-1])
        yield Demo(made.output, https, http)
    finally:
        stopped = tool("stop", "--keep-cache")
    assert stopped.status == 0, stopped.said
    assert remains() == ""
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{http}/")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as made:
        yield made


def test_the_service_is_whom_it_says_and_reads_no_more_than_it_must(demo: Demo) -> None:
    trusted = str(demo_cloud.FOLDER / "ca.crt")
    ended = run(["curl", "--silent", "--fail", "--cacert", trusted, f"{demo.url}/api/v1/health"])
    assert ended.status == 0, ended.said
    form = {"username": "ada", "password": demo.password("ada")}
    answer = httpx.post(f"{demo.url}/login", data=form, headers={"Origin": demo.url}, verify=False)
    name, *flags = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-corpus=")
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(flags)

    controller, _ = demo_cloud.machines()
    units = ["corpus-web", "salt-master", "pdns", "slapd"]
    assert controller.run("systemctl", "is-active", *units).output.split() == ["active"] * len(units)
    for path in ("/srv/corpus/secrets.key", "/etc/salt/pki/master/master.pem", "/etc/corpus/ca.key", "/srv/corpus/ssh"):
        looked = controller.run(
            "runuser", "-u", "corpus-web", "--", "ls" if path.endswith("ssh") else "cat", path, check=False
        )
        assert "Permission denied" in looked.errors, path
    controller.run("systemctl", "kill", "--signal=KILL", "corpus-web")
    for _ in deadline(30, 0.2):
        if run(["curl", "--silent", "--fail", "--cacert", trusted, f"{demo.url}/api/v1/health"]).status == 0:
            break


def test_its_owner_makes_a_guest_and_watches(demo: Demo, chromium: Browser) -> None:
    page = demo.log_in(chromium, "ada")
    page.goto("/nodes")
    page.get_by_role("link", name=re.compile("node1")).click()
    page.get_by_role("link", name="New guest").click()
    page.get_by_label("Name", exact=True).fill("second")
    page.get_by_label("Size").fill("1G")
    page.get_by_role("button", name="Show what will happen").click()
    expect(page.locator("ol.steps")).to_contain_text("registration on the node")
    page.get_by_role("button", name="New guest").click()
    page.wait_for_url("**/operations/*")
    expect(page.locator("ol.steps").locator("li", has_text="container").locator(".badge")).to_have_text("done")
    browser.pictured(page, "guest-being-made")
    expect(page.locator("#operation .badge").first).to_have_text("done", timeout=90_000)
    page.goto("/guests/second")
    expect(page.get_by_role("heading", level=1)).to_contain_text("running")
    page.get_by_role("button", name="root password").click()
    link = page.locator("#link").get_attribute("href") or ""
    for times in (1, 0):
        stranger = chromium.new_context(ignore_https_errors=True).new_page()
        stranger.goto(link)
        stranger.get_by_role("button").click()
        expect(stranger.get_by_text("this link does not show it again")).to_have_count(times)
    sysadmin = demo.log_in(chromium, "root1")
    sysadmin.goto("/controller")
    expect(sysadmin.locator("#report .badge")).to_have_text("done")


def test_a_push_is_seen_and_rolled_back(demo: Demo, chromium: Browser) -> None:
    tree = demo_cloud.FOLDER / demo_cloud.PROJECT
    assert "Version 1.0.0" in demo.example()
    page = demo.log_in(chromium, "ada")
    page.goto(f"/projects/{demo_cloud.PROJECT}")
    (tree / "VERSION").write_text("2.0.0\n")
    assert run(["git", "-C", str(tree), "commit", "--quiet", "--all", "-m", "Two"]).status == 0
    known = page.locator("#running tbody tr")
    expect(known).to_have_count(1)
    pushed = run(["git", "-C", str(tree), "push", "--quiet", "corpus", "HEAD:main"])
    assert pushed.status == 0, pushed.said
    expect(known).to_have_count(2)  # told by itself
    known.first.get_by_role("link").click()
    expect(page.locator("ol.steps")).to_contain_text("build")
    browser.pictured(page, "demo-deployment")
    assert "Version 2.0.0" in demo.example()

    page.goto(f"/projects/{demo_cloud.PROJECT}")
    page.get_by_role("link", name="Roll back to").first.click()
    expect(page.locator("ol.steps")).to_contain_text("roll back on shop")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#operation .badge").first).to_have_text("done")
    assert "Version 1.0.0" in demo.example()


def test_made_again_it_tells_what_is_there(demo: Demo) -> None:
    again = tool("start")
    assert again.status == 0
    assert demo.password("ada") in again.output
    assert "make demo-cloud-stop" in again.output
