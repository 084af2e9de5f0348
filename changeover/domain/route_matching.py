"""Which route of the plan a request is of: the first one whose conditions it fulfils. Pure.

The gateway carries out the same tests (`gateway.envoy.parts`), on the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from changeover.plan.portable import matches
from changeover.plan.routes import RouteSpec, Tested, TextTest


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request says which route it is of.

    Args:
        path: The path with its query, as it was sent.
        method: The method.
        host: The host, perhaps with a port; empty when it does not matter.
        headers: All values of each header, by its name in lower case.
    """

    path: str = "/"
    method: str = "GET"
    host: str = ""
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, header: str) -> str | None:
        """Return a header as the gateway tests it: its values with commas; None without any."""
        own = {":path": self.path, ":method": self.method, ":authority": self.host}
        if header in own:
            return own[header]
        values = self.headers.get(header)
        return None if values is None else ",".join(values)


def route_of(routes: Iterable[RouteSpec], request: Request) -> RouteSpec | None:
    """Return the first route that a request is of; None: it is of the rest."""
    for route in routes:
        if all(_holds(each, request) for each in route.conditions):
            return route
    return None


def _holds(tested: Tested, request: Request) -> bool:
    text = request.text(tested.header)
    return text is not None and any(_passes(test, text) for test in tested.tests)


def _passes(test: TextTest, text: str) -> bool:
    wanted = test.text
    if test.kind == "regex":
        return matches(wanted, text)
    if test.ignores_case:
        text, wanted = text.lower(), wanted.lower()
    if test.kind == "exact":
        return text == wanted
    if test.kind == "prefix":
        return text.startswith(wanted)
    return text.endswith(wanted) if test.kind == "suffix" else wanted in text
