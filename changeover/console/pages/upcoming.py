"""The next thing that will happen, in one sentence, and when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.console.pages.words import parsed
from changeover.domain.routing import Mode
from changeover.domain.time_words import about
from changeover.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What comes next.

    Args:
        text: One sentence.
        at: When, if that is known.
        needs_person: Whether nothing happens until a person acts.
    """

    text: str
    at: datetime | None = None
    needs_person: bool = False


def upcoming(status: Mapping[str, Any], next_title: str | None, now: datetime) -> Upcoming:
    """Return what happens next.

    Args:
        status: As `site.status.collect` returns it.
        next_title: Title of the stage after the present one; None after the last.
        now: The present moment.
    """
    for rule in (_returning, _nobody, _rolled_back, _waits, _paused, _frozen, _soaks):
        found = rule(status, next_title, now)
        if found is not None:
            return found
    return _quiet(status)


def _returning(status: Mapping[str, Any], _next: str | None, _now: datetime) -> Upcoming | None:
    if not status["returning"]:
        return None
    return Upcoming(f"{_sentence(status['returning']['text'])}")


def _nobody(status: Mapping[str, Any], _next: str | None, _now: datetime) -> Upcoming | None:
    for each in status["ended_runs"]:
        # schedules carry health checks and the like, not the cutover
        if not each["subject"].startswith("schedule"):
            return Upcoming(
                f"Nothing, until a person continues {each['subject']}: its flow run has ended.",
                needs_person=True)
    return None


def _rolled_back(status: Mapping[str, Any], _next: str | None, _now: datetime) -> Upcoming | None:
    if status["routing"]["mode"] != Mode.EMERGENCY_ROLLBACK:
        return None
    return Upcoming(
        "Nothing, until a person ends the rollback with `changeover recover --reason TEXT`.",
        needs_person=True)


def _waits(status: Mapping[str, Any], next_title: str | None, _now: datetime) -> Upcoming | None:
    asked = status["waiting_for"]
    if not asked:
        return None
    goal = next_title or "the end of the cutover"
    return Upcoming(
        f"{goal[:1].upper()}{goal[1:]}, once people have answered about {asked['stage']}.",
        needs_person=True)


def _paused(status: Mapping[str, Any], _next: str | None, _now: datetime) -> Upcoming | None:
    if not status["pause"]:
        return None
    return Upcoming(
        "Nothing, until a person resumes: the cutover is paused.", needs_person=True)


def _frozen(status: Mapping[str, Any], _next: str | None, _now: datetime) -> Upcoming | None:
    if not status["freeze"]:
        return None
    return Upcoming("Nobody is moved while the freeze lasts; rollbacks are possible.")


def _soaks(status: Mapping[str, Any], next_title: str | None, now: datetime) -> Upcoming | None:
    cutover = status["cutover"]
    if not cutover or cutover["status"] != "running":
        return None
    if not status["stages"]:
        return Upcoming("The first stage, once the preparation is done.")
    stage = status["stages"][-1]
    if stage["status"] != "soaking":
        return Upcoming(f"{next_title or 'The end of the cutover'}, within moments.")
    until = parsed(stage["soak_until"])
    goal = next_title or "the end of the cutover"
    if until <= now:
        return Upcoming(f"The gates of {stage['key']} decide now; then {goal}.", until)
    left = about(until - now)
    return Upcoming(f"The soak of {stage['key']} ends in {left}; if its gates pass: {goal}.", until)


def _quiet(status: Mapping[str, Any]) -> Upcoming:
    cutover = status["cutover"]
    if cutover and cutover["status"] == "promoted":
        return Upcoming("Nothing is planned: the cutover was promoted.")
    return Upcoming(
        "Nothing is planned: `prefect deployment run cutover/main` begins a cutover.",
        needs_person=True)


def stands(checks: list[dict[str, Any]]) -> str:
    """Return how a gate's checks stand, as `3 would pass, 1 undecided`."""
    names = {Verdict.FAIL: "would fail", Verdict.INCONCLUSIVE: "undecided",
             Verdict.PASS: "would pass"}
    parts = []
    for verdict, name in names.items():
        number = sum(each["verdict"] == verdict for each in checks)
        if number:
            parts.append(f"{number} {name}")
    return ", ".join(parts) or "nothing judged yet"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
