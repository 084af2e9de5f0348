"""What three flags switch on: the workflow editor, the API gateway, records for other systems."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.documents.corpus import Document
from examples.documents.engine import POOLS, NodeEngine

FLAGS = ("enable_node_engine", "enable_workflow_editor", "enable_ai_nodes", "enable_umi_ocr",
         "enable_llm_processing", "enable_advanced_ocr", "enable_api_gateway",
         "enable_external_integration")
PREFIX = "/api/v1"


class Answering(Protocol):
    """The service that these addresses belong to."""

    documents: dict[str, Document]

    def answer(self, content: Any, status: int = 200) -> Response:
        """Return an answer as JSON."""

    async def record(self, request: Request) -> Response:
        """Return the record of one document."""

    async def listing(self, request: Request) -> Response:
        """Return the ids of all documents."""


def routes(engine: NodeEngine, service: Answering) -> list[Route]:
    """Return the addresses; each answers 404 while its flag is off."""
    def when(flag: str, then: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            user = request.headers.get("x-user-id", "")
            if not engine.switches.is_on(flag, user):
                return service.answer({"error": f"not found: {flag} is off"}, 404)
            found: Response = await then(request)
            return found

        return endpoint

    async def workflow(_request: Request) -> Response:
        return service.answer({kind: list(pool) for kind, pool in engine.pools.items()})

    async def edit(request: Request) -> Response:
        wanted = await request.json()
        if problem := _problem(wanted, engine):
            return service.answer({"error": problem}, 422)
        engine.pools = {**engine.pools, **{kind: tuple(pool) for kind, pool in wanted.items()}}
        return await workflow(request)

    async def exported(request: Request) -> Response:
        key = request.path_params["id"]
        if key not in service.documents:
            return service.answer({"error": f"no document {key}"}, 404)
        content = service.documents[key].content
        return service.answer(_as_linked_data(engine.process(key, content)))

    return [
        Route("/workflow", when("enable_workflow_editor", workflow)),
        Route("/workflow", when("enable_workflow_editor", edit), methods=["PUT"]),
        Route(f"{PREFIX}/documents", when("enable_api_gateway", service.listing)),
        Route(f"{PREFIX}/documents/{{id}}", when("enable_api_gateway", service.record)),
        Route("/export/{id}", when("enable_external_integration", exported)),
    ]


def _problem(wanted: Any, engine: NodeEngine) -> str:
    """Return why a workflow cannot be used; empty when it can."""
    if not isinstance(wanted, dict) or not wanted.keys() <= POOLS.keys():
        return f"allowed are lists of nodes for {', '.join(POOLS)}"
    for kind, pool in wanted.items():
        able = POOLS[kind]
        if not isinstance(pool, list) or not pool or not set(pool) <= set(able):
            return f"{kind}: allowed are one or more of {', '.join(able)}"
    return ""


def _as_linked_data(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record in the words of schema.org, which other systems know."""
    return {"@context": "https://schema.org", "@type": "DigitalDocument",
            "identifier": record["id"], "name": record["title"], "text": record["text"],
            "numberOfPages": record["pages"]}
