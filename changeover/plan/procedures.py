"""The parts of a plan about the procedures: cutover around its phases, rollback, notification."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from changeover.plan.fields import Duration, Name, Part, Path, Share, Size
from changeover.plan.flags import FlagKey, FlagValue
from changeover.plan.people import ApprovalSpec
from changeover.plan.suites import DatabaseRef, Side, Variable
from changeover.plan.targets import Target
from changeover.plan.units import format_duration
from changeover.plan.webhooks import KindPattern

ItemName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Severity = Literal["info", "warning", "critical"]
MOST_HURRIED = timedelta(seconds=1)
"""Shortest time between two steps of a return: each is confirmed by the gateway."""
LONGEST_RETURN = timedelta(days=1)


class PreconditionsSpec(Part):
    """What must be true before the first user moves."""

    suite: Name | None = Field(None, description="Suite that must pass, such as `pre_cutover`.")
    quiet: Duration = Field(
        timedelta(0), description="How long no trigger fired and health was not critical."
    )
    disk: Size = Field(200_000_000, ge=0, description="Least free space of home and backups.")
    rehearsed_within: Duration | None = Field(
        None, description="A rollback rehearsal must have passed within this time."
    )
    reaches_approvers: bool = Field(
        False, description="Send a test message to every target under `notify`."
    )


class BackupSpec(Part):
    """What is backed up before the first user moves, besides the store and the gateway."""

    target: Target = Field(
        "backups",
        description="A folder, relative to the home, or any address that fsspec reaches.")
    within: Duration | None = Field(
        None, ge=timedelta(seconds=1), le=timedelta(days=1),
        description="How long copying to an address may take; default 1h.")
    databases: dict[ItemName, DatabaseRef] = {}
    folders: dict[ItemName, str] = Field(default={}, description="Folders, relative to the plan.")
    store: bool = Field(True, description="Also back up the store.")

    @property
    def longest_copying(self) -> timedelta:
        """How long copying to an address may take."""
        # a default here, or each plan that says nothing would become another one
        return timedelta(hours=1) if self.within is None else self.within


class ClaimSpec(Part):
    """Claims: the right of one system to process an item, leased by the console."""

    lease: Duration = Field(
        timedelta(seconds=60), gt=timedelta(0), le=timedelta(days=1),
        description="How long a claim lasts unless it is renewed.",
    )
    rollback_on_failure: bool = Field(
        False, description="In candidate_only, roll back on the candidate's first failed item."
    )


class FinalSpec(Part):
    """Flags to set and levers to pull when all users are on the candidate."""

    flags: dict[FlagKey, FlagValue] = {}
    levers: list[Name] = []


class DisableSpec(Part):
    """Disable the baseline after the last stage; a rollback enables it again."""

    levers: list[Name] = Field(min_length=1)
    undo: list[Name] = Field(
        min_length=1, description="Levers that bring the baseline back, before a rollback."
    )
    undo_within: Duration = Field(
        timedelta(seconds=60), description="Longest time until the baseline is healthy again."
    )
    approval: ApprovalSpec = Field(default_factory=ApprovalSpec)


class ObserveSpec(Part):
    """The time after the last stage in which nothing critical may happen."""

    duration: Duration = Field(timedelta(hours=24), description="How long.")


class CutoverSpec(Part):
    """The steps of the cutover SOP around its phases."""

    preconditions: PreconditionsSpec | None = None
    backup: BackupSpec | None = None
    final: FinalSpec | None = None
    disable_baseline: DisableSpec | None = None
    validate_: Name | None = Field(
        None, alias="validate", description="Suite to pass afterwards, such as `post_cutover`."
    )
    observe: ObserveSpec | None = None


class QueueSpec(Part):
    """A queue that must be empty after a rollback: a number in a JSON answer of a system."""

    of: Side = "candidate"
    path: Path
    value: str = Field("$.length", description="Path of the number.")
    at_most: int = Field(0, ge=0)


class ReturnSpec(Part):
    """How users return to the baseline when nothing urges: in equal steps over a time."""

    over: Duration = Field(description="Time from the first step to the last, at most 1d.")
    steps: int = Field(
        10, ge=2, le=100, description="How many equal parts of the moved users return in turn."
    )

    @model_validator(mode="after")
    def _has_time(self) -> ReturnSpec:
        least = MOST_HURRIED * (self.steps - 1)
        if not least <= self.over <= LONGEST_RETURN:
            raise ValueError(
                f"over {format_duration(self.over)} does not fit {self.steps} steps; allowed are "
                f"{format_duration(least)} (a second between steps) to "
                f"{format_duration(LONGEST_RETURN)}")
        return self


GRACE = timedelta(seconds=5)
"""How long long connections with the candidate go on after their users went back."""


CallName = Annotated[str, Field(
    pattern=r"^/[A-Za-z_][A-Za-z0-9_.]{0,200}/([A-Za-z_][A-Za-z0-9_]{0,100}|\*)$",
    examples=["/shop.Feed/Watch"])]


class RollbackSpec(Part):
    """What the rollback SOP does beyond moving the traffic."""

    safe_flags: dict[FlagKey, FlagValue] = {}
    roots: list[str] = Field(default=[], description="Folders in which files may be cleaned up.")
    cleanup: list[str] = Field(default=[], description="Files of the candidate to clean up.")
    any_age: bool = Field(False, description="Include files older than the candidate's start.")
    quarantine: Duration = Field(
        timedelta(days=7), description="How long cleaned-up files can be brought back."
    )
    restore: list[Name] = Field(default=[], description="Levers to pull, in order.")
    queues: list[QueueSpec] = []
    return_: ReturnSpec | None = Field(
        None, alias="return",
        description="In steps, for triggers with `urgent: false`; default: everyone at once."
    )
    grace: Duration = Field(
        GRACE, ge=timedelta(seconds=4), le=timedelta(minutes=10),
        description="How long websockets and event streams with the candidate go on after their "
        "users went back, in whole seconds; the gateway then ends them.")
    streams: list[CallName] = Field(
        default=[], max_length=100, description="Methods of gRPC whose calls are streams, as "
        "`/shop.Feed/Watch` or `/shop.Chat/*`: the gateway ends those, too. Default: none, since "
        "nothing in a call says how long it lasts.")
    verify: Name | None = Field(None, description="Suite that checks the result.")

    @field_validator("grace")
    @classmethod
    def _is_whole(cls, grace: timedelta) -> timedelta:
        # Envoy counts so
        if grace.microseconds:
            raise ValueError("`grace` is in whole seconds, such as 5s")
        return grace

    @model_validator(mode="after")
    def _has_roots(self) -> RollbackSpec:
        if self.cleanup and not self.roots:
            raise ValueError("`cleanup` needs `roots`: the folders that may be cleaned up")
        return self


class NotifySpec(Part):
    """Who is notified: a webhook, or any of Apprise's services by its URL."""

    webhook: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    env: Variable | None = Field(
        None, description="Environment variable with the webhook's or Apprise's address."
    )
    apprise: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+]*://\S+$")] | None = None
    severity: Severity = Field("info", description="Lowest severity to send.")
    team: Name | None = Field(
        None, description="A team that gets the decisions in `events`, and no other message.")
    events: list[KindPattern] | None = Field(
        None, min_length=1, description="For `team`: which decisions, as `rollback.*`.")

    @model_validator(mode="after")
    def _one_way(self) -> NotifySpec:
        if [self.webhook, self.env, self.apprise].count(None) != 2:
            raise ValueError("exactly one of `webhook`, `env` and `apprise` is required")
        if (self.team is None) != (self.events is None):
            raise ValueError("`team` and `events` belong together; give both, or none")
        return self


class PatienceSpec(Part):
    """How long is waited: for data before people are asked, and for people who were asked."""

    recheck: Duration = Field(
        timedelta(minutes=5), description="Wait between evaluations of an inconclusive gate."
    )
    rechecks: int = Field(12, ge=0, le=10_000, description="Evaluations before people are asked.")
    remind: Duration = Field(
        timedelta(hours=4), description="People who do not answer are reminded as often; 0: never."
    )
    escalate: Duration = Field(
        timedelta(days=1),
        description="After so long without an answer a critical message is sent, once; 0: never."
    )
    settle: Duration = Field(
        timedelta(minutes=5),
        description="Time after a change of the percentage that no comparison with the baseline "
        "counts (cold caches, new sessions); at most a tenth of the soak."
    )


class RetentionSpec(Part):
    """How long measurements are saved."""

    seconds: Duration = Field(timedelta(hours=6), description="One-second samples.")
    minutes: Duration = Field(timedelta(days=180), description="Minute rollups.")
    health: Duration = Field(timedelta(days=30), description="Results of health checks.")
    outcomes: Duration = Field(
        timedelta(days=7), description="Single outcomes; one reported again later counts again."
    )
    reports: Duration | None = Field(
        None, description="Rendered reports in the store; default 400d. At most 256 MB of them.")

    @property
    def of_reports(self) -> timedelta:
        """How long rendered reports stay in the store."""
        # a default here, or each plan that says nothing would become another one
        return timedelta(days=400) if self.reports is None else self.reports


class LeverSpec(Part):
    """A named action on a system: an HTTP POST, or a command."""

    of: Literal["baseline", "candidate"] | None = Field(None, description="For `post`.")
    post: Path | None = Field(None, description="Path of the POST.")
    body: dict[str, Any] | None = Field(None, description="JSON body of the POST.")
    command: list[str] | None = Field(None, min_length=1)
    timeout: Duration = timedelta(seconds=30)
    shrinks: Literal["baseline"] | None = Field(
        None, description="It makes the baseline smaller: people are told whether a rollback would "
        "still fit, and asked when it would not."
    )
    leaves: Share | None = Field(
        None, description="For `shrinks`: share of the baseline's capacity that is left, as 50%."
    )

    @model_validator(mode="after")
    def _says_what_it_leaves(self) -> LeverSpec:
        if self.leaves is not None and self.shrinks is None:
            raise ValueError("`leaves` belongs to `shrinks: baseline`; add that, or remove it")
        if self.leaves == 1:
            raise ValueError("leaves 100%: then nothing shrinks; allowed are 0% to less than 100%")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> LeverSpec:
        if (self.post is None) == (self.command is None):
            raise ValueError("exactly one of `post` and `command` is required")
        if self.post is not None and self.of is None:
            raise ValueError("`post` needs `of: baseline` or `of: candidate`")
        return self
