"""The old system: the legacy document pipeline.

    python -m examples.documents.baseline --port 8111
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.documents.legacy import LegacyPipeline
from examples.documents.service import Service, arguments_of, serve


class LegacyService(Service):
    """The pipeline behind HTTP.

    Args:
        pipeline: It reads the documents.
    """

    def __init__(self, pipeline: LegacyPipeline) -> None:
        super().__init__("baseline", lambda key, content, _user: pipeline.process(key, content))
        self._pipeline = pipeline

    def routes(self) -> list[Route]:
        """Return the addresses that levers use."""
        return [
            Route("/admin/config", self.settings),
            Route("/admin/config/stand_by", self.stand_by, methods=["POST"]),
            Route("/admin/config/restore", self.restore, methods=["POST"]),
        ]

    async def settings(self, _request: Request) -> Response:
        """Return the configuration in force."""
        return self.answer(self._pipeline.settings)

    async def stand_by(self, _request: Request) -> Response:
        """Need as little as possible; everything is answered all the same."""
        await run_in_threadpool(self._pipeline.stand_by)
        return self.answer(self._pipeline.settings)

    async def restore(self, _request: Request) -> Response:
        """Use the configuration again that was before the stand-by."""
        await run_in_threadpool(self._pipeline.restore)
        return self.answer(self._pipeline.settings)


if __name__ == "__main__":
    given = arguments_of(__doc__).parse_args()
    serve(LegacyService(LegacyPipeline(given.work)), given)
