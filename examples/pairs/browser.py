"""A client in Chromium: its subclass drives one page, whose every answer is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from changeover.errors import EnvironmentProblem
from examples.pairs.clients import Client, NoticedError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, Request, Response

CHROMIUM = "/usr/bin/chromium"


class BrowserClient(Client):
    """Opens a fresh context (a new visitor) after some acts; every visitor keeps its cookies.

    Args:
        url: Address of the gateway.
        acts_each: Acts of one visitor.
    """

    name = "chromium"
    own_errors: tuple[str, ...] = ()
    """Errors of scripts that the site has without any gateway, too."""

    def __init__(self, url: str, *, acts_each: int = 5) -> None:
        self.url, self._acts_each = url, acts_each
        self._acts = 0
        self._answers: list[Response] = []
        self._failed: list[str] = []
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._page: Page | None = None

    def begin(self) -> None:
        """Start Chromium."""
        try:
            from playwright.sync_api import sync_playwright
        except ImportError as error:
            raise EnvironmentProblem("playwright is missing",
                                     next_step="pip install playwright") from error
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

    def act(self) -> int:
        """Have the visitor do something, and look at every answer that the page got."""
        assert self._browser is not None  # noqa: S101  begun before
        if self._page is None or self._acts % self._acts_each == 0:
            if self._page is not None:
                self._page.context.close()
            self._page = self._browser.new_context().new_page()
            self._page.on("response", self._answered)
            self._page.on("requestfailed", self._request_failed)
            self._page.on("pageerror", lambda error: self._script_failed(str(error)))
        self._acts += 1
        self._answers.clear()
        self._failed.clear()
        try:
            # looked at before the page goes on: an answer's body is gone then
            number = sum(self._look() for _ in self.visit(self._page, self._acts))
        except NoticedError:
            raise
        # whatever the browser could not do is what its user notices
        except Exception as error:
            raise NoticedError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        return number

    def _answered(self, answer: Response) -> None:
        # the page's icon is the browser's own affair: its body cannot be had
        if answer.request.resource_type != "other":
            self._answers.append(answer)

    def _request_failed(self, request: Request) -> None:
        # aborted is what the browser itself no longer wants, since its page goes on
        if request.resource_type != "other" and request.failure != "net::ERR_ABORTED":
            self._failed.append(f"{request.method} {request.url}: {request.failure}")

    def _script_failed(self, error: str) -> None:
        if error not in self.own_errors:
            self._failed.append(f"script: {error}")

    def _look(self) -> int:
        answers = list(self._answers)
        self._answers.clear()
        for answer in answers:
            self.examine(answer)
        if self._failed:
            raise NoticedError("; ".join(self._failed[:3]))
        return len(answers)

    def visit(self, page: Page, number: int) -> Iterator[None]:
        """Do what a visitor does; yield whenever the page has everything. Exceptions are noticed.
        """
        raise NotImplementedError

    def examine(self, answer: Response) -> None:
        """Look at one answer.

        Raises:
            NoticedError: It is not as it should be.
        """
        if answer.status >= 400:
            raise NoticedError(f"{answer.status} for {answer.url}")

    @staticmethod
    def body(answer: Response) -> bytes | None:
        """Return an answer's body; None where Chromium has forgotten it already."""
        from playwright.sync_api import Error

        try:
            return answer.body()
        except Error as error:
            if "No resource with given identifier" in str(error):
                return None
            raise

    def end(self) -> None:
        """End Chromium."""
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()
