"""The engine's way to the AI services."""

from __future__ import annotations

from typing import Any

import httpx

ANSWER_SECONDS = 6.0


class AiUnavailable(Exception):
    """An AI service does not answer, or fails."""


class AiClient:
    """Asks the AI services.

    Args:
        url: Their address.
    """

    def __init__(self, url: str) -> None:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=1.0)
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=timeout, trust_env=False)

    def read(self, content: bytes, *, twice: bool) -> str:
        """Return the text of a picture.

        Raises:
            AiUnavailable: It was not read.
        """
        return str(self._post("/ocr?twice=1" if twice else "/ocr", content)["text"])

    def describe(self, text: bytes) -> dict[str, Any]:
        """Return `keywords` and `summary` of a text.

        Raises:
            AiUnavailable: There is none.
        """
        found = self._post("/llm", text)
        return {"keywords": found["keywords"], "summary": found["summary"]}

    def unload(self) -> None:
        """Have the models unloaded.

        Raises:
            AiUnavailable: They were not.
        """
        self._post("/admin/unload", b"")

    def _post(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            answer = self._client.post(path, content=content)
            found: dict[str, Any] = answer.raise_for_status().json()
            return found
        except (httpx.HTTPError, ValueError) as error:
            raise AiUnavailable(f"the AI service failed ({type(error).__name__})") from error
