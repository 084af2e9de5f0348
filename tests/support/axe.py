"""Real headless Chromium, and axe-core in it: what somebody who cannot see a page would miss.

axe-core comes with the package `axe-playwright-python`; nothing of it is kept here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.support.approve import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES = {"desk": (1400, 900), "phone": (390, 844)}
"""Width and height in pixels, by the name of what people look at."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start headless Chromium; end it afterwards."""
    # it takes half a second to import, and most tests need none
    from playwright.sync_api import sync_playwright

    arguments = [
        "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def new_page(
    browser: Browser, *, size: str = "desk", scheme: Any = "light", **more: Any
) -> tuple[Page, list[str]]:
    """Open a page in a context of its own.

    Args:
        browser: Chromium.
        size: One of `SIZES`.
        scheme: `light` or `dark`.
        more: Further settings of the context.

    Returns:
        The page, and a list that gets whatever it complains of in its console, each request that
        failed, and each dialog that opened.
    """
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme, **more)
    page, complaints = context.new_page(), []
    page.set_default_timeout(60_000)

    def said(message: Any) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.type}: {message.text}")

    def opened(dialog: Any) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", said)
    page.on("dialog", opened)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    return page, complaints


def findings(page: Page) -> list[str]:
    """Return what axe finds wrong with a page as it stands, one sentence each."""
    from axe_playwright_python.sync_playwright import Axe

    # evaluated by the debugger: no policy of the page has to let it in
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    violations = Axe().run(page, options=options).response["violations"]
    found = []
    for each in violations:
        places = [str(node["target"]) for node in each["nodes"]]
        found.append(f"{each['id']}: {each['help']} at {', '.join(places[:5])}")
    return found


def overflowing(page: Page) -> int:
    """Return by how many pixels a page is wider than the window; 0 when nothing sticks out."""
    script = "document.documentElement.scrollWidth - window.innerWidth"
    return max(0, int(page.evaluate(script)))
