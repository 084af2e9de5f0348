"""A person in front of Prefect's page: opens a paused run, reads, fills in the form, submits."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"


def approve_in_browser(
    url: str, run_id: str, *, decision: str, approver: str, comment: str, shots: Path
) -> str:
    """Answer the form in Prefect's page through headless Chromium.

    Args:
        url: Address of Prefect's pages.
        run_id: The paused flow run.
        decision: What to choose.
        approver: What to fill in as the name.
        comment: What to fill in as the comment.
        shots: Directory for pictures of the page before and after.

    Returns:
        The text of the form as the person saw it.
    """
    from playwright.sync_api import TimeoutError, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1400})
        page.set_default_timeout(120_000)
        page.goto(f"{url}/runs/flow-run/{run_id}")
        page.get_by_role("button", name="Resume").first.click()
        dialog = page.locator(".p-modal").first
        dialog.get_by_text("Approver").first.wait_for()
        seen = dialog.inner_text()

        def field(label: str):
            pattern = re.compile(rf"^\s*{label}\s*(\(Optional\))?\s*$", re.IGNORECASE)
            named = page.locator(".schema-form-property__label", has_text=pattern)
            return dialog.locator(".schema-form-property").filter(has=named).last

        field("Decision").locator("button.p-select-button__control").first.focus()
        page.keyboard.press("Space")
        page.locator(".p-select-option", has_text=re.compile(rf"^\s*{decision}\s*$")).first.click()
        field("Approver").locator("textarea, input").first.fill(approver)
        field("Comment").locator("textarea, input").first.fill(comment)
        page.screenshot(path=str(shots / "form.png"))
        for _ in range(8):  # the form stays when Prefect's database was locked: once more
            if dialog.is_hidden():
                break
            with contextlib.suppress(TimeoutError):
                submit = dialog.get_by_role("button", name=re.compile("^(Submit|Resume)$")).last
                submit.click(timeout=15_000)
                dialog.wait_for(state="hidden", timeout=15_000)
        dialog.wait_for(state="hidden")
        page.screenshot(path=str(shots / "after.png"))
        browser.close()
        return seen
