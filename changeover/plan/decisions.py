"""Every kind of event that the audit has, and which of them others are told of. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What a kind of event means, and which facts it may have."""

    means: str
    facts: str


CUTOVER = {
    "cutover.started": Kind(
        "A cutover began.",
        "cutover flow_run_id"),
    "cutover.continued": Kind(
        "Another flow run carries it on.",
        "cutover flow_run_id before"),
    "cutover.promoted": Kind(
        "It is over: everyone is on the candidate, and it was a success.",
        "cutover outcome"),
    "cutover.rolled_back": Kind(
        "It is over: everyone is back at the baseline.",
        "cutover outcome"),
    "cutover.failed": Kind(
        "It did not begin: a precondition was not met. Nobody was moved.",
        "cutover outcome"),
    "cutover.stopped": Kind(
        "A person ended it where it was.",
        "cutover outcome"),
    "cutover.pause": Kind(
        "A person paused it.",
        "cutover stage reason"),
    "cutover.resume": Kind(
        "A person ended the pause.",
        "cutover stage reason"),
    "cutover.extend": Kind(
        "A person has the present stage soak longer.",
        "cutover stage seconds reason soak_until"),
    "cutover.promote-now": Kind(
        "A person agreed that the present stage's soak is over.",
        "cutover stage reason"),
    "cutover.skip-stage": Kind(
        "A person agreed to leave a stage out.",
        "cutover stage reason"),
    "cutover.start": Kind(
        "Who started it.",
        "cutover stage reason"),
    "cutover.amend": Kind(
        "A person agreed to another plan.",
        "cutover stage reason"),
    "plan.registered": Kind(
        "`changeover up` took a plan that is new, or that differs.",
        "digest source"),
    "plan.amended": Kind(
        "A running cutover goes on with another plan.",
        "digest before source changes"),
}
STAGES = {
    "stage.entered": Kind(
        "Its users were moved; it soaks from now on.",
        "cutover stage weight segments soak_until"),
    "stage.waits": Kind(
        "It waits for other migrations of its group.",
        "cutover stage reason"),
    "stage.held": Kind(
        "A person has it soak once more.",
        "cutover stage round soak_until"),
    "stage.promoted": Kind(
        "It is over, and the next one may begin.",
        "cutover stage reason"),
    "stage.skipped": Kind(
        "It was left out.",
        "cutover stage reason"),
    "stage.rolled_back": Kind(
        "A rollback ended it.",
        "cutover stage reason"),
    "gate.judged": Kind(
        "A gate was judged: pass, fail or inconclusive, with the reason.",
        "cutover stage gate verdict reason"),
    "approval.asked": Kind(
        "The cutover waits for a person.",
        "approval cutover stage ordinal flow_run_id"),
    "approval.answered": Kind(
        "A person answered: promote, hold or rollback.",
        "approval stage decision comment source"),
    "approval.refused": Kind(
        "An answer was not taken; the question is still open.",
        "subject decision reason is_wrong_code"),
    "approval.void": Kind(
        "An answer came after a rollback and changes nothing.",
        "approval stage decision comment source"),
    "approval.withdrawn": Kind(
        "Its stage was left out before anybody answered.",
        "approval stage cutover"),
}
TRAFFIC = {
    "routing.changed": Kind(
        "The routing state is another one. `again`: a stage's users come again after a rollback of "
        "a part.",
        "from to reason weight mode again"),
    "rollback.started": Kind(
        "Everyone goes back to the baseline; the epoch is a new one.",
        "from to reason weight mode return"),
    "rollback.partial": Kind(
        "A part of the users went back.",
        "scope reason state long_connections"),
    "rollback.completed": Kind(
        "A rollback's steps are all done.",
        "rollback"),
    "rollback.needs_person": Kind(
        "A step of a rollback failed: a person must look.",
        "rollback"),
    "rollback.gateway_first": Kind(
        "Users went back before a busy store knew of it.",
        "epoch version reason actor at busy"),
    "break_glass.used": Kind(
        "Users went back while the store was away.",
        "epoch version reason actor at"),
    "gateway_node.rolled_back": Kind(
        "A gateway node sent its users to the baseline while it was cut off, or by break glass; "
        "everyone follows.",
        "node reason epoch at"),
    "gateway_node.lost": Kind(
        "A gateway node was cut off for too long; its users were at the baseline meanwhile.",
        "node reason epoch at"),
    "gateway_node.forgotten": Kind(
        "A person removed a gateway node that was dead.",
        "node address reason epoch version seen"),
    "trigger.fired": Kind(
        "A trigger fired; `action` says what it does.",
        "trigger action reason evidence"),
    "trigger.cleared": Kind(
        "A trigger that fired is over.",
        "trigger reason"),
    "freeze.on": Kind(
        "Nobody is moved from now on; rolling back is possible.",
        "freeze reason until"),
    "freeze.off": Kind(
        "Users may be moved again.",
        "freeze reason"),
    "back_pressure.slow": Kind(
        "A system is slow: no user is sent there until it is well.",
        "level of at levers reason"),
    "back_pressure.frozen": Kind(
        "A system hangs: no user is sent there, emergency levers are pulled.",
        "level of at levers reason"),
    "back_pressure.normal": Kind(
        "It is well again.",
        "level of at levers reason"),
    "way_back.at_risk": Kind(
        "The baseline was made smaller: a rollback would not fit, or nobody knows.",
        "reason"),
    "way_back.well": Kind(
        "A rollback fits again.",
        "reason"),
}
BESIDE = {
    "flags.set": Kind(
        "A rollback or a final step set flags.",
        "flags reason environment"),
    "flag.changed": Kind(
        "A person changed a flag.",
        "flag environment old new version reason"),
    "lever.pulled": Kind(
        "A lever was pulled; `problem` is empty when it worked.",
        "lever problem occasion at"),
    "load.began": Kind(
        "Synthetic load of a stage began.",
        "stage load"),
    "load.ended": Kind(
        "It ended.",
        "stage load sent failed left_out reason"),
    "suite.pass": Kind(
        "A suite passed.",
        "suite run"),
    "suite.fail": Kind(
        "A suite failed.",
        "suite run"),
    "suite.inconclusive": Kind(
        "A suite could not tell.",
        "suite run"),
    "suite.error": Kind(
        "Nobody carried a suite's run on.",
        "suite run"),
    "step.done": Kind(
        "A step of a procedure is done.",
        "step detail"),
    "step.failed": Kind(
        "A step of a procedure failed.",
        "step detail"),
    "repair.began": Kind(
        "A health check's repair began.",
        "issue system attempt"),
    "repair.done": Kind(
        "The check was good after it.",
        "issue system attempt detail"),
    "repair.failed": Kind(
        "It did not help.",
        "issue system attempt detail"),
    "repair.escalated": Kind(
        "Its budget is used up: a person is needed.",
        "issue system check detail"),
    "run.ended": Kind(
        "A flow run ended in Prefect without doing its work.",
        "subject flow_run_id end said"),
    "run.back": Kind(
        "Its work is carried on again.",
        "subject flow_run_id"),
    "baseline.retiring": Kind(
        "The levers that retire the baseline are pulled.",
        "levers"),
    "baseline.retired": Kind(
        "The baseline is retired: there is no way back.",
        "levers"),
    "retirement.left": Kind(
        "A person ended a retirement where it was.",
        "reason"),
    "notify.failed": Kind(
        "A message to people was given up.",
        "title problem"),
    "events.given_up": Kind(
        "Events for a webhook, or for Prefect, were given up.",
        "to events first last problem"),
}
KINDS = {**CUTOVER, **STAGES, **TRAFFIC, **BESIDE}
"""Every kind of event that others are told of, with what it means."""

NOT_TOLD = {
    "step.begun": "`step.done` or `step.failed` follows",
    "people.told": "`approval.asked` came before it",
    "console.acts": "a form was sent; what it does follows under its own name",
    "claim.handed_over": "one for each of perhaps a million items",
    "token.created": "about access, not about the migration",
    "token.revoked": "about access, not about the migration",
    "approver.token": "about access, not about the migration",
    "approver.removed": "about access, not about the migration",
    "approver.code": "about access, not about the migration",
    "console.refused": "about access, not about the migration",
    "console.signed_in": "about access, not about the migration",
}
"""The audit's other kinds, and why nobody else is told of them."""
