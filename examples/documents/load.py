"""Users who ask for documents and send letters, in an open loop.

    python -m examples.documents.load --url http://127.0.0.1:8110 --rate 12
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import httpx

from examples.documents import corpus
from examples.shared.load import Load, main

POST_SHARE = 0.08
KINDS, WEIGHTS = ("txt", "pdf", "png"), (18, 11, 1)
"""What users ask for and send: mostly texts; pictures are what costs."""
MOST_LETTERS = 5
"""Letters that a user has; the same letter is sent again now and then."""


class DocumentLoad(Load):
    """Asks for documents by id, and sends letters of its own."""

    _ids: dict[str, list[str]]

    async def prepare(self, client: httpx.AsyncClient) -> None:
        """Learn the documents' ids."""
        self._ids = {kind: ["none"] for kind in KINDS}
        while not self.stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get("/documents")
                if answer.is_success:
                    ids = list(answer.json())
                    self._ids = {kind: [each for each in ids if each.endswith(kind)]
                                 for kind in KINDS}
                    return
            await asyncio.sleep(0.2)

    async def ask(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> tuple[str, httpx.Response]:
        """Ask for a document, or send one."""
        kind = self.random.choices(KINDS, WEIGHTS)[0]
        if self.random.random() >= POST_SHARE:
            path = f"/documents/{self.random.choice(self._ids[kind])}"
            return "GET", await client.get(path, headers=headers)
        letter = corpus.letter(headers["x-user-id"], self.random.randrange(MOST_LETTERS), kind)
        headers = {**headers, "content-type": letter.media}
        return "POST", await client.post("/process", content=letter.content, headers=headers)


if __name__ == "__main__":
    sys.exit(main(DocumentLoad, __doc__))
