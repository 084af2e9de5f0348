"""Flags in the store: history, drift, inheritance, and who wins when two write at once."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.errors import FlagChanged, InvalidInput
from changeover.flags.by_hand import with_percent, with_value
from changeover.flags.evaluate import Evaluator
from changeover.flags.state import FlagEdit, FlagState, NewValues
from changeover.plan.flags import as_document
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.store import audit, flags, plans, routing
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support.meanwhile import meanwhile
from tests.support.processes import LONGEST_PAUSE

FORK = multiprocessing.get_context("spawn")
FLAGS = """\
flags:
  enable_ai: false
  log_level: WARNING
  ocr:
    variants: {cloud: cloud-ocr, open: open-ocr}
    default: cloud
    rules: [{percent: 10, variant: open}]
  useNew: {mirrors: system, variants: {baseline: false, candidate: true}}
"""
ENVIRONMENTS = """\
environments:
  testing: {flags: {enable_ai: true, log_level: null}}
  production: {}
"""


def shop(text: str = FLAGS, environment: str | None = None) -> Plan:
    """Return the plan with flags."""
    return parse_plan(GOOD + text, "test", environment)


@pytest.fixture
def followed(store: Store) -> Store:
    """A store that follows the plan's flags, environments included."""
    plan = shop(FLAGS + ENVIRONMENTS)
    plans.register(store, plan, source="test", now=now())
    flags.follow_plan(store, plan, now=now())
    return store


def by_hand(store: Store, name: str, value: Any, **more: Any) -> FlagState:
    """Change a flag as a person."""
    return flags.change(
        store, "shop",
        FlagEdit(name, lambda flag: as_document(with_value(name, flag.entry, value)), **more),
        Author("ana", "a try"), now=now())


def test_flags_are_those_of_the_plan_at_first(followed: Store) -> None:
    """Loaded from the plan, nothing drifts, and the first value is in the history."""
    assert flags.values(followed, "shop") == {
        "enable_ai": False, "log_level": "WARNING", "ocr": "cloud-ocr", "useNew": None}
    assert flags.drift(followed, "shop") == {}
    (first,) = flags.history(followed, "shop", "enable_ai", environment="production")
    assert (first["actor"], first["old"], first["new"]) == ("plan", None, False)


def test_environments_inherit_what_they_do_not_say(followed: Store) -> None:
    """An environment has its own values, those of all environments, and not what it took away."""
    assert flags.values(followed, "shop", "testing") == {
        "enable_ai": True, "ocr": "cloud-ocr", "useNew": None}
    assert flags.values(followed, "shop", "production") == flags.values(followed, "shop")
    by_hand(followed, "ocr", "open-ocr")
    assert flags.values(followed, "shop", "testing")["ocr"] == "open-ocr"


def test_change_in_one_environment_leaves_the_others(followed: Store) -> None:
    """Who changes testing changes testing only, and it shows as testing's drift only."""
    by_hand(followed, "ocr", "open-ocr", environment="testing")
    assert flags.values(followed, "shop", "testing")["ocr"] == "open-ocr"
    assert flags.values(followed, "shop")["ocr"] == "cloud-ocr"
    assert list(flags.drift(followed, "shop", "testing")) == ["ocr"]
    assert flags.drift(followed, "shop") == {}


@pytest.mark.parametrize("environment", [None, "testing"])
def test_plan_gives_the_same_flags_whichever_way_it_is_loaded(
    store: Store, environment: str | None
) -> None:
    """`up --env testing` and `up` keep the same flags for testing."""
    flags.follow_plan(store, shop(FLAGS + ENVIRONMENTS, environment), now=now())
    assert flags.values(store, "shop", "testing") == {
        "enable_ai": True, "ocr": "cloud-ocr", "useNew": None}


def test_change_by_hand_survives_the_plan_and_shows_as_drift(followed: Store) -> None:
    """Neither the same plan nor a new one overwrites what a person decided."""
    by_hand(followed, "log_level", "DEBUG")
    for text in (FLAGS, FLAGS.replace("WARNING", "ERROR")):
        flags.follow_plan(followed, shop(text + ENVIRONMENTS), now=now())
        assert flags.values(followed, "shop")["log_level"] == "DEBUG"
    assert flags.drift(followed, "shop") == {"log_level": ("ERROR", "DEBUG")}


def test_registered_plan_gives_the_same_documents_as_its_file(followed: Store) -> None:
    """What went through the store does not look like a change by hand."""
    flags.follow_plan(followed, plans.load(followed, "shop"), now=now())
    assert flags.drift(followed, "shop") == flags.drift(followed, "shop", "testing") == {}
    assert all(flag.version == 1 for flag in flags.read(followed, "shop").values())


def test_changed_plan_changes_what_nobody_touched(followed: Store) -> None:
    """Without a change by hand the plan is what holds, and the history says so."""
    flags.follow_plan(followed, shop(FLAGS.replace("percent: 10", "percent: 25")), now=now())
    found = flags.history(followed, "shop", "ocr")[-1]
    assert (found["actor"], found["new"]["rules"]) == (
        "plan", [{"percent": "25%", "variant": "open"}])


def test_flag_that_the_plan_drops_is_removed_unless_a_person_changed_it(followed: Store) -> None:
    """What nobody wants any more goes; a decision of a person stays and drifts."""
    by_hand(followed, "log_level", "DEBUG")
    flags.follow_plan(followed, shop("flags: {enable_ai: false}\n" + ENVIRONMENTS), now=now())
    assert flags.values(followed, "shop") == {"enable_ai": False, "log_level": "DEBUG"}
    assert flags.drift(followed, "shop") == {"log_level": (None, "DEBUG")}
    assert flags.history(followed, "shop", "ocr")[-1]["new"] is None


def test_change_says_who_when_why_old_and_new(followed: Store) -> None:
    """A flag's history is complete, and the audit has the change, too."""
    by_hand(followed, "ocr", "open-ocr")
    last = flags.history(followed, "shop", "ocr")[-1]
    assert (last["actor"], last["reason"], last["old"]["default"], last["new"]["default"]) == (
        "ana", "a try", "cloud", "open")
    assert last["at"].tzinfo is not None
    assert audit.events(followed, "shop")[-1].kind == "flag.changed"
    assert audit.verify(followed, "shop") == []


def test_second_writer_of_the_same_version_is_refused(followed: Store) -> None:
    """Optimistic locking: who looked at an older version hears who came first."""
    by_hand(followed, "log_level", "DEBUG", expected_version=1)
    with pytest.raises(FlagChanged, match="meanwhile by ana: it is at version 2, not 1"):
        by_hand(followed, "log_level", "ERROR", expected_version=1)
    assert flags.values(followed, "shop")["log_level"] == "DEBUG"


def _race(url: str, number: int) -> bool:
    store = Store.open(url, timeout=LONGEST_PAUSE)
    try:
        by_hand(store, "log_level", f"LEVEL{number}", expected_version=1)
        return True
    except FlagChanged:
        return False
    finally:
        store.close()


@pytest.mark.integration
def test_of_many_writers_exactly_one_wins(followed: Store, store_url: str) -> None:
    """Eight processes change the same version: one does, the others are told."""
    with FORK.Pool(4) as pool:
        won = pool.starmap(_race, [(store_url, number) for number in range(8)])
    assert won.count(True) == 1
    assert flags.values(followed, "shop")["log_level"] == f"LEVEL{won.index(True)}"
    assert len(flags.history(followed, "shop", "log_level", environment="")) == 2


def test_reset_brings_back_what_the_plan_says(followed: Store) -> None:
    """Drift ends when a person says so."""
    by_hand(followed, "ocr", "open-ocr")
    flags.change(
        followed, "shop", FlagEdit("ocr", flags.to_plan), Author("ana", "done"), now=now())
    assert flags.drift(followed, "shop") == {}


@pytest.mark.parametrize(("name", "value", "problem"), [
    ("nope", True, "there is no flag 'nope'"),
    ("log_level", 3, "3 is a number, flag log_level is a string"),
    ("enable_ai", float("nan"), "every language can read"),
])
def test_change_that_does_not_fit_is_refused(
    followed: Store, name: str, value: Any, problem: str
) -> None:
    """A flag keeps its kind, and a name must exist."""
    with pytest.raises(InvalidInput, match=problem):
        by_hand(followed, name, value)


def test_safe_flags_are_set_whatever_stands_there(followed: Store) -> None:
    """A rollback ends the rules of a flag, and is not held up by a flag of another kind."""
    changed = flags.set_values(
        followed, "shop", NewValues({"ocr": "cloud-ocr", "log_level": False, "unheard_of": False}),
        Author("observer", "rollback 1"), now=now())
    assert changed == ["ocr", "log_level", "unheard_of"]
    assert flags.read(followed, "shop")["ocr"].document["default"] == "cloud"
    assert "rules" not in flags.read(followed, "shop")["ocr"].document
    assert flags.set_values(
        followed, "shop", NewValues({"unheard_of": False}), Author("observer", "again"),
        now=now()) == []


@pytest.mark.parametrize("is_by_hand", [False, True], ids=["as planned", "changed by hand"])
def test_flag_that_mirrors_the_migration_mirrors_it_again_after_a_rollback(
    followed: Store, is_by_hand: bool
) -> None:
    """Rolled back, recovered, and moved anew: the flag says what the gateway does, each time."""
    plan = shop(FLAGS + ENVIRONMENTS + "rollback: {safe_flags: {useNew: false, ocr: cloud-ocr}}\n")
    plans.register(followed, plan, source="test", now=now())
    move(followed, Mode.GRADUAL, weight=10_000)
    if is_by_hand:
        by_hand(followed, "useNew", True)
    seen = []
    for mode in (Mode.EMERGENCY_ROLLBACK, Mode.BASELINE_ONLY, Mode.GRADUAL):
        move(followed, mode, weight=10_000)
        if mode is Mode.EMERGENCY_ROLLBACK:
            flags.set_values(
                followed, "shop", NewValues(plan.rollback.safe_flags, may_mirror=True),
                Author("observer", "rollback 1"), now=now())
        evaluator = Evaluator(flags.snapshot(followed, "shop"))
        seen.append([evaluator.evaluate(name, "user-7").value
                     for name in ("changeover.system", "useNew", "ocr")])
    assert seen == [["baseline", False, "cloud-ocr"], ["baseline", False, "cloud-ocr"],
                    ["candidate", True, "cloud-ocr"]]
    assert list(flags.drift(followed, "shop")) == ["ocr"]


def move(store: Store, mode: Mode, **more: Any) -> None:
    """Change the routing state as a person."""
    routing.change(
        store, "shop", Change(mode=mode, is_by_person=True, **more), Author("t", "t"), now=now())


@pytest.mark.parametrize("rule", ["segments: [beta]", "when: {plan: gold}"])
def test_percentage_by_hand_is_of_all_users(rule: str) -> None:
    """A rule for some users keeps its own percentage; the one for everyone comes after it."""
    plan = shop(f"flags: {{f: {{rules: [{{{rule}, percent: 50, variant: enabled}}]}}}}\n")
    once = with_percent("f", plan.flags["f"], "20")
    assert [str(one.percent) for one in once.rules] == ["50", "20"]
    again = with_percent("f", once, "100")
    assert [str(one.percent) for one in again.rules] == ["50", "100"]
    assert once.rules[0] == again.rules[0]


def test_percentage_is_changed_by_hand(followed: Store) -> None:
    """A roll-out grows by one command, for boolean flags without any rule, too."""
    for name, percent in (("ocr", "30"), ("enable_ai", "0.5%")):
        def wish(flag: FlagState, percent: str = percent) -> Any:
            return as_document(with_percent(flag.name, flag.entry, percent))

        flags.change(followed, "shop", FlagEdit(name, wish), Author("ana", "more"), now=now())
    documents = {name: flag.document for name, flag in flags.read(followed, "shop").items()}
    assert documents["ocr"]["rules"] == [{"percent": "30%", "variant": "open"}]
    assert documents["enable_ai"] == {
        "default": "disabled", "rules": [{"percent": "0.5%", "variant": "enabled"}]}


def test_marker_changes_with_every_change_and_only_then(followed: Store) -> None:
    """Who asks for the marker knows whether to read anew."""
    seen = [flags.marker(followed, "shop")]
    assert flags.snapshot(followed, "shop").etag == seen[0]
    by_hand(followed, "log_level", "DEBUG")
    seen.append(flags.marker(followed, "shop"))
    routing.change(followed, "shop", Change(mode=Mode.SHADOW), Author("t", "t"), now=now())
    seen.append(flags.marker(followed, "shop"))
    assert len(set(seen)) == 3
    assert flags.marker(followed, "shop") == seen[-1]


def test_plan_registered_while_a_snapshot_is_read_is_found_at_the_next_look(
    followed: Store, store_url: str
) -> None:
    """Whatever changes between two reads, an etag never marks something older than itself.

    1. The plan has been read. 2. `up` registers another one. 3. The snapshot is complete.
    """
    newer, other = shop(FLAGS + "rollback: {safe_flags: {late: true}}\n"), Store.open(store_url)

    with meanwhile("migration.registered_at", lambda: plans.register(
            other, newer, source="meanwhile", now=now())):
        torn = flags.snapshot(followed, "shop")
    assert "late" not in torn.safe_flags
    assert torn.etag != flags.marker(followed, "shop")
    assert "late" in flags.snapshot(followed, "shop").safe_flags
    other.close()


def test_snapshot_evaluates_what_holds(followed: Store) -> None:
    """Flags and routing together give the answers."""
    routing.change(
        followed, "shop", Change(mode=Mode.GRADUAL, weight=10_000), Author("t", "t"), now=now())
    evaluator = Evaluator(flags.snapshot(followed, "shop"))
    assert evaluator.value("useNew", False, "anyone") is True
    assert evaluator.value("log_level", "", "anyone") == "WARNING"
