"""Plans whose parts are valid but do not fit together, and plans that deserve a warning.

Pure: a plan in, problems out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from changeover.plan import (
    approving,
    expressions,
    hook_rules,
    reachable,
    route_rules,
    together,
    units,
    way_back,
)
from changeover.plan.by_segment import without_anybody
from changeover.plan.conditions import CheckSpec
from changeover.plan.empty_stages import (
    ratios_without_baseline,
    silent_checks,
    triggers_without_baseline,
)
from changeover.plan.external import problems as external_problems
from changeover.plan.flags import plan_faults
from changeover.plan.guardrails import GATE
from changeover.plan.location import Location
from changeover.plan.means import means_by_threshold
from changeover.plan.metrics import METRICS, Source
from changeover.plan.model import PhaseKind, PhaseSpec, Plan, Stage
from changeover.plan.reach import never_failing, unreachable
from changeover.plan.route_gates import written
from changeover.plan.triggers import TriggerSpec
from changeover.plan.watching import unwatched

_ORDER = list(PhaseKind)


@dataclass(frozen=True, slots=True)
class Problem:
    """Where in the plan, and what is wrong, with what is allowed."""

    path: Location
    text: str


def check_plan(plan: Plan) -> list[Problem]:
    """Return everything that makes a plan impossible; an empty list means that it can work."""
    # in no order: whoever shows them sorts them by their lines
    return [
        *_phases_in_order(plan),
        *_phase_fields(plan),
        *_percentages_grow(plan),
        *_names_exist(plan),
        *_windows_fit(plan),
        *_reviews_come(plan),
        *_teams_differ(plan),
        *_conditions_have_data(plan),
        *(Problem(path, text) for path, text in external_problems(plan)),
        *(Problem(path, text) for path, text in approving.problems(plan)),
        *_triggers_make_sense(plan),
        *_conditions_can_be_met(plan),
        *_gate_is_free(plan),
        *(Problem(path, text) for path, text in reachable.problems(plan)),
        *_health_is_possible(plan),
        *_flags_fit(plan),
        *(Problem(path, text) for path, text in expressions.problems(plan)),
        *(Problem(path, text) for path, text in hook_rules.problems(plan)),
        *(Problem(path, text) for path, text in together.alone(plan)),
        *(Problem(path, text) for path, text in way_back.problems(plan)),
        *(Problem(path, text) for path, text in route_rules.problems(plan)),
    ]


def warnings(plan: Plan) -> list[str]:
    """Return what a person should know about a plan that is possible."""
    found = unwatched(plan)
    if not listens_on_loopback(plan):
        place = f"routing.listen {plan.routing.listen}"
        found.append(f"{place} is reachable from other machines")
        found += _unsaid_hops(plan)
    found += _gates_beside_stages(plan)
    for notes in (
        means_by_threshold, silent_checks, ratios_without_baseline,
        without_anybody, triggers_without_baseline, _long_triggers,
        never_failing, hook_rules.warnings, way_back.warnings,
        together.notes, approving.warnings, route_rules.warnings,
    ):
        found += notes(plan)
    return found


def _gates_beside_stages(plan: Plan) -> list[str]:
    """Find gates that no stage uses, and stages that use none."""
    stages, found = plan.stages(), []
    used = {written(name) for stage in stages for name in stage.gates}
    for name in plan.gates:
        if name not in used:
            found.append(f"gate {name} is not used by any stage")
    promotes = "it promotes when its soak is over"
    for stage in stages:
        if not stage.gates:
            found.append(
                f"stage {stage.title} has no gate: {promotes}, "
                "unless a guardrail raises an alarm")
    return found


def listens_on_loopback(plan: Plan) -> bool:
    """Whether only this machine reaches the gateway."""
    host = units.parse_address(plan.routing.listen)[0]
    return host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unsaid_hops(plan: Plan) -> list[str]:
    """Say what happens to forwarded headers while `trusted_hops` is not set."""
    if plan.routing.trusted_hops is not None:
        return []
    headers = "X-Forwarded-Proto, -For, -Host and -Port"
    now = "trusted from private addresses and replaced from all others"
    what = "the number of balancers in front of the gateway, 0 for none"
    return [
        f"routing.trusted_hops is not set: {headers} are {now}; "
        f"set it to {what}"]


def _long_triggers(plan: Plan) -> list[str]:
    """Find triggers whose `for` is longer than all soaks with users on the candidate."""
    whole = timedelta(0)
    for stage in plan.stages():
        if stage.phase is not PhaseKind.SHADOW:
            whole += stage.soak
    soaks = "all soaks with users on the candidate"
    longest = units.format_duration(whole)
    found = []
    for trigger in plan.triggers:
        if trigger.for_ > whole:
            given = units.format_duration(trigger.for_)
            found.append(
                f"trigger {trigger.name}: for {given} is longer than "
                f"{soaks}, {longest}")
    return found


def _phases_in_order(plan: Plan) -> Iterator[Problem]:
    ranks = [_ORDER.index(phase.phase) for phase in plan.phases]
    for index, (before, after) in enumerate(pairwise(ranks), 1):
        kind, path = plan.phases[index].phase, ("phases", index)
        if after == before and not _is_of_routes(plan, index):
            yield Problem(
                path, f"phase {kind} is listed twice; each phase may appear once")
        elif after < before:
            earlier, order = plan.phases[index - 1].phase, ", ".join(_ORDER)
            yield Problem(
                path,
                f"phase {kind} comes after {earlier}; the order is {order}")
    kinds = {phase.phase for phase in plan.phases}
    if PhaseKind.FULL in kinds and not kinds & {PhaseKind.BETA, PhaseKind.GRADUAL}:
        yield Problem(("phases",), "phase full needs phase beta or gradual before it")


def _is_of_routes(plan: Plan, index: int) -> bool:
    """Whether a phase of the same kind may come twice: one of the two moves routes only."""
    return any(phase.routes for phase in plan.phases[index - 1:index + 1])


def _phase_fields(plan: Plan) -> Iterator[Problem]:
    for index, phase in enumerate(plan.phases):
        yield from _fields_of(phase, index)


def _fields_of(phase: PhaseSpec, index: int) -> Iterator[Problem]:
    when = {"allowed", "waits_for", "reviews"}
    allowed = {
        PhaseKind.SHADOW: {"soak", "gates", "approval", "hooks"} | when,
        PhaseKind.BETA: {"percent", "segments", "soak", "gates", "approval", "hooks"} | when,
        PhaseKind.GRADUAL: {"segments", "routes", "gates", "stages"} | when - {"reviews"},
        PhaseKind.FULL: {"soak", "gates", "approval", "hooks"} | when,
        PhaseKind.DEPRECATION: {"after", "approval", "levers"},
    }[phase.phase]
    for name in sorted(phase.model_fields_set - allowed - {"phase"}):
        listed = ", ".join(sorted(allowed))
        yield Problem(
            ("phases", index, name),
            f"phase {phase.phase} does not have {name}; allowed are {listed}")
    needed = {
        PhaseKind.GRADUAL: ("stages",),
        PhaseKind.DEPRECATION: ("after",),
    }.get(phase.phase, ("soak",))
    path = ("phases", index)
    for name in needed:
        value = getattr(phase, name)
        # a duration of 0 is given, although it counts as false
        if not value and value != timedelta(0):
            yield Problem(path, f"phase {phase.phase} needs {name}")
    moves_some = phase.percent or phase.segments
    if phase.phase is PhaseKind.BETA and not moves_some:
        yield Problem(path, "phase beta needs percent or segments")


def _percentages_grow(plan: Plan) -> Iterator[Problem]:
    last: dict[str, Stage] = {}
    for stage in plan.stages():
        if stage.phase not in (PhaseKind.BETA, PhaseKind.GRADUAL):
            continue
        path, percent = _stage_path(plan, stage), stage.percent
        if stage.phase is PhaseKind.GRADUAL and not stage.routes and not 0 < percent < 100:
            yield Problem(
                path,
                f"{percent} %: a gradual stage must be above 0 and below 100; "
                "phase shadow is 0, phase full is 100")
        # each route grows by itself, and so does everything without a place of its own
        for name in dict.fromkeys(stage.routes or ("",)):
            before = last.get(name)
            if before is not None and percent <= before.percent:
                why = "percentages must grow, so that no user is moved back"
                yield Problem(path, f"{percent} % after {before.percent} %: {why}")
            last[name] = stage


def _names_exist(plan: Plan) -> Iterator[Problem]:
    for stage in plan.stages():
        path = _stage_path(plan, stage)
        gates = dict.fromkeys(map(written, stage.gates))
        yield from _missing(path, "gate", list(gates), plan.gates)
        yield from _missing(path, "segment", stage.segments, plan.routing.segments)
    for index, phase in enumerate(plan.phases):
        path = ("phases", index, "levers")
        yield from _missing(path, "lever", phase.levers, plan.levers)
    for path, name in _suites(plan):
        names = [name] if name else []
        yield from _missing(path, "suite", names, plan.suites)
    for path, levers in _levers(plan):
        yield from _missing(path, "lever", levers, plan.levers)


def _suites(plan: Plan) -> list[tuple[Location, str | None]]:
    before = plan.cutover.preconditions
    return [
        (("rollback", "verify"), plan.rollback.verify),
        (("cutover", "validate"), plan.cutover.validate_),
        (("cutover", "preconditions", "suite"), before.suite if before else None),
    ]


def _levers(plan: Plan) -> list[tuple[Location, list[str]]]:
    final, disable = plan.cutover.final, plan.cutover.disable_baseline
    pressure = plan.health.back_pressure
    found: list[tuple[Location, list[str]]] = []
    for issue, repair in plan.health.repairs.items():
        found.append((("health", "repairs", str(issue), "levers"), repair.levers))
    for name in ("on_slow", "on_frozen", "on_normal") if pressure else ():
        path = ("health", "back_pressure", name)
        found.append((path, getattr(pressure, name)))
    return [
        *found,
        (("rollback", "restore"), plan.rollback.restore),
        (("cutover", "final", "levers"), final.levers if final else []),
        (("cutover", "disable_baseline", "levers"), disable.levers if disable else []),
        (("cutover", "disable_baseline", "undo"), disable.undo if disable else []),
    ]


def _missing(
    path: Location, kind: str, names: object, known: dict[str, object] | object
) -> Iterator[Problem]:
    defined = list(known) if isinstance(known, dict) else []
    for name in names if isinstance(names, list | tuple) else []:
        if name not in defined:
            listed = ", ".join(defined) or f"none, the plan has no {kind}"
            yield Problem(path, f"{kind} {name!r} is not defined; defined are {listed}")


def _windows_fit(plan: Plan) -> Iterator[Problem]:
    for stage in plan.stages():
        for gate in stage.gates:
            for index, check in enumerate(plan.gates.get(written(gate), [])):
                if check.over is not None and check.over > stage.soak:
                    yield Problem(
                        ("gates", written(gate), index, "over"),
                        f"the window {units.format_duration(check.over)} is longer than the soak "
                        f"{units.format_duration(stage.soak)} of stage {stage.title}",
                    )


def _teams_differ(plan: Plan) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, spec in enumerate(plan.notify):
        if spec.team in seen:
            yield Problem(("notify", index, "team"), f"another team is called {spec.team!r}")
        seen |= {spec.team} if spec.team else set()


def _reviews_come(plan: Plan) -> Iterator[Problem]:
    for stage in plan.stages():
        if stage.reviews is not None and stage.reviews.every >= stage.soak:
            every, soak = map(units.format_duration, (stage.reviews.every, stage.soak))
            yield Problem(
                _stage_path(plan, stage),
                f"reviews every {every} never come within the soak {soak} of stage {stage.title}")


def _conditions_have_data(plan: Plan) -> Iterator[Problem]:
    for gate, checks in plan.gates.items():
        for index, check in enumerate(checks):
            yield from _has_data(plan, check, ("gates", gate, index))
    for index, trigger in enumerate(plan.triggers):
        yield from _has_data(plan, trigger, ("triggers", index))


def _has_data(
    plan: Plan, condition: CheckSpec | TriggerSpec, path: Location
) -> Iterator[Problem]:
    source = METRICS[condition.metric].source
    if source is Source.PROCESS:
        systems = {condition.of} | ({"baseline"} if condition.is_to_baseline else set())
        for name in sorted(systems):
            if plan.system(name).process is None:
                yield Problem(path, f"{condition.metric} has no data: systems.{name} has no "
                              "process; set its command or its pid_file")
    if source is Source.GATEWAY and condition.is_to_baseline:
        yield Problem(path, f"{condition.metric} is measured at the gateway, not per system, so "
                      "it has no baseline; give a fixed bound, for example `above: 0.1%`")
    if source is Source.COMPARISON and plan.shadow is None:
        yield Problem(path, f"{condition.metric} has no data: the plan has no shadow; "
                      "add `shadow:`")
    if condition.segment is not None:
        yield from _missing((*path, "segment"), "segment", [condition.segment],
                            plan.routing.segments)


def _triggers_make_sense(plan: Plan) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, trigger in enumerate(plan.triggers):
        path: Location = ("triggers", index)
        if trigger.name in seen:
            yield Problem((*path, "name"),
                          f"another trigger is called {trigger.name!r}; rename one")
        seen.add(trigger.name)
        keys = {stage.key: None for stage in plan.stages()}
        yield from _missing((*path, "stages"), "stage", trigger.stages, dict(keys))


def _conditions_can_be_met(plan: Plan) -> Iterator[Problem]:
    for path, text in unreachable(plan):
        yield Problem(path, text)


def _gate_is_free(plan: Plan) -> Iterator[Problem]:
    if GATE in plan.gates:
        yield Problem(("gates", GATE), f"the name {GATE} is reserved for the guardrails; give the "
                      "gate another name")


def _health_is_possible(plan: Plan) -> Iterator[Problem]:
    pairs = [spec.pair for spec in plan.health.services.values() if spec.pair]
    for name, spec in plan.health.services.items():
        if spec.pair and pairs.count(spec.pair) < 2:
            yield Problem(("health", "services", name, "pair"),
                          f"{name} is alone in pair {spec.pair!r}; "
                          "a pair needs two services or more")
    for name, limit in plan.health.memory_limits.items():
        if limit.pid_file is None and plan.system(limit.of).process is None:
            yield Problem(("health", "memory_limits", name), f"systems.{limit.of} has no process; "
                          "set its command or its pid_file, or a pid_file here")


def _flags_fit(plan: Plan) -> Iterator[Problem]:
    final = plan.cutover.final
    fixed = {"rollback.safe_flags": plan.rollback.safe_flags,
             "cutover.final.flags": final.flags if final else {}}
    for path, text in plan_faults(plan.flags, plan.routing.segments, plan.flag_segments, fixed):
        yield Problem(path, text)


def _stage_path(plan: Plan, stage: Stage) -> Location:
    """Return where in the plan a stage stands."""
    places: list[Location] = []
    for index, phase in enumerate(plan.phases):
        if phase.phase is PhaseKind.GRADUAL:
            places += [("phases", index, "stages", number) for number in range(len(phase.stages))]
        elif phase.phase is not PhaseKind.DEPRECATION:
            places.append(("phases", index))
    return places[stage.index]
