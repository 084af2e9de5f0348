"""What it means for a piece of work how the flow run that carries it stands in Prefect.

Pure: from what Prefect says of a run to what people read. A run that was lost (crashed, failed
for the first times, its process gone) is brought back by the observer; that is no end. An end is
what leaves nobody to carry the work on until a person decides:

| Prefect says                           | and                               | then          |
|----------------------------------------|-----------------------------------|---------------|
| no such run                            | for 5 s                           | unknown       |
| CANCELLED                              |                                   | cancelled     |
| CANCELLING                             | for a minute                      | cancelled     |
| COMPLETED                              | the work is not done              | completed     |
| PAUSED, SCHEDULED, FAILED, CRASHED     | its deployment was deleted        | not_deployed  |
| FAILED, CRASHED                        | it is not tried again             | failed        |
| PAUSED                                 | for 10 s, and people are not asked | suspended    |
| SCHEDULED                              | due for three minutes             | not_started   |
| anything else                          |                                   | none          |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

UNKNOWN_SETTLES = timedelta(seconds=5)
SUSPENSION_SETTLES = timedelta(seconds=10)
CANCELLING_SETTLES = timedelta(minutes=1)
LATE = timedelta(minutes=3)
"""A worker takes a run that is due within seconds; a busy machine may need a minute."""


class PrefectState(StrEnum):
    """Prefect's types of states that mean something here."""

    NONE = ""  # it knows no such run
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"


NEEDS_DEPLOYMENT = (
    PrefectState.PAUSED, PrefectState.SCHEDULED, PrefectState.FAILED, PrefectState.CRASHED)
"""States from which a run goes on only by a worker, which needs the run's deployment."""


class End(StrEnum):
    """How a flow run ended, or stands still, without the work being done."""

    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    NOT_DEPLOYED = "not_deployed"
    SUSPENDED = "suspended"
    NOT_STARTED = "not_started"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: since when, and what Prefect said of it."""

    end: End
    since: datetime
    said: str = ""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A flow run that carries a piece of work. `end` is None while it does.

    `since` is when the run began to carry it, or when it ended; `said` is what Prefect said of
    the end.
    """

    migration: str
    subject: str
    flow: str
    flow_run_id: str
    since: datetime
    end: End | None = None
    said: str = ""

    @property
    def ended(self) -> Ended | None:
        """How the run ended; None while it carries the work."""
        return Ended(self.end, self.since, self.said) if self.end else None


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a flow run. `state_type` is Prefect's, empty when it knows no such run.

    `since` is when the run took this state (was missed first), `due` when a worker should have
    started it; `is_asked` says that a question in the store waits for this run's form.
    """

    state_type: str
    since: datetime
    due: datetime | None = None
    is_deployed: bool = True
    is_asked: bool = False
    is_tried_again: bool = True


def judge(sight: Sight, now: datetime) -> End | None:
    """Return how a run ended whose work is not done; None while it goes on or is brought back."""
    age = now - sight.since
    # first: without its deployment no other state can still lead anywhere
    if not sight.is_deployed and sight.state_type in NEEDS_DEPLOYMENT:
        return End.NOT_DEPLOYED
    match sight.state_type:
        case PrefectState.NONE:
            return End.UNKNOWN if age >= UNKNOWN_SETTLES else None
        case PrefectState.CANCELLED:
            return End.CANCELLED
        case PrefectState.CANCELLING:
            return End.CANCELLED if age >= CANCELLING_SETTLES else None
        case PrefectState.COMPLETED:
            return End.COMPLETED
        case PrefectState.FAILED | PrefectState.CRASHED:
            return None if sight.is_tried_again else End.FAILED
        case PrefectState.PAUSED:
            is_forgotten = not sight.is_asked and age >= SUSPENSION_SETTLES
            return End.SUSPENDED if is_forgotten else None
        case PrefectState.SCHEDULED:
            return End.NOT_STARTED if now - (sight.due or sight.since) >= LATE else None
    return None


_WHAT = {
    End.CANCELLED: "its flow run was cancelled in Prefect",
    End.UNKNOWN: "Prefect knows its flow run no more (deleted, or Prefect's database was lost)",
    End.COMPLETED: "its flow run was set to Completed in Prefect before the work was done",
    End.FAILED: "its flow run failed and is not tried again",
    End.NOT_DEPLOYED: "the deployment of its flow run was deleted in Prefect",
    End.SUSPENDED: "its flow run was suspended in Prefect although nobody is asked anything",
    End.NOT_STARTED: "no worker starts its flow run, which is due",
}


def what(end: End, said: str = "") -> str:
    """Return what happened to a run, with what Prefect said of it."""
    return f"{_WHAT[end]} ({said})" if said else _WHAT[end]


class Work(StrEnum):
    """What a flow run carries: the first word of the subject in the store (`cutover 7`)."""

    CUTOVER = "cutover"
    ROLLBACK = "rollback"
    RETIREMENT = "retirement"
    SUITE = "suite"
    SCHEDULE = "schedule"


CONTINUED = (Work.CUTOVER, Work.ROLLBACK, Work.RETIREMENT)
"""What `changeover continue` takes up again."""

_WAYS = {
    Work.CUTOVER: "Continue with `changeover continue`, bring everyone back with `changeover "
                  "rollback --reason TEXT`, or end it where it is with `changeover end --reason "
                  "TEXT`",
    Work.ROLLBACK: "Do the steps that are left with `changeover continue`, or leave them with "
                   "`changeover end --reason TEXT`",
    Work.RETIREMENT: "Continue with `changeover continue`, or leave the baseline as it is with "
                     "`changeover end --reason TEXT`",
    Work.SUITE: "Run `validation/main` again",
    Work.SCHEDULE: "Switch its schedule on in Prefect's page of deployments, or run "
                   "`changeover up` again",
}


def work_of(subject: str) -> Work:
    """Return which kind of work a subject names."""
    return Work(subject.partition(" ")[0])


def ways(subject: str) -> str:
    """Return what a person can do about work that nobody carries on."""
    return _WAYS[work_of(subject)]


def sentence(subject: str, ended: Ended, where: str) -> str:
    """Return what people read of a run that ended: what, since when, where users stand, ways.

    Args:
        subject: What is not carried on, as `cutover 7`.
        ended: How its run ended.
        where: The routing state in one phrase.
    """
    happened = what(ended.end, ended.said)
    return (f"Since {ended.since:%Y-%m-%d %H:%M:%S} UTC {happened}. {stands(subject, where)}. "
            f"{ways(subject)}")


def stands(subject: str, where: str) -> str:
    """Return where users stand while nobody carries the work on, and who watches.

    Args:
        subject: What is not carried on, as `cutover 7`.
        where: The routing state in one phrase.
    """
    where = where.partition(" (")[0]  # without version and epoch
    if work_of(subject) in (Work.SUITE, Work.SCHEDULE):
        return f"Users are not affected ({where})"
    return f"Users stay where they are ({where}); triggers go on watching"
