"""What an open page is told: everything once, then only what is different."""

from __future__ import annotations

import json
from typing import Any

from changeover.console.pages.live import Channel
from changeover.console.pages.rendering import Rendered


def told(channel: Channel, since: int = 0) -> dict[str, Any]:
    """Return what a page is told that has seen the change `since`."""
    text = channel.since(since).decode()
    assert text.startswith("event: look\ndata: ")
    assert text.endswith("\n\n")
    return json.loads(text.removeprefix("event: look\ndata: "))


def rendered(at: float, **sections: str) -> Rendered:
    return Rendered(at, at - 1, sections, {"share": {"values": [at]}})


def test_first_everything_then_what_changed() -> None:
    """A section that is as before is not sent again; a chart whose values moved is."""
    channel = Channel("overview", "1h")
    channel.take(rendered(1, now="5 %", rail="beta"))
    assert told(channel)["sections"] == {"now": "5 %", "rail": "beta"}
    seen = channel.number
    channel.take(rendered(2, now="10 %", rail="beta"))
    found = told(channel, seen)
    assert found["sections"] == {"now": "10 %"}
    assert found["charts"] == {"share": {"values": [2]}}
    assert (found["at"], found["measured_at"], found["problem"]) == (2, 1, "")


def test_a_page_that_was_slow_gets_all_changes_at_once() -> None:
    """Two looks that it missed are one event with the newest of each section."""
    channel = Channel("overview", "1h")
    channel.take(rendered(1, now="5 %", rail="beta"))
    seen = channel.number
    channel.take(rendered(2, now="10 %", rail="beta"))
    channel.take(rendered(3, now="10 %", rail="gradual"))
    assert told(channel, seen)["sections"] == {"now": "10 %", "rail": "gradual"}


def test_a_store_that_is_away_is_said_and_what_was_seen_stays() -> None:
    """Nothing is sent again for it; the next look that works takes the sentence back."""
    channel = Channel("overview", "1h")
    channel.take(rendered(1, now="5 %"))
    seen = channel.number
    channel.fail("the database does not answer")
    found = told(channel, seen)
    assert (found["problem"], found["sections"]) == ("the database does not answer", {})
    # a page that is opened meanwhile shows what is known
    assert told(channel)["sections"] == {"now": "5 %"}
    channel.take(rendered(2, now="5 %"))
    assert told(channel, channel.number - 1)["problem"] == ""


def test_pages_that_look_at_the_same_share_one_event() -> None:
    """Fifty open pages cost one rendering and one encoding."""
    channel = Channel("overview", "1h")
    channel.take(rendered(1, now="5 %"))
    assert channel.since(0) is channel.since(0)
