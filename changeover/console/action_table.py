"""The table of actions: when each is possible, what it asks, and what it would do. Pure."""

from __future__ import annotations

from dataclasses import replace

from changeover.console import effects
from changeover.console.actions import Action, Field, Group, Situation, Values, named, one, skips
from changeover.domain import going_back, routing
from changeover.domain.rollout import ANSWERS
from changeover.domain.routing import Change, Mode
from changeover.errors import InvalidInput
from changeover.plan.units import format_duration, parse_percent
from changeover.plan.until import FORMS, longer_by, parse_until


def _no_cutover(situation: Situation) -> str:
    return "no cutover runs" if situation.cutover is None else ""


def _not_soaking(situation: Situation) -> str:
    return _no_cutover(situation) or ("" if situation.soaking else "no stage soaks now")


def _back_closed(situation: Situation) -> str:
    if situation.state.mode is Mode.EMERGENCY_ROLLBACK:
        return "everybody is rolled back already"
    return ""


_MODES = {
    Mode.BASELINE_ONLY: "the baseline alone", Mode.SHADOW: "copies to the candidate",
    Mode.PARALLEL: "both process, the baseline has effects",
    Mode.GRADUAL: "a percentage to the candidate", Mode.CANDIDATE_ONLY: "the candidate alone",
}


def _mode_closed(situation: Situation) -> str:
    if situation.cutover is not None:
        return f"cutover {situation.cutover.id} decides by its gates"
    return "" if _modes(situation) else f"from {situation.state.mode} no mode is entered by hand"


def _modes(situation: Situation) -> list[tuple[str, str]]:
    state = situation.state
    if state.mode is Mode.EMERGENCY_ROLLBACK:
        return []  # it is ended by an action of its own, by a person who looked
    return [(str(mode), words) for mode, words in _MODES.items()
            if mode in routing.TRANSITIONS[state.mode]]


def _mode_entered(situation: Situation, values: Values) -> list[str]:
    state, mode, text = situation.state, Mode(values["mode"]), values.get("percent", "")
    if text and mode is not Mode.GRADUAL:
        raise InvalidInput(f"mode {mode} has no percentage", where="percent", allowed="gradual")
    if mode is Mode.GRADUAL and not text:
        return ["The plan's next stage gets its share of users, without its gate."]
    try:
        weight = int(parse_percent(text) * 100) if text else None
    except ValueError as error:
        raise InvalidInput(str(error), where="percent") from None
    wanted = Mode.CANDIDATE_ONLY if weight == routing.BUCKETS else mode
    after = routing.apply(state, Change(mode=wanted, weight=weight))
    return [*effects.moved(situation.traffic, state, after),
            "No gate is asked; triggers go on watching."]


_SCOPES = {
    going_back.ALL: "everyone, at once",
    going_back.STEPS: "everyone, in the plan's steps",
    going_back.STAGE: "one stage",
}


def _scopes(situation: Situation) -> list[tuple[str, str]]:
    found = []
    for scope in going_back.scopes(situation.plan):
        kind, _, name = scope.partition(":")
        found.append((scope, _SCOPES.get(scope, f"{kind} {name}")))
    return found


def _rolled_back(situation: Situation, values: Values) -> list[str]:
    scope, state = values.get("scope", going_back.ALL), situation.state
    if scope in (going_back.ALL, going_back.STEPS):
        change = Change(mode=Mode.EMERGENCY_ROLLBACK)
    else:
        # what it would leave, by the very rule that does it; refused here as there
        change = going_back.smaller(situation.plan, state, scope).change
    lines = effects.moved(situation.traffic, state, routing.apply(state, change))
    return lines + _after(situation, scope)


def _after(situation: Situation, scope: str) -> list[str]:
    """Return what follows a rollback besides the traffic."""
    plan, cutover = situation.plan, situation.cutover
    named = f"cutover {cutover.id}" if cutover else ""
    if scope not in (going_back.ALL, going_back.STEPS):
        again = f"The running {named} soaks its stage again with fewer users and asks people."
        return [again] if cutover else []
    lines = []
    if scope == going_back.STEPS and plan.rollback.return_ is not None:
        spec = plan.rollback.return_
        over = format_duration(spec.over)
        lines.append(f"Users return in {spec.steps} steps over {over}.")
    if cutover:
        lines.append(f"The running {named} ends as rolled back.")
    if plan.rollback.safe_flags:
        lines.append(f"Flags get their safe values: {', '.join(plan.rollback.safe_flags)}.")
    return [*lines, "Clean-up, undoing of hooks, analysis and verification follow by themselves."]


def _answers(situation: Situation) -> list[tuple[str, str]]:
    words = {
        "promote": "promote: go on", "hold": "hold: soak the stage again",
        "rollback": "rollback: send everyone back"}
    return [(str(each), words[str(each)]) for each in ANSWERS]


def _answered(situation: Situation, values: Values) -> list[str]:
    asked = situation.asked
    if asked is None:
        return []
    decision = values.get("decision")
    if decision == "rollback":
        return _rolled_back(situation, {"scope": going_back.ALL})
    if decision == "hold":
        return [f"{asked.stage} soaks again, and people are asked anew. No user is moved."]
    return [f"You agree about {asked.stage}.", *_next(situation)]


def _next(situation: Situation) -> list[str]:
    """Return whom the stage after the one that is asked about moves."""
    stages = situation.plan.stages()
    asked = situation.asked
    keys = [each.key for each in stages]
    if asked is None or asked.stage not in keys:
        return ["The question says what follows."]
    rest = stages[keys.index(asked.stage) + 1:]
    if not rest:
        return ["It is the last stage: no user is moved."]
    then = rest[0]
    mode = Mode.CANDIDATE_ONLY if then.weight == routing.BUCKETS else Mode.GRADUAL
    after = replace(
        situation.state, mode=mode, weight=then.weight,
        segments=then.segments if mode is Mode.GRADUAL else ())
    lines = effects.moved(situation.traffic, situation.state, after)
    return [f"When enough people agree, {then.title} follows.", *lines]


def _question(situation: Situation, _values: Values) -> str:
    return str(situation.asked.id) if situation.asked else ""


def _soak(situation: Situation, _values: Values) -> str:
    return named(situation.soaking) if situation.soaking else ""


def _paused(situation: Situation, _values: Values) -> list[str]:
    key = situation.soaking.key if situation.soaking else "the present stage"
    return [f"Nothing is promoted, and {key} does not soak. No user is moved.",
            "Triggers go on watching; a rollback is possible at any time."]


def _resumed(situation: Situation, _values: Values) -> list[str]:
    pause = situation.pause
    since = f"{pause.at:%F %T} UTC by {pause.actor}" if pause else "before"
    return [f"The cutover goes on; it is paused since {since}.",
            "What was left of the soak is still left."]


def _pause(situation: Situation, _values: Values) -> str:
    pause = situation.pause
    return one(pause.actor, pause.at, pause.reason) if pause else ""


def _freeze(situation: Situation, _values: Values) -> str:
    freeze = situation.freeze
    return one(freeze.at, freeze.text) if freeze else ""


def _epoch(situation: Situation, _values: Values) -> str:
    # a later emergency is another one, which nobody has looked at yet
    return str(situation.state.epoch)


def _version(situation: Situation, _values: Values) -> str:
    return str(situation.state.version)


def _maintenance(situation: Situation, _values: Values) -> str:
    return one(situation.state.maintenance_reason)


def _extended(situation: Situation, values: Values) -> list[str]:
    by, soaking = longer_by(values["duration"], where="duration"), situation.soaking
    if soaking is None:
        return []
    ends = max(soaking.soak_until, situation.now) + by
    until = f"{soaking.soak_until:%F %T}"
    return [f"{soaking.key} soaks until {ends:%F %T} UTC instead of {until}. No user is moved."]


def _promoted(situation: Situation, _values: Values) -> list[str]:
    soaking = situation.soaking
    if soaking is None:
        return []
    needed = max(1, situation.plan.stage(soaking.key).approvers)
    left = max(soaking.soak_until - situation.now, situation.now - situation.now)
    return [
        f"The soak of {soaking.key} ends {format_duration(left)} early; "
        f"{needed} must agree.",
        "Its gate is judged at once: a check that fails rolls everyone back."]


def _stages(situation: Situation) -> list[tuple[str, str]]:
    return [(each.key, each.title) for each in situation.ahead]


def _left_out(situation: Situation, values: Values) -> list[str]:
    stage = situation.plan.stage(values["stage"])
    following = situation.plan.stages()[stage.index + 1]
    lines = [f"{stage.title} is left out; {max(1, stage.approvers)} must agree. "
             f"{following.title} comes in its place. No user is moved now."]
    if stage.hooks.text:
        lines.append(f"Its hooks do not run: {stage.hooks.text}.")
    return lines


def _skip(situation: Situation, values: Values) -> str:
    cutover = situation.cutover
    return skips(cutover, values.get("stage", "")) if cutover else ""


def _closed_for_users(situation: Situation, _values: Values) -> list[str]:
    return ["Every user gets 503 with your reason, on both systems.",
            effects.everyone(situation.traffic)]


def _open_for_users(situation: Situation, _values: Values) -> list[str]:
    return ["Users are let through again.", effects.everyone(situation.traffic)]


def _frozen(situation: Situation, values: Values) -> list[str]:
    text, until = values.get("until", ""), "until somebody ends it"
    if text:
        until = f"until {parse_until(text, situation.now, where='until'):%F %T} UTC"
    return [f"Nobody is moved to the candidate {until}; stages soak on.",
            "A rollback is possible at any time."]


def _thawed(situation: Situation, _values: Values) -> list[str]:
    known = situation.freeze.text if situation.freeze else ""
    return [f"Ends: {known}.", "A cutover that waited for it goes on."]


def _flags(situation: Situation) -> list[tuple[str, str]]:
    return [(name, name) for name in situation.flags]


def _flag_changed(situation: Situation, values: Values) -> list[str]:
    try:
        share = float(parse_percent(values["percent"]))
    except ValueError as error:
        raise InvalidInput(str(error), where="percent") from None
    flag = situation.flags[values["flag"]]
    variant = values.get("variant") or "its other variant"
    lines = [f"{share:g} % of all users get {variant} of {flag.name}; its other rules stay."]
    if not situation.traffic.is_known:
        return [*lines, effects.UNKNOWN]
    users = situation.traffic.total.users.part(share / 100)
    return [*lines, f"Of those at the gateway that would be {users.text} "
            f"{situation.traffic.per}."]


def _flag_version(situation: Situation, values: Values) -> str:
    flag = situation.flags.get(values.get("flag", ""))
    return str(flag.version) if flag else ""


def _recovered(_situation: Situation, _values: Values) -> list[str]:
    return ["The emergency ends: everybody stays at the baseline, and a new cutover may begin.",
            "Flags stay as the rollback set them."]


_SCOPE = Field("scope", "What goes back", _scopes)
_DECISION = Field("decision", "Your answer", _answers)

ACTIONS = (
    Action(
        "emergency", "Emergency rollback", Group.BACK, _back_closed, _rolled_back,
        is_danger=True),
    Action(
        "rollback", "Roll back", Group.BACK, _back_closed, _rolled_back, (_SCOPE,),
        is_danger=True),
    Action(
        "mode", "Change the mode", Group.EVERYONE, _mode_closed, _mode_entered,
        (Field("mode", "Mode", _modes),
         Field("percent", "Percent of users", hint="in gradual; empty: the plan's next stage",
               is_needed=False)), seen=_version, is_danger=True),
    Action(
        "recover", "End the emergency rollback", Group.BACK,
        lambda now: "" if _back_closed(now) else "nothing is rolled back", _recovered,
        seen=_epoch),
    Action(
        "answer", "Answer the question", Group.CUTOVER,
        lambda now: "" if now.asked else "nothing waits for an approval", _answered,
        (_DECISION,), seen=_question),
    Action(
        "pause", "Pause", Group.CUTOVER,
        lambda now: _no_cutover(now) or ("it is paused already" if now.pause else ""), _paused),
    Action(
        "resume", "Resume", Group.CUTOVER,
        lambda now: _no_cutover(now) or ("" if now.pause else "it is not paused"), _resumed,
        seen=_pause),
    Action(
        "extend", "Extend the soak", Group.CUTOVER, _not_soaking, _extended,
        (Field("duration", "Longer by", hint="as 4h or 2d"),), seen=_soak),
    Action(
        "promote-now", "Promote now", Group.CUTOVER, _not_soaking, _promoted, seen=_soak),
    Action(
        "skip-stage", "Leave out a stage", Group.CUTOVER,
        lambda now: _no_cutover(now) or ("" if now.ahead else "no stage can be left out now"),
        _left_out, (Field("stage", "Stage", _stages),), seen=_skip),
    Action(
        "maintenance-on", "Maintenance on", Group.EVERYONE,
        lambda now: "it is on already" if now.state.maintenance else "", _closed_for_users,
        is_danger=True),
    Action(
        "maintenance-off", "Maintenance off", Group.EVERYONE,
        lambda now: "" if now.state.maintenance else "it is off", _open_for_users,
        seen=_maintenance),
    Action(
        "freeze", "Freeze", Group.EVERYONE, lambda _now: "", _frozen,
        (Field("until", "Until", hint=f"{FORMS}; empty: until somebody ends it",
               is_needed=False),)),
    Action(
        "unfreeze", "Unfreeze", Group.EVERYONE,
        lambda now: "" if now.freeze else "nothing is frozen", _thawed,
        seen=_freeze),
    Action(
        "flag", "A flag's percentage", Group.EVERYONE,
        lambda now: "" if now.flags else "the plan has no flags", _flag_changed,
        (Field("flag", "Flag", _flags), Field("percent", "Percent of users", hint="0 to 100"),
         Field("variant", "Variant", hint="empty: the one besides its default",
               is_needed=False)), seen=_flag_version),
)
BY_NAME = {each.name: each for each in ACTIONS}
