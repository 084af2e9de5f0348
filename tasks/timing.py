"""Each task as a part of a trace, where traces are sent."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar

from changeover import telemetry
from changeover.procedures import traces
from changeover.procedures.rollback_steps import Wanted
from changeover.procedures.steps import CutoverRun, RollbackRun
from changeover.site.site import Site
from changeover.telemetry.traces import Trace

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


_latest: list[Trace | None] = [None]
"""What this process works at: also tasks that are given the site alone belong to it."""


def _trace(given: Mapping[str, Any]) -> Trace | None:
    """Return the trace of a task by its arguments."""
    first, wanted = next(iter(given.values()), None), given.get("wanted")
    if isinstance(first, (CutoverRun, RollbackRun)):
        _latest[0] = traces.of_run(first, given.get("stage"))
    elif isinstance(first, Site) and isinstance(wanted, Wanted) and wanted.rollback_id:
        _latest[0] = traces.of_record(first, wanted.rollback_id)
    return _latest[0]


def timed(function: Callable[_Args, _Result], name: str) -> Callable[_Args, _Result]:
    """Return a task's function that is a span of the trace of its stage, cutover or rollback.

    Args:
        function: The function; its first argument is the run or the site.
        name: What the span is called, the same for every stage.
    """
    signature = inspect.signature(function)

    def span(args: Any, kwargs: Any) -> AbstractContextManager[object]:
        given = signature.bind_partial(*args, **kwargs).arguments
        stage = given.get("stage") or ""
        return telemetry.span(name, _trace(given), attributes={"changeover.stage": stage})

    if inspect.iscoroutinefunction(function):
        # Prefect must see that it is one
        @functools.wraps(function)
        async def timed_async(*args: Any, **kwargs: Any) -> Any:
            if not telemetry.is_on():
                return await function(*args, **kwargs)
            with span(args, kwargs):
                return await function(*args, **kwargs)

        return timed_async  # type: ignore[return-value]

    @functools.wraps(function)
    def timed_sync(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if not telemetry.is_on():
            return function(*args, **kwargs)
        with span(args, kwargs):
            return function(*args, **kwargs)

    return timed_sync
