"""Hooks of stages in a plan: what they may say, what is refused, what people are told."""

from __future__ import annotations

import pytest

from changeover.plan import rules
from changeover.plan.amending import changes, hook_refusals, refusals
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.schema import plan_schema
from tests.core.plan.test_load import GOOD, editors_schema, problems

PARTS = """
flags: {new: false}
rollback: {safe_flags: {new: false}}
levers:
  up: {of: candidate, post: /up}
  down: {of: candidate, post: /down}
suites:
  smoke: [{kind: http, path: /health}]
  steady: [{kind: load, paths: [/a, /b], rates: [5]}, {kind: soak, paths: [/b, /c]}]
"""
STAGE = "{percent: 50, soak: 1h}"
FITTING = """{before: [{lever: up, undo: down}, {suite: smoke, retries: 3, retry_after: 1m}],
        during: [{load: steady, rate: 2.5, of: gateway}], after: [{suite: smoke}]}"""


def text_with(hooks: str) -> str:
    """Return a plan's text whose second gradual stage has hooks."""
    assert STAGE in GOOD
    return GOOD.replace(STAGE, f"{{percent: 50, soak: 1h, hooks: {hooks}}}") + PARTS


def plan_with(hooks: str) -> Plan:
    return parse_plan(text_with(hooks), "x")


def test_a_stage_has_its_hooks_and_no_other_stage_has_them() -> None:
    """In order, with what undoes them."""
    plan = plan_with(FITTING)
    hooks = plan.stage("gradual-50").hooks
    assert [each.title for each in hooks.before] == ["lever up", "suite smoke"]
    assert [each.undone_by for each in hooks.before] == ["down", ""]
    assert hooks.text == (
        "before lever up (undo down), suite smoke; during load steady at 2.5/s to the gateway; "
        "after suite smoke")
    others = [each.hooks.text for each in plan.stages() if each.key != "gradual-50"]
    assert others == ["", "", ""]


@pytest.mark.parametrize(("hooks", "expected"), [
    ("{befor: []}", "phases[1].stages[1].hooks.befor: 'befor' is unknown, did you mean 'before'?; "
     "allowed are after, before, during"),
    ("{before: [{}]}", "exactly one of `lever`, `suite` and `flags` is required"),
    ("{before: [{lever: up, undo: down, suite: smoke}]}", "exactly one of `lever`, `suite`"),
    ("{before: [{suite: smoke, flags: {new: true}}]}", "exactly one of `lever`, `suite`"),
    ("{after: [{flags: {new: true}, undo: down}]}", "a rollback gives flags their safe values"),
    ("{after: [{flags: {}}]}", "at least 1 item"),
    ("{after: [{flags: {other: true}}]}", "flag 'other' has no value in rollback.safe_flags"),
    ("{after: [{flags: {new: 3}}]}",
     "3 is a number, in rollback.safe_flags flag 'new' is a boolean"),
    ("{before: [{lever: up}]}", "needs `undo`: the lever by which a rollback undoes it, or `none`"),
    ("{after: [{suite: smoke, undo: down}]}", "`undo` belongs to a `lever`"),
    ("{before: [{load: steady}]}", "'load' is unknown; allowed are flags, lever, retries, "
     "retry_after, suite, undo"),
    ("{before: [{lever: upp, undo: down}]}", "lever 'upp' is not defined; defined are up, down"),
    ("{before: [{lever: up, undo: dwn}]}", "hooks.before[0].undo: lever 'dwn' is not defined"),
    ("{after: [{suite: smok}]}", "suite 'smok' is not defined; defined are smoke, steady"),
    ("{after: [{suite: smoke, retries: -1}]}", "greater than or equal to 0"),
    ("{after: [{suite: smoke, retries: 21}]}", "less than or equal to 20"),
    ("{after: [{suite: smoke, retry_after: soon}]}", "'soon' is not a duration"),
    ("{after: [{suite: smoke, retry_after: 2d}]}",
     "retry_after 2d is too long; allowed are 0s to 1d"),
    ("{during: [{load: smoke}]}", "suite 'smoke' has no check of kind load or soak"),
    ("{during: [{load: sted}]}", "suite 'sted' is not defined"),
    ("{during: [{rate: 3}]}", "hooks.during[0].load: is required but missing"),
    ("{during: [{load: steady, rate: 0}]}", "greater than 0"),
    ("{during: [{load: steady, rate: 1001}]}", "less than or equal to 1000"),
    ("{during: [{load: steady, of: everyone}]}", "allowed are baseline, candidate, gateway"),
    ("{during: [{load: steady, measured: true}]}", "`measured: true` needs `of: gateway`"),
    ("{during: [{suite: smoke}]}", "'suite' is unknown; allowed are load, measured, of, rate"),
])
def test_a_wrong_hook_is_refused_once_with_line_and_what_is_allowed(
    hooks: str, expected: str
) -> None:
    """One message for each key; nothing else is said."""
    (found,) = [each for each in problems(text_with(hooks)) if expected in each] or [""]
    assert found, problems(text_with(hooks))
    assert "line 13" in found


def test_a_hook_may_set_flags() -> None:
    """For everyone, after the gate; it says so wherever hooks are shown."""
    plan = plan_with("{after: [{flags: {new: true}}]}")
    (hook,) = plan.stage("gradual-50").hooks.after
    assert (hook.flags, hook.undone_by) == ({"new": True}, "")
    assert plan.stage("gradual-50").hooks.text == "after flags new"


def test_hooks_belong_to_stages_and_not_to_whole_phases_of_several() -> None:
    """`gradual` has stages, each with hooks of its own; `deprecation` has levers."""
    text = text_with("{}").replace("phase: gradual,", "phase: gradual, hooks: {after: []},")
    assert any("phase gradual does not have hooks" in each for each in problems(text))


def test_a_lever_may_not_be_called_none() -> None:
    """`undo: none` must not mean two things."""
    text = text_with("{}").replace("  up: {of", "  none: {of")
    assert any("no lever may be called 'none'" in each for each in problems(text))


def test_what_is_not_undone_and_what_counts_as_users_is_said() -> None:
    """`plan check` shows it as notes."""
    plan = plan_with("{before: [{lever: up, undo: none}],"
                     " during: [{load: steady, of: gateway, measured: true}]}")
    notes = rules.warnings(plan)
    assert "stage gradual 50 %: a rollback does not undo lever up" in notes
    assert any("counts as users' requests" in each for each in notes)
    limited = text_with("{during: [{load: steady}]}").replace("name: new,",
                                                              "name: new, concurrency: 2,")
    assert any("takes some of the 2 requests at once" in each
               for each in rules.warnings(parse_plan(limited, "x")))
    assert not [each for each in rules.warnings(plan_with(FITTING)) if "lever" in each]


def test_editors_complete_hooks() -> None:
    """The JSON schema has them, with what each key means."""
    defined = plan_schema()["$defs"]
    assert {"HooksSpec", "HookSpec", "LoadSpec"} <= set(defined)
    assert editors_schema().is_valid({
        **plan_with(FITTING).model_dump(mode="json", by_alias=True, exclude_none=True)})


def test_hooks_of_later_stages_may_be_amended_and_those_of_stages_that_ran_may_not() -> None:
    """Entered, or only begun: both ran."""
    old, new = plan_with(FITTING), plan_with("{after: [{suite: smoke}]}")
    assert refusals(old, new, ["beta-5", "gradual-10"]) == []
    assert hook_refusals(old, new, []) == []
    assert any("gradual-50" in each and "lever up" not in each for each in hook_refusals(
        old, new, ["gradual-50"]))
    assert any("hooks of stage gradual-50 cannot be changed: it was entered" in each
               for each in refusals(old, new, ["beta-5", "gradual-10", "gradual-50"]))
    told = changes(old, new)
    assert "phases[gradual].stages[50%].hooks.before[up]: removed" in told[0]


def test_the_first_load_cannot_be_amended_into_a_running_cutover() -> None:
    """Nothing would offer it; a further one can."""
    none, one = plan_with("{}"), plan_with("{during: [{load: steady}]}")
    more = plan_with("{during: [{load: steady}, {load: steady, of: gateway}]}")
    assert any("cannot be added" in each for each in hook_refusals(none, one, []))
    assert hook_refusals(one, more, []) == []
    assert hook_refusals(one, none, []) == []
