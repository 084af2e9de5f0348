"""The group of a migration, in every form of the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reports.as_json import render_json
from reports.render import render_html, render_markdown
from tests.core.reports.hand_made import NASTY, short


def member(name: str, order: int, **more: Any) -> dict[str, Any]:
    return {"migration": name, "order": order, "where": "gradual 25 %", "percent": 25.0,
            "stage": "gradual-25", "stands": "soaking", "is_finished": False,
            "must_follow": None, "text": "gradual 25 %, gradual-25 soaking", **more}


@pytest.mark.parametrize(("waits", "will_wait", "said"), [
    (f"gradual 50 % waits: {NASTY}", None, "Waits for its group: gradual 50 % waits"),
    (None, f"gradual 50 % waits: {NASTY}", "After this soak gradual 50 % waits"),
])
def test_a_group_is_in_every_form_with_what_is_waited_for(
    waits: str | None, will_wait: str | None, said: str
) -> None:
    """Each member with its order, where it is, and whether it has still to follow a rollback."""
    data = replace(short(), group={
        "name": "checkout", "order": 2, "waits": waits, "will_wait": will_wait,
        "members": [member("orders", 1),
                    member("shop", 2, must_follow="orders", text=f"gradual {NASTY}")]})
    page, markdown = render_html(data), render_markdown(data)
    for text in (page, markdown):
        assert "Group checkout" in text
        assert "gradual 25 %, gradual-25 soaking" in text
        assert said in text
    assert "<script>alert" not in page
    assert '"must_follow": "orders"' in render_json(data)


def test_a_migration_without_a_group_has_no_section_of_one() -> None:
    """As most are."""
    assert "Group" not in render_markdown(short())
    assert 'id="group"' not in render_html(short())
