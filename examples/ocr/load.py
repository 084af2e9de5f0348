"""An invoicing application whose users have pages read, and which says how each reading went.

    python -m examples.ocr.load --url http://127.0.0.1:8200 --rate 3 --users 200

It asks for pages that the service has, and sends some of its own. It knows what stands on them, as
users do who correct a text. With `CONSOLE_TOKEN` it reports each reading to the console at
`CONSOLE_URL`: success, time since the page was sent, the engine's confidence, the share of wrong
characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import Any

import httpx

from examples.ocr import pages
from examples.shared.load import Load, main

POST_SHARE = 0.2
COHORTS = {"pilot": 0.08, "early_adopters": 0.10}
"""Users who agreed to be first, as shares of all; the plan's segments have the same names."""
WORKERS = 8
"""Pages that the application has under way at once, as its queue of jobs allows."""
LONGEST_QUEUE = 16
"""More pages than this do not wait: on a busy machine less is asked instead of ever later."""
REPORT_EVERY_SECONDS = 0.5
LARGEST_BATCH = 500
_Outcome = dict[str, Any]


class Application(Load):
    """Users of the invoicing application."""

    timeout_seconds = 100.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._pages = list(pages.load().values())
        self._number, self._run = 0, f"{time.time_ns():x}"
        self._outcomes: list[_Outcome] = []
        self._reporter: asyncio.Task[None] | None = None
        self._workers, self._waiting = asyncio.Semaphore(WORKERS), 0

    async def prepare(self, client: httpx.AsyncClient) -> None:
        """Draw the pages once, wait until the service answers, and begin to report."""
        for page in self._pages:
            pages.picture(page)
        while not self.stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/pages")).is_success:
                    break
            await asyncio.sleep(0.2)
        self._reporter = asyncio.create_task(self._report())

    def user(self) -> dict[str, str]:
        """Return the headers of a user drawn at random."""
        headers = super().user()
        # the last digits, so that the busiest users are in no cohort more than others
        place = int(headers["x-user-id"][-4:]) % 100 / 100
        headers.pop("x-cohort", None)
        for name, share in COHORTS.items():
            if 0 <= place < share:
                headers["x-cohort"] = name
            place -= share
        return headers

    async def _one(self, client: httpx.AsyncClient, due: float) -> None:
        """Have a page read by a free worker; when too many wait for one, leave it out."""
        if self._waiting >= LONGEST_QUEUE:
            self.counts["left_out"] += 1
            return
        self._waiting += 1
        async with self._workers:
            self._waiting -= 1
            await super()._one(client, due)

    async def ask(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> tuple[str, httpx.Response]:
        """Have one page read and note how it went."""
        page = self.random.choice(self._pages)
        is_post = self.random.random() < POST_SHARE
        began = time.monotonic()
        if is_post:
            answer = await client.post("/ocr", content=pages.picture(page), headers={
                **headers, "content-type": "image/png"})
        else:
            answer = await client.get(f"/pages/{page.key}/text", headers=headers)
        self._note(headers, page, answer, time.monotonic() - began)
        return "POST" if is_post else "GET", answer

    def _note(
        self, headers: dict[str, str], page: pages.Page, answer: httpx.Response, seconds: float
    ) -> None:
        """Note an outcome, of the system that answered; nobody knows whose a gateway's error is."""
        system = answer.headers.get("x-served-by")
        if system is None:
            return
        self._number += 1
        # empty answers are no readings, whatever their status says
        read = answer.json() if answer.is_success else {}
        is_success = bool(read.get("text"))
        quality = {}
        if is_success:
            wrong = pages.character_error_rate(read["text"], page.text)
            quality = {"confidence": read["confidence"], "character_error_rate": wrong}
        cohort = headers.get("x-cohort")
        self._outcomes.append({
            "id": f"{self._run}-{self._number}", "system": system, "success": is_success,
            "seconds": seconds, "quality": quality, "key": headers["x-user-id"],
            "segments": [cohort] if cohort else []})
        self.counts["unsuccessful"] += not is_success

    async def _report(self) -> None:
        """Report what was noted, until ended; what could not be sent is sent again."""
        token = os.environ.get("CONSOLE_TOKEN")
        console = os.environ.get("CONSOLE_URL", "http://127.0.0.1:8190")
        async with httpx.AsyncClient(base_url=console, timeout=5, trust_env=False) as client:
            while token and not self.stop.is_set():
                await asyncio.sleep(REPORT_EVERY_SECONDS)
                batch = self._outcomes[:LARGEST_BATCH]
                if not batch:
                    continue
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.post("/v1/outcomes", json=batch, headers={
                        "authorization": f"Bearer {token}"})
                    self._reported(len(batch), answer)

    def _reported(self, number: int, answer: httpx.Response) -> None:
        """Forget outcomes that the console stored, or will never take."""
        # busy, or its token is not saved yet
        if answer.status_code in (401, 503):
            return
        if not answer.is_success:
            print(f"the console took no outcomes: {answer.status_code} {answer.text[:500]}")
        del self._outcomes[:number]
        self.counts["reported" if answer.is_success else "not_reported"] += number


if __name__ == "__main__":
    sys.exit(main(Application, __doc__))
