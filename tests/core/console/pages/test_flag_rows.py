"""Flags as the page shows them: to whom they give what, and whether that is the plan's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from changeover.console.pages.flag_rows import Changed, FlagRow, rows
from changeover.flags.state import BASE, FlagState

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
CHANGED = Changed(NOW, "ann", "users asked for it")


def row(document: Any, *, planned: Any = ..., mode: str = "gradual", **safe: Any) -> FlagRow:
    """Return how a flag is shown that has a value."""
    state = FlagState("f", BASE, document, document if planned is ... else planned, 3, NOW, "ann")
    [found] = rows(
        [state], {(BASE, "f"): CHANGED}, safe=safe, mode=mode, today=date(2026, 11, 29))
    return found


@pytest.mark.parametrize(("document", "gives"), [
    (False, "false"), (6656, "6656"), ("warm", '"warm"'),
    ({"mirrors": "system"}, "copies the system that answers the user"),
    ({"rules": [{"percent": 25, "variant": "enabled"}]}, "false")])
def test_what_those_get_whom_no_rule_fits(document: Any, gives: str) -> None:
    """A value is shown as applications get it."""
    found = row(document)
    assert (found.gives, found.environment, found.drift) == (gives, "all", "")
    assert found.changed == CHANGED


def test_rules_say_who_gets_what() -> None:
    """In the order in which they are tried."""
    found = row({"rules": [
        {"segments": ["beta"], "variant": "enabled"}, {"percent": 25, "variant": "enabled"}]})
    assert found.rules == ("true to segment beta", "true to 25 % of users")


@pytest.mark.parametrize(("document", "safe", "stops"), [
    (True, {"f": False}, "false"), (True, {}, "stays as it is"),
    ({"mirrors": "system"}, {}, "follows the baseline")])
def test_what_an_emergency_makes_of_a_flag(
    document: Any, safe: dict[str, Any], stops: str
) -> None:
    """The plan's safe value is what its kill switch sets."""
    assert row(document, **safe).stops == stops


def test_a_mode_that_locks_a_flag_is_said() -> None:
    """Rules do not apply then."""
    document = {"in_modes": {"shadow": "disabled"}}
    assert row(document).locked == ""
    assert row(document, mode="shadow").locked == "everyone gets false in mode shadow"


def test_what_the_plan_says_instead_is_shown_beside_a_change_by_hand() -> None:
    """A flag that the plan has no more is drift, too."""
    planned = {"rules": [{"percent": 10, "variant": "enabled"}]}
    assert row(True, planned=planned).drift == "the plan: false; true to 10 % of users"
    assert row(True, planned=None).drift == "the plan has it no more"


def test_an_expired_flag_is_told_from_one_that_will_expire() -> None:
    """From that day on."""
    assert row({"expires": "2026-11-29", "owner": "ana"}).is_expired
    found = row({"expires": "2026-11-30"})
    assert (found.is_expired, found.expires) == (False, date(2026, 11, 30))


def test_each_environment_has_its_own_row_with_its_own_change() -> None:
    """What an environment inherits stands once, under all."""
    states = [FlagState("f", environment, True, True, 1, NOW, "plan")
              for environment in ("prod", BASE)]
    found = rows(states, {("prod", "f"): CHANGED}, safe={}, mode="shadow", today=NOW.date())
    assert [each.environment for each in found] == ["all", "prod"]
    assert [each.changed for each in found] == [None, CHANGED]
