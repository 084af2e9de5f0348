"""The new system: the node engine behind HTTP, with its page, its figures and its levers.

    python -m examples.documents.candidate --port 8112 --ai http://127.0.0.1:8115
"""

from __future__ import annotations

import logging
import os
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from examples.documents import extras, levers
from examples.documents.ai_client import AiClient
from examples.documents.engine import NodeEngine, Stopped
from examples.documents.gui import GuiLoop
from examples.documents.service import CONSOLE_VARIABLE, Service, arguments_of, serve
from examples.documents.switches import Switches
from examples.documents.trouble import KINDS, Trouble

PAGE = """<!doctype html><html lang="en"><title>Node engine</title><h1>Node engine</h1>
<img src="/gui/board.png" alt="Each node's figures" id="board"><script>
setInterval(() => document.getElementById("board").src = "/gui/board.png?" + Date.now(), 1000)
</script></html>"""


class EngineService(Service):
    """The engine behind HTTP.

    Args:
        engine: It reads the documents.
    """

    def __init__(self, engine: NodeEngine) -> None:
        super().__init__("candidate", engine.process, KINDS)
        self.engine = engine
        self.gui = GuiLoop(self.figures)
        self._trouble = Trouble(engine, self.gui)
        engine.switches.on_change(self.follow_flags)

    def routes(self) -> list[Route]:
        """Return the addresses of nodes, page, levers, and of what flags switch on."""
        return [
            Route("/nodes", self.nodes),
            Route("/nodes/{name}", self.node),
            Route("/gui", self.page),
            Route("/gui/board.png", self.board),
            Route("/gui/probe", self.probe),
            Route("/admin/queue", self.queue),
            Route("/admin/status", self.status),
            *levers.routes(self.engine, self.answer),
            *extras.routes(self.engine, self),
        ]

    def begin(self, kind: str) -> None:
        """Begin a fault, or end all with `none`."""
        # those of the engine itself leave its answers alone
        super().begin("none" if kind in KINDS else kind)
        self._trouble.begin(kind)

    def follow_flags(self) -> None:
        """Use the limits and the level of the log that the flags say."""
        switches = self.engine.switches
        self.engine.scheduler.allow(int(switches.value("ai_concurrency_limit")))
        level = "DEBUG" if switches.is_on("debug_mode") else str(switches.value("log_level"))
        logging.getLogger("examples.documents").setLevel(level)

    def figures(self) -> list[dict[str, Any]]:
        """Return every node's figures."""
        return [node.figures() for node in self.engine.nodes.values()]

    async def health(self, request: Request) -> Response:
        """Say whether the engine runs; one that was stopped on purpose is well."""
        if self.faults.kind == "hang":
            return await super().health(request)
        told = "healthy" if self.engine.is_running else "stopped"
        return self.answer({"status": told, "system": self.name})

    async def nodes(self, _request: Request) -> Response:
        """Return every node's figures."""
        return self.answer(self.figures())

    async def node(self, request: Request) -> Response:
        """Return one node's figures."""
        node = self.engine.nodes.get(request.path_params["name"])
        if node is None:
            return self.answer({"error": "no such node", "allowed": list(self.engine.nodes)}, 404)
        return self.answer(node.figures())

    async def page(self, _request: Request) -> Response:
        """Return the page: what its thread has drawn."""
        return HTMLResponse(PAGE)

    async def board(self, _request: Request) -> Response:
        """Return the newest picture of the board."""
        return Response(self.gui.board, media_type="image/png")

    async def probe(self, _request: Request) -> Response:
        """Answer when the page's thread has, and say how long that took."""
        seconds = await run_in_threadpool(self.gui.probe)
        if seconds is None:
            return self.answer({"error": "the page is frozen"}, 503)
        return self.answer({"milliseconds": round(seconds * 1000, 1)})

    async def queue(self, _request: Request) -> Response:
        """Return how many tasks and records are not done."""
        return self.answer({"length": self.engine.waiting})

    async def status(self, _request: Request) -> Response:
        """Return what levers and flags have made of the engine."""
        engine = self.engine
        return self.answer({
            "is_running": engine.is_running, "ai_limit": engine.scheduler.limit,
            "ai_peak": engine.scheduler.peak, "is_delayed": engine.later.is_delayed,
            "later": engine.later.waiting, "later_done": engine.later.done,
            "unwritten": engine.records.waiting, "written": engine.records.written,
            "held_bytes": engine.cache.held_bytes, "cache_hits": engine.cache.hits,
            "flags": {name: engine.switches.is_on(name) for name in extras.FLAGS}})

    async def _processed(self, request: Request, key: str, content: bytes) -> Response:
        try:
            return await super()._processed(request, key, content)
        except (Stopped, TimeoutError) as error:
            return self.answer({"error": str(error)}, 503)


def main() -> None:
    """Read the command line and serve until ended."""
    parser = arguments_of(__doc__)
    parser.add_argument("--ai", default="http://127.0.0.1:8115", help="The AI services.")
    given = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    switches = Switches(os.environ.get(CONSOLE_VARIABLE))
    service = EngineService(NodeEngine(given.work, AiClient(given.ai), switches))
    service.follow_flags()
    serve(service, given)


if __name__ == "__main__":
    main()
