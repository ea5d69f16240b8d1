"""A real Chromium, for the tests that use pages as people do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.machine import CHECKOUT

CHROMIUM = shutil.which("chromium")
MISSING = None if CHROMIUM else "chromium is not installed (Debian: apt-get install chromium)"
#: Pictures of what a test saw, for people
PICTURES = CHECKOUT / "build/screenshots"
#: Milliseconds: pages ask guests for a part of what they show, which takes a busy machine its time. For what never comes
DEADLINE = 60_000

expect.set_options(timeout=DEADLINE)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser while the block does."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, url: str, **settings: object) -> Page:
    """Return an empty page of somebody's whom the service at an address does not know yet."""
    context = browser.new_context(base_url=url, **settings)  # type: ignore[arg-type]
    context.set_default_timeout(DEADLINE)
    return context.new_page()


def log_in(page: Page, who: str, password: str) -> None:
    """Log in as a person does."""
    page.goto("/login")
    page.get_by_label("Name").fill(who)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def pictured(page: Page, name: str) -> None:
    """Keep a picture of a page, by name."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
