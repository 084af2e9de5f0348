"""Breaking glass at the gateway nodes, each by its own address, while the store is down.

All are asked at once and nobody waits for one that does not answer. A node that was asked twice
does it once, and one that is told of the same rollback by the store follows that.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from changeover.domain.break_glass import BreakGlassCall
from changeover.errors import ChangeoverError
from changeover.machine import break_glass_token
from changeover.machine.http import post
from changeover.site.node_addresses import NodeAddress

ANSWER_SECONDS = 5.0
"""How long a node is waited for: it takes a second when its Envoy hangs."""
LONGEST_SECONDS = 8.0
"""After so long whatever has not answered is left, however slowly it speaks."""
MOST_SHOWN = 300


class Reached(StrEnum):
    """How it went at a node."""

    DONE = "done"
    ALREADY = "already"
    UNCONFIRMED = "unconfirmed"  # its routes lead to the baseline; Envoy was not seen to serve them
    REFUSED = "refused"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Told:
    """What came of asking one node.

    Args:
        node: Its name, or its address when nothing else is known of it.
        url: Where it was asked.
        result: How it went.
        detail: Why, or since when, in words; may be empty.
    """

    node: str
    url: str
    result: Reached
    detail: str = ""

    @property
    def is_good(self) -> bool:
        """Whether its users are certainly at the baseline."""
        return self.result in (Reached.DONE, Reached.ALREADY)

    @property
    def text(self) -> str:
        """What came of it, in words."""
        why = f": {self.detail}" if self.detail else ""
        return {
            Reached.DONE: f"{self.node}: its users are at the baseline",
            Reached.ALREADY: f"{self.node}: its users were at the baseline already{why}",
            Reached.UNCONFIRMED: f"{self.node} was asked, but is not confirmed{why}",
            Reached.REFUSED: f"{self.node} was reached and refused{why}",
            Reached.NOT_REACHED: f"{self.node} was not reached{why}",
        }[self.result]

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "is_good": self.is_good, "text": self.text}


def everywhere(nodes: Sequence[NodeAddress], call: BreakGlassCall) -> Iterator[Told]:
    """Break glass at nodes; yield what came of each as soon as it is known.

    Args:
        nodes: Which.
        call: What is said to each; the node and its migration are filled in.
    """
    if not nodes:
        return
    try:
        token, problem = break_glass_token.read(), ""
    except ChangeoverError as error:
        # the machine's own gateway and the summary must not wait for a good token
        token, problem = "", str(error)
    problem = problem or ("" if token else break_glass_token.NONE)
    answers: queue.Queue[tuple[int, Told]] = queue.Queue()

    def ask(number: int, node: NodeAddress) -> None:
        mine = replace(call, node=node.name, migration=node.migration)
        answers.put((number, _not_reached(node, problem) if problem else _told(node, mine, token)))

    for number, node in enumerate(nodes):
        # daemons: one that hangs must not keep the command from ending
        threading.Thread(target=ask, args=(number, node), daemon=True).start()
    yield from _collected(nodes, answers.get)


def _collected(
    nodes: Sequence[NodeAddress], get: Callable[..., tuple[int, Told]]
) -> Iterator[Told]:
    left = dict(enumerate(nodes))
    deadline = time.monotonic() + LONGEST_SECONDS
    while left:
        try:
            number, told = get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        del left[number]
        yield told
    for node in left.values():
        yield _not_reached(node, f"no answer within {LONGEST_SECONDS:g} s ({node.url})")


def _told(node: NodeAddress, call: BreakGlassCall, token: str) -> Told:
    import httpx  # commands that ask nobody start without it

    if not node.url:
        return _not_reached(node, "it takes no break glass from other machines (no token there)")
    try:
        answer = post(node.url, call.as_data(), timeout=ANSWER_SECONDS,
                      headers={"authorization": f"Bearer {token}"})
    except httpx.TimeoutException:
        return _not_reached(node, f"no answer within {ANSWER_SECONDS:g} s ({node.url})")
    # one that speaks something else than HTTP, too
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return _not_reached(node, f"{error or type(error).__name__} ({node.url})")
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return _not_reached(node, f"what answers is no gateway node (status {answer.status_code}, "
                            f"{node.url})")
    return _read(node, answer.status_code, found)


def _read(node: NodeAddress, status: int, found: dict[str, Any]) -> Told:
    """Return what a node's answer says; only the one that was meant can say that it is done."""
    named = replace(node, name=node.name or str(found.get("node", ""))[:63])
    error = str(found.get("error", ""))[:MOST_SHOWN]
    if status == 409:
        return Told(named.label, node.url, Reached.REFUSED, error)
    if status == 401:
        return _not_reached(named, f"its token is another one ({node.url})")
    if status != 200 or "is_served" not in found:
        return _not_reached(named, f"{error or 'what answers is no gateway node'} "
                            f"(status {status}, {node.url})")
    meant = BreakGlassCall("", "", node=node.name, migration=node.migration)
    if other := meant.why_not(str(found.get("node", "")), str(found.get("migration", ""))):
        return _not_reached(node, f"{other[:MOST_SHOWN]} ({node.url})")
    if not found["is_served"]:
        return Told(named.label, node.url, Reached.UNCONFIRMED,
                    "the routes lead to the baseline, but its Envoy does not say that it has them")
    if found.get("is_already"):
        by = f"{found.get('actor')} at {found.get('at')}: {found.get('reason')}"
        return Told(named.label, node.url, Reached.ALREADY, by[:MOST_SHOWN])
    return Told(named.label, node.url, Reached.DONE)


def _not_reached(node: NodeAddress, why: str) -> Told:
    return Told(node.label, node.url, Reached.NOT_REACHED, why)
