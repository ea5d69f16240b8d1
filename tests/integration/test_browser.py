"""The pages, in a real Chromium: people of a real directory, a real master, a project that is really deployed."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests import browser, slapd
from tests.browser import log_in, pictured
from tests.deployed import WAITS, Cloud, deployed
from tests.slapd import Slapd
from tests.web import PASSWORD

pytestmark = [
    pytest.mark.skipif(slapd.MISSING is not None, reason=str(slapd.MISSING)),
    pytest.mark.skipif(browser.MISSING is not None, reason=str(browser.MISSING)),
]

PATHS = [
    "/",
    "/projects",
    "/projects/shop",
    "/projects/shop/on/web",
    "/statistics",
    "/statistics?project=shop&weeks=4",
    "/nodes",
    "/nodes/n1.corpus.test",
    "/guests",
    "/guests/web",
    "/operations",
    "/audit",
    "/me",
    "/people",
    "/people/ada",
    "/controller",
    "/dns",
    "/do/guest.create",
    "/do/project.push?name=shop",
    "/do/guest.stop?name=web",
    "/links",
]
#: Those that an owner of a project looks at
OWN = ["/", "/projects", "/projects/shop", "/projects/shop/on/web", "/guests/web", "/statistics", "/audit", "/me"]


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    with slapd.slapd() as made:
        made.person("ada", PASSWORD, "staff")
        made.person("bob", PASSWORD, "staff")
        made.person("root1", PASSWORD, "corpus-admins")
        yield made


@pytest.fixture(scope="module")
def there(directory: Slapd) -> Iterator[Cloud]:
    people = {"ldap": {"corpus-admins%": [".*", "@runner"]}}
    with deployed((), people, directory.options, eauth="ldap") as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.chromium() as made:
        yield made


Open = Callable[..., Page]


@pytest.fixture
def opened(chromium: Browser, there: Cloud) -> Iterator[Open]:
    """Opens a browser of somebody's; what its pages complain of fails the test."""
    complaints: list[str] = []
    contexts = []

    def do(who: str | None = None, **settings: object) -> Page:
        page = browser.opened(chromium, there.web.url, **settings)
        contexts.append(page.context)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda err: complaints.append(str(err)))
        if who:
            log_in(page, who, PASSWORD)
        return page

    yield do
    for context in contexts:
        context.close()
    assert [said for said in complaints if "status of 401" not in said] == []  # a wrong password is no defect


def test_people_of_the_directory_log_in_and_out(opened: Open) -> None:
    page = opened()
    page.goto("/projects/shop")
    expect(page).to_have_url("http://" + page.url.split("/")[2] + "/login?next=%2Fprojects%2Fshop")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    with page.expect_response(lambda answer: answer.request.method == "POST") as refused:
        page.get_by_role("button", name="Log in").click()
    assert refused.value.status == 401
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("shop")  # where one wanted to go
    page.get_by_role("button", name="Log out").click()
    page.goto("/projects/shop")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in to corpus")


@pytest.mark.parametrize(
    ("looks", "who", "paths"),
    [
        ("light", "root1", PATHS),
        ("phone-dark", "root1", PATHS),
        ("dark", "ada", OWN),
        ("phone-light", "ada", OWN),
        ("light", None, ["/login", "/links"]),
        ("phone-dark", None, ["/login", "/links"]),
    ],
)
def test_pages_are_for_everybody(opened: Open, looks: str, who: str | None, paths: list[str]) -> None:
    """Nothing serious for axe and nothing wider than the screen: for a sysadmin who sees all, an owner, a stranger."""
    phone = {"viewport": {"width": 390, "height": 844}} if "phone" in looks else {}
    page, found = opened(who, color_scheme="dark" if "dark" in looks else "light", **phone), {}
    for path in [*paths, *(_of_the_latest(page) if who else [])]:
        answer = page.goto(path)
        assert answer is not None
        assert answer.ok, (path, answer.status)
        for part in page.locator("[data-load]").all():
            asked_for = part.locator(f'a[href="{part.get_attribute("data-load")}"]')
            expect(asked_for).to_have_count(0)  # it is there
        pictured(page, f"{looks}-{who or 'stranger'}{path.partition('?')[0].replace('/', '-')}")
        violations = Axe().run(page).response["violations"]
        serious = [
            (one["id"], one["nodes"][0]["html"]) for one in violations if one["impact"] in ("serious", "critical")
        ]
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        if serious or wide:
            found[path] = (serious, "wider than the screen" if wide else "")
    assert found == {}


def _of_the_latest(page: Page) -> list[str]:
    """The pages of what was done last: a deployment with its log, an operation."""
    page.goto("/projects/shop")
    places = [page.locator(f"{part} tbody a").first.get_attribute("href") for part in ("#running", "#recent")]
    deployment, operation = (str(place).partition("?")[0] for place in places)
    return [deployment, f"{deployment}/log", operation]


def test_one_sees_where_one_is_without_a_mouse(opened: Open) -> None:
    page = opened("ada")
    page.goto("/projects/shop")
    seen = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        name, style = page.evaluate(
            "[document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert style != "none", name
        seen.add(name.strip())
    assert {"Skip to the content", "Projects", "Log out", "Deploy"} <= seen


def test_reading_needs_no_script_and_no_mouse(opened: Open) -> None:
    page = opened("ada", java_script_enabled=False)
    page.goto("/projects/shop")
    page.get_by_role("link", name="Processes, releases, environment and logs on web").click()
    expect(page.get_by_role("heading", name="Releases")).to_be_visible()
    expect(page.get_by_role("cell", name="web.1")).to_be_visible()
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_a_push_is_watched_and_rolled_back(opened: Open, there: Cloud, tmp_path: Path) -> None:
    go = tmp_path / "go"
    page = opened("ada", viewport={"width": 1200, "height": 900})
    page.goto("/projects/shop")
    assert there.shown().startswith("one")
    tmp_path.chmod(0o755)
    files = {"VERSION": "two", ".salt/configure.sls": WAITS.format(go=go)}
    pushing = threading.Thread(target=there.pushed, kwargs=files)
    pushing.start()
    try:
        page.get_by_role("link", name="watch it").click()  # the page says it by itself
        stage = page.locator("ol.steps li", has_text="configure").first
        expect(stage).to_contain_text("running")
        pictured(page, "deployment-under-way")
    finally:
        go.touch()
        pushing.join()
    expect(page.locator("#deployment")).to_contain_text("took")
    expect(page.locator("#deployment")).to_contain_text("Revision")
    names = page.locator("ol.steps .name").all_inner_texts()
    assert names.index("configure") < names.index("activate") < names.index("switch")
    pictured(page, "deployment")
    assert there.shown().startswith("two")

    page.goto("/projects/shop")
    known = page.locator("#running tbody tr")
    before = known.count()
    there.pushed(VERSION="three")
    expect(known).to_have_count(before + 1)  # told by itself
    ways_back = page.get_by_role("link", name="Roll back to")
    expect(ways_back).to_have_count(2)  # and so is what the guest says of it
    ways_back.first.click()
    expect(page.get_by_role("heading", level=2)).to_have_text("What will happen")
    expect(page.locator("ol.steps")).to_contain_text("roll back on web")
    assert there.shown().startswith("three"), "what was only looked at"
    pictured(page, "roll-back")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#operation .badge").first).to_have_text("done")
    pictured(page, "rolled-back")
    assert there.shown().startswith("two")


def test_a_project_is_closed_and_opened_again(opened: Open, there: Cloud) -> None:
    page = opened("ada")
    for button, status in (("Close", 503), ("Reopen", 200)):
        page.goto("/projects/shop")
        page.locator("#on-web").get_by_role("link", name=button).click()
        expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
        page.get_by_role("button", name=button).click()
        expect(page.locator("#operation .badge").first).to_have_text("done")
        assert there.asked().status_code == status
    page.goto("/projects/shop")
    expect(page.locator("#on-web").get_by_role("link", name="Close")).to_be_visible()


def test_a_variable_is_set_and_its_value_shown_nowhere(opened: Open, there: Cloud) -> None:
    page = opened("ada")
    page.goto("/projects/shop/on/web")
    page.get_by_text("Set a variable").click()
    page.get_by_label("Name").fill("GREETING")
    page.get_by_label("Value").fill("do-not-show-this")
    page.get_by_role("button", name="Set it").click()
    expect(page.locator("#operation .badge").first).to_have_text("done")
    assert "do-not-show-this" not in page.content()
    assert there.shown().endswith("do-not-show-this")
    page.goto("/projects/shop/on/web")
    expect(page.get_by_text("GREETING")).to_be_visible()
    assert "do-not-show-this" not in page.content()


def test_a_token_is_made_shown_once_and_revoked(opened: Open, there: Cloud) -> None:
    page = opened("bob")
    page.goto("/me")
    page.get_by_text("Make a token for a machine").click()
    page.get_by_label("Name").fill("ci")
    page.get_by_label("Good for").fill("read")
    page.get_by_role("button", name="Make it").click()
    token = page.locator("#token").inner_text()
    machine = there.web.client(token)
    assert machine.get("/me").json()["scopes"] == ["read"]
    assert token not in page.url
    page.goto("/me")
    assert token not in page.content()
    page.get_by_role("button", name="Revoke ci").click()
    expect(page.get_by_role("cell", name="ci", exact=True)).to_have_count(0)
    assert machine.get("/me").status_code == 401


def test_what_is_not_theirs_is_not_there(opened: Open) -> None:
    page = opened("bob")
    for path in ("/projects/shop", "/projects/shop/on/web", "/guests/web", "/nodes/n1.corpus.test", "/people/ada"):
        answer = page.request.get(path)
        assert answer.status in (403, 404), path
        assert "10.64" not in answer.text()
    assert "shop" not in page.request.get("/projects").text()
    for path in ("/dns", "/controller"):
        assert page.request.get(path).status == 403
    strange = page.request.post(
        "/do/project.create", form={"name": "theirs"}, headers={"Origin": "https://example.org"}
    )
    assert strange.status == 403


def test_a_link_takes_its_token_out_of_the_address(opened: Open) -> None:
    page = opened()
    page.goto("/links#abc123")
    expect(page.locator("#token")).to_have_value("abc123")
    assert "#" not in page.url
