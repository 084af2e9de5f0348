"""A small FastAPI system: `python -m tests.support.openapi_service old|new|broken PORT`."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()
KIND = sys.argv[1]


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/items/{number}")
def item(number: int, q: str = "") -> dict[str, int]:
    if KIND == "broken" and number:
        raise RuntimeError("only nought works")
    return {"number": number}


if KIND == "old":
    @app.get("/totals")
    def totals() -> dict[str, int]:
        return {"total": 1}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
