"""Users who read documents and now and then have one parsed.

    python -m examples.metadata.load --url http://127.0.0.1:8100 --rate 50 --seconds 60
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import httpx

from examples.shared.load import Load, main

POST_SHARE = 0.1


class Readers(Load):
    """Asks for documents by their ids; every tenth request posts one."""

    documents: tuple[str, ...] = ("none",)

    async def prepare(self, client: httpx.AsyncClient) -> None:
        """Learn the ids of the documents."""
        while not self.stop.is_set():
            with contextlib.suppress(httpx.HTTPError):
                answer = await client.get("/documents")
                if answer.is_success:
                    self.documents = tuple(answer.json())
                    return
            await asyncio.sleep(0.2)

    async def ask(
        self, client: httpx.AsyncClient, headers: dict[str, str]
    ) -> tuple[str, httpx.Response]:
        """Read a document, or have one parsed."""
        if self.random.random() < POST_SHARE:
            text = f"Name: example\nVersion: 1.{self.random.randrange(99)}\n\n# Hello\n"
            return "POST", await client.post("/parse", content=text, headers=headers)
        document = self.random.choice(self.documents)
        return "GET", await client.get(f"/documents/{document}", headers=headers)


if __name__ == "__main__":
    sys.exit(main(Readers, __doc__))
