"""The migration plan: what one YAML file may say, as pydantic models. Pure.

Reading files and pointing at lines is `changeover.plan.load`; what is impossible across the parts
of a plan (a gate nobody defined, falling percentages) is `changeover.plan.rules`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from changeover.plan import units
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.plan.conditions import CheckSpec
from changeover.plan.external import with_units
from changeover.plan.fields import (
    Duration,
    Name,
    Part,
    Percent,
)
from changeover.plan.flags import Attributes, FlagEntry, FlagKey
from changeover.plan.groups import Flat
from changeover.plan.guardrails import GuardrailsSpec
from changeover.plan.health import HealthSpec
from changeover.plan.hooks import HooksSpec
from changeover.plan.members import GroupSpec, WaitSpec
from changeover.plan.people import ApprovalSpec, ApproversSpec, ReviewsSpec
from changeover.plan.procedures import (
    ClaimSpec,
    CutoverSpec,
    LeverSpec,
    NotifySpec,
    PatienceSpec,
    RetentionSpec,
    RollbackSpec,
)
from changeover.plan.route_gates import about, of_routes
from changeover.plan.routes import RouteName, RouteSpec
from changeover.plan.routing import BUCKETS, ConsoleSpec, RoutingSpec
from changeover.plan.sources import AnySource
from changeover.plan.suites import AnyCheck
from changeover.plan.systems import Systems, SystemSpec
from changeover.plan.targets import ReportsSpec
from changeover.plan.triggers import TriggerSpec
from changeover.plan.webhooks import WebhookSpec
from changeover.plan.windows import WindowSpec


class StageSpec(Part):
    """One traffic step of the gradual phase."""

    percent: Percent
    soak: Duration
    segments: list[Name] | None = Field(
        None, description="Segments moved here; default: the phase's. Earlier ones stay moved."
    )
    routes: list[RouteName] | None = Field(
        None, description="Only these routes move here, to this share of them; default: the "
        "phase's. Without any, everything moves that has no place of its own.")
    gates: list[Name] | None = Field(None, description="Default: the phase's.")
    approval: ApprovalSpec | None = None
    reviews: ReviewsSpec | None = Field(
        None, description="While it soaks, people are asked regularly whether it goes on.")
    allowed: list[WindowSpec] = Field(
        default=[], description="When users may be moved into it; default: the phase's.")
    hooks: HooksSpec = Field(default_factory=HooksSpec)
    waits_for: list[WaitSpec] | None = Field(
        None, description="Stages of other members of the group that must be reached before; "
        "default: the phase's.")


class PhaseKind(StrEnum):
    """The phases, in the only order in which they may come."""

    SHADOW = "shadow"
    BETA = "beta"
    GRADUAL = "gradual"
    FULL = "full"
    DEPRECATION = "deprecation"


class PhaseSpec(Part):
    """One phase of the rollout."""

    phase: PhaseKind
    percent: Percent | None = Field(None, description="beta only: share of users.")
    segments: list[Name] = []
    soak: Duration | None = Field(None, description="Shortest time in the stage.")
    gates: list[Name] = []
    approval: ApprovalSpec | None = None
    reviews: ReviewsSpec | None = Field(
        None, description="While it soaks, people are asked regularly whether it goes on.")
    routes: list[RouteName] = Field(
        default=[], description="gradual only: the stages move these routes and nothing else.")
    stages: list[StageSpec] = Field(default=[], description="gradual only.")
    after: Duration | None = Field(None, description="deprecation only: time since promotion.")
    allowed: list[WindowSpec] = Field(
        default=[], description="When users may be moved into it; default: the plan's.")
    waits_for: list[WaitSpec] | None = Field(
        None, description="Stages of other members of the group that must be reached before.")
    levers: list[Name] = Field(
        default=[],
        description="deprecation only: levers that remove the baseline."
    )
    hooks: HooksSpec = Field(default_factory=HooksSpec)


class Stage(BaseModel):
    """One traffic step with everything inherited from its phase; made by `Plan.stages`.

    `key` names it in the store: `shadow`, `beta-5`, `gradual-25`, `gradual-orders-50`, `full`.
    `routes` are those that it moves, and `percent` is their share then; `shares` are the buckets
    of all routes of their own once it is entered, and `weight` are those of everything else.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    index: int
    phase: PhaseKind
    percent: Decimal
    segments: tuple[str, ...]
    soak: timedelta
    gates: tuple[str, ...]
    approvers: int
    approval: ApprovalSpec | None = None
    reviews: ReviewsSpec | None = None
    allowed: tuple[WindowSpec, ...] = ()
    hooks: HooksSpec = Field(default_factory=HooksSpec)
    waits_for: tuple[WaitSpec, ...] = ()
    routes: tuple[str, ...] = ()
    shares: tuple[tuple[str, int], ...] = ()
    weight: int = 0

    @property
    def split(self) -> int:
        """Buckets (0..10_000) of what the stage moves, of a route or of all, on the candidate."""
        # a bucket is 0.01 % of the users, the finest share that a plan may have
        return int(self.percent * 100)

    @property
    def title(self) -> str:
        """Name for people: `gradual 25 %`, `gradual 50 % of orders`, `beta (insiders)`."""
        if self.phase is PhaseKind.SHADOW:
            return "shadow"
        # "0 %" would say that nobody moves
        if self.segments and not self.split:
            return f"{self.phase} ({', '.join(self.segments)})"
        of = f" of {', '.join(self.routes)}" if self.routes else ""
        return f"{self.phase} {units.format_percent(self.split)}{of}"


class Plan(Part):
    """Everything about one migration."""

    migration: Name = Field(
        description="Name of the migration; only one of its cutovers runs at a time."
    )
    group: GroupSpec | None = Field(
        None, description="The group of migrations that it belongs to, and its order there.")
    systems: Systems
    routing: RoutingSpec = Field(default_factory=RoutingSpec)
    routes: list[RouteSpec] = Field(
        default=[], max_length=200, description="Parts of the traffic with a place of their own in "
        "the rollout; the first one that matches a request counts.")
    shadow: ShadowSpec | None = None
    comparison: ComparisonSpec | None = None
    console: ConsoleSpec = Field(default_factory=ConsoleSpec)
    claims: ClaimSpec = Field(default_factory=ClaimSpec)
    flags: dict[FlagKey, FlagEntry] = {}
    flag_segments: dict[Name, Attributes] = Field(
        default={}, description="Groups of users for flags only, by attributes of their context."
    )
    environments: dict[Name, dict[str, Any]] = Field(
        default={}, description="Values that each environment overrides, part by part."
    )
    environment: Name | None = Field(None, description="Set by --env; never written by hand.")
    sources: dict[Name, AnySource] = Field(
        default={}, description="Whom to ask for `external.NAME` metrics, and what."
    )
    gates: dict[Name, Annotated[list[CheckSpec], Flat]] = {}
    phases: list[PhaseSpec] = Field(min_length=1)
    allowed: list[WindowSpec] = Field(
        default=[], description="When users may be moved; default: always. Rollback always may.")
    approvers: ApproversSpec | None = Field(
        None, description="Who may approve; default: anybody, by a typed name.")
    triggers: list[TriggerSpec] = []
    guardrails: GuardrailsSpec = Field(default_factory=GuardrailsSpec)
    cutover: CutoverSpec = Field(default_factory=CutoverSpec)
    rollback: RollbackSpec = Field(default_factory=RollbackSpec)
    levers: dict[Name, LeverSpec] = {}
    suites: dict[Name, Annotated[list[AnyCheck], Field(min_length=1)]] = {}
    notify: list[NotifySpec] = []
    webhooks: dict[Name, WebhookSpec] = Field(
        default={}, description="Programs that are told of every decision.")
    reports: ReportsSpec | None = Field(
        None, description="Where reports are copied to; default: the home and the store only.")
    health: HealthSpec = Field(default_factory=HealthSpec)
    patience: PatienceSpec = Field(default_factory=PatienceSpec)
    retention: RetentionSpec = Field(default_factory=RetentionSpec)

    @model_validator(mode="before")
    @classmethod
    def _units_are_known(cls, document: Any) -> Any:
        # first: a bound such as `1%` can only be read with its metric's unit
        return with_units(document)

    def stages(self) -> list[Stage]:
        """Return every traffic step of the cutover in order; deprecation is not one of them.

        Segments add up: who was moved with a segment is never moved back by a later stage.
        """
        steps = [step for phase in self.phases for step in _steps(phase)]
        stages: list[Stage] = []
        moved: tuple[str, ...] = ()
        place = _Reached(0, {})
        for index, (key, fields) in enumerate(steps):
            # each once, in the order in which they were moved
            moved = tuple(dict.fromkeys((*moved, *fields["segments"])))
            place = self._after(place, fields)
            stages.append(Stage(key=key, index=index, **{
                **fields, "segments": moved, "weight": place.weight,
                "shares": tuple(sorted(place.shares.items()))}))
        return stages

    def stages_in(self, phase: int) -> list[Stage]:
        """Return the stages of a phase, by its place among the phases; one kind may come twice."""
        begin = sum(len(_steps(each)) for each in self.phases[:phase])
        return self.stages()[begin:begin + len(_steps(self.phases[phase]))]

    @property
    def all_gates(self) -> dict[str, list[CheckSpec]]:
        """The gates as written, and those of stages of routes: `slo.orders` is gate `slo` about
        route orders only.
        """
        if not self.routes:
            return self.gates
        named = [gate for phase in self.phases for _, fields in _steps(phase)
                 for gate in fields["gates"]]
        return {**self.gates, **of_routes(self.gates, named)}

    def _after(self, before: _Reached, fields: dict[str, Any]) -> _Reached:
        """Return where everything is once a stage with these fields is entered."""
        buckets = int(fields["percent"] * 100)
        if routes := fields["routes"]:
            moved = {name: buckets for name in routes if buckets}
            return _Reached(before.weight, {**before.shares, **moved})
        if fields["phase"] is PhaseKind.FULL:
            return _Reached(BUCKETS, {
                each.name: BUCKETS for each in self.routes if each.move == "alone"})
        return _Reached(buckets, before.shares)

    def route(self, name: str) -> RouteSpec | None:
        """Return the route of that name, or None when the plan has none."""
        return next((route for route in self.routes if route.name == name), None)

    def stage(self, key: str) -> Stage:
        """Return the stage called `key`.

        Raises:
            KeyError: The plan has no such stage.
        """
        for stage in self.stages():
            if stage.key == key:
                return stage
        raise KeyError(key)

    def phase(self, kind: PhaseKind) -> PhaseSpec | None:
        """Return the phase of that kind, or None when the plan has none."""
        return next((phase for phase in self.phases if phase.phase is kind), None)

    def system(self, name: str) -> SystemSpec:
        """Return the baseline's or the candidate's description."""
        return self.systems.baseline if name == "baseline" else self.systems.candidate


@dataclass(frozen=True, slots=True)
class _Reached:
    """Buckets of everything without a place of its own, and of each route that has moved."""

    weight: int
    shares: dict[str, int]


def _steps(phase: PhaseSpec) -> list[tuple[str, dict[str, Any]]]:
    """Return (key, fields of Stage) for each traffic step of a phase."""
    if phase.phase is PhaseKind.DEPRECATION:
        return []
    if phase.phase is PhaseKind.GRADUAL:
        return [_gradual(_fields(phase, stage.percent, stage)) for stage in phase.stages]
    # both have their share by what they are
    percent = {
        PhaseKind.SHADOW: Decimal(0),
        PhaseKind.FULL: Decimal(100),
    }.get(phase.phase, phase.percent or Decimal(0))
    key = f"beta-{_slug(percent)}" if phase.phase is PhaseKind.BETA else str(phase.phase)
    return [(key, _fields(phase, percent, None))]


def _gradual(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    parts = ["gradual", *fields["routes"], _slug(fields["percent"])]
    return "-".join(parts), fields


def _fields(phase: PhaseSpec, percent: Decimal, stage: StageSpec | None) -> dict[str, Any]:
    own = stage or phase
    approval = own.approval
    routes = phase.routes if own.routes is None else own.routes
    return {
        "phase": phase.phase,
        "percent": percent,
        # None: as the phase says; an empty list: none
        "segments": tuple(phase.segments if own.segments is None else own.segments),
        "soak": own.soak or timedelta(0),
        "gates": about(phase.gates if own.gates is None else own.gates, routes),
        "approvers": approval.approvers if approval else 0,
        "approval": approval,
        "reviews": own.reviews,
        "allowed": tuple(own.allowed or phase.allowed),
        "hooks": own.hooks,
        "waits_for": tuple(own.waits_for or phase.waits_for or ()),
        "routes": tuple(routes),
    }


def _slug(percent: Decimal) -> str:
    """Return a percentage as part of a key: 25 → `25`, 0.5 → `0-5`."""
    # `f`: else a Decimal may be written as 1E+1
    text = re.sub(r"\.?0+$", "", f"{percent:f}") if "." in f"{percent:f}" else f"{percent:f}"
    return text.replace(".", "-")
