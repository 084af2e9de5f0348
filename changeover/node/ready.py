"""The address at which a load balancer asks whether a node may get users: `GET /ready`."""

from __future__ import annotations

from changeover.node.answering import Answers, Server, serve
from changeover.node.card import Card


def ready(card: Card, address: tuple[str, int]) -> Server:
    """Answer 200 while users may be sent here and 503 while not, with JSON that says why.

    Args:
        card: What the node knows of itself.
        address: Where it answers, (host, port).

    Raises:
        EnvironmentProblem: The address cannot be used.
    """
    class Handler(_Ready):
        node = card

    return serve(address, Handler, what="load balancers", option="--ready")


class _Ready(Answers):
    """One request."""

    node: Card

    def do_GET(self) -> None:  # noqa: N802  the name is that of http.server
        """Say whether users may be sent here."""
        if self.path.partition("?")[0] != "/ready":
            self.answer(404, {"error": "only /ready is here"})
            return
        card = self.node
        found = card.readiness()
        epoch, version = card.served or (None, None)
        self.answer(200 if found.is_ready else 503, {
            "node": card.who.name, "migration": card.who.migration, "ready": found.is_ready,
            "state": str(found.state), "epoch": epoch, "version": version, "text": found.text})
