"""Rendered reports as they are in the store, whichever machine rendered them."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from changeover.console.context import Console
from changeover.domain.tokens import Scope
from changeover.store import shared_files

POLICY = "; ".join((
    "default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "form-action 'none'",
    "base-uri 'none'", "frame-ancestors 'none'", "sandbox"))
"""Of a page that stands alone: its own styles, no script, and nothing of the console's."""
MEDIA_TYPES = {
    "html": "text/html", "md": "text/markdown", "json": "application/json",
    "xml": "application/xml"}
NAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,150}}\.({'|'.join(MEDIA_TYPES)})$"
"""Nothing with a slash: what lies beside the reports is not served."""


def routes(console: Console) -> APIRouter:
    """Return the routes of reports."""
    router = APIRouter(tags=["pages"], route_class=console.auth.route(Scope.READ))
    site = console.site

    @router.get("/reports", include_in_schema=False)
    async def overview() -> Response:
        return RedirectResponse("/pages/reports", 303)

    @router.get("/reports/{name}", response_class=Response, summary="A rendered report",
                responses={404: {"description": "No such report."}})
    async def report(
        name: Annotated[str, Path(pattern=NAME, description="Its file's name.")],
    ) -> Response:
        """HTML, Markdown, JSON or JUnit's XML, byte for byte as it was rendered."""
        found = await asyncio.to_thread(
            shared_files.find, site.store, site.migration, name)
        if found is None:
            raise HTTPException(404, "no such report; /pages/reports has those that there are")
        kind = MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(found[1], media_type=kind, headers={"Content-Security-Policy": POLICY})

    return router
