"""What people read when Prefect's API cannot be worked with."""

from __future__ import annotations

import httpx
import pytest

from changeover.site.prefect_problems import problem

URL = "http://prefect.internal/api"
PATH = "/deployments/7/create_flow_run"


def said(status: int) -> str:
    request = httpx.Request("POST", URL + PATH)
    answer = httpx.Response(status, request=request, text="your s3cret-pass is wrong")
    return str(problem(
        httpx.HTTPStatusError("", request=request, response=answer), "POST", PATH, URL))


@pytest.mark.parametrize(("status", "words"), [
    (409, f"Prefect's API refused POST {PATH}: 409 Conflict"),
    (422, f"Prefect's API refused POST {PATH}: 422 Unprocessable Entity"),
    (500, f"Prefect's API failed at POST {PATH}: 500 Internal Server Error"),
    (599, f"Prefect's API failed at POST {PATH}: 599"),
])
def test_an_answer_is_not_called_none(status: int, words: str) -> None:
    """Whoever is refused need not look whether the server runs; its text is not repeated."""
    found = said(status)
    assert words in found and "traffic stays as it is" in found
    assert "does not answer" not in found and "s3cret" not in found


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), ValueError()])
def test_no_answer_is_said_to_be_none(error: Exception) -> None:
    """Nor is one that is no JSON an answer of Prefect."""
    found = str(problem(error, "GET", "/health", URL))
    assert f"Prefect's API does not answer ({type(error).__name__})" in found
