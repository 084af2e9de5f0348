"""What is done before, during and after a stage: levers, suites, flags, steady load. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pydantic import Field, model_validator

from changeover.plan.fields import Duration, Name, Part
from changeover.plan.flags import FlagKey, FlagValue
from changeover.plan.load_requests import Asked
from changeover.plan.suites import Host, LoadCheck, SoakCheck
from changeover.plan.units import format_duration

NO_UNDO = "none"
"""Said in the place of a lever: nothing undoes this hook."""
MOST_RATE = 1_000.0
LONGEST_WAIT = timedelta(days=1)


class HookSpec(Part):
    """One hook before or after a stage: a lever to pull, a suite that must pass, flags to set."""

    lever: Name | None = Field(None, description="Lever to pull.")
    undo: Name | None = Field(
        None,
        description="For `lever`: the lever that a rollback pulls to undo it, or `none`.",
    )
    suite: Name | None = Field(None, description="Suite that must pass.")
    flags: dict[FlagKey, FlagValue] | None = Field(
        None, min_length=1,
        description="Flags to set for everyone; each has a value in `rollback.safe_flags`.")
    retries: int = Field(1, ge=0, le=20, description="Further attempts before people are asked.")
    retry_after: Duration = Field(
        timedelta(seconds=5), description="Wait before each of them, at most 1d.")

    @model_validator(mode="after")
    def _one_way(self) -> HookSpec:
        if [self.lever, self.suite, self.flags].count(None) != 2:
            raise ValueError(
                "exactly one of `lever`, `suite` and `flags` is required; "
                "a `load` belongs into `during`")
        # said even where nothing undoes it: nobody finds that out in a rollback
        if self.lever is not None and self.undo is None:
            raise ValueError(
                "a hook with `lever` needs `undo`: the lever by which a "
                f"rollback undoes it, or `{NO_UNDO}` where nothing does")
        if self.lever is None and self.undo is not None:
            raise ValueError(
                "`undo` belongs to a `lever`; a suite has nothing to undo, and a rollback gives "
                "flags their safe values")
        if self.retry_after > LONGEST_WAIT:
            given = format_duration(self.retry_after)
            most = format_duration(LONGEST_WAIT)
            raise ValueError(
                f"retry_after {given} is too long; allowed are 0s to {most}")
        return self

    @property
    def undone_by(self) -> str:
        """The lever that undoes this hook; empty when none does."""
        return "" if self.undo in (None, NO_UNDO) else str(self.undo)

    @property
    def title(self) -> str:
        """What it does, in few words: `lever scale_up`."""
        if self.flags:
            return "flags " + ", ".join(self.flags)
        return f"lever {self.lever}" if self.lever else f"suite {self.suite}"

    @property
    def text(self) -> str:
        """What it does, and what undoes it."""
        return f"{self.title} (undo {self.undone_by or NO_UNDO})" if self.lever else self.title


class LoadSpec(Part):
    """Steady synthetic load while a stage soaks."""

    load: Name = Field(description="Suite whose load and soak checks say what is asked.")
    rate: float = Field(5.0, gt=0, le=MOST_RATE, description="Requests per second.")
    of: Host = Field("candidate", description="Whom to ask; the gateway splits it as users.")
    measured: bool = Field(
        False, description="Count it as users' requests are counted; for `of: gateway` only.")

    @model_validator(mode="after")
    def _can_be_measured(self) -> LoadSpec:
        if self.measured and self.of != "gateway":
            raise ValueError(
                "`measured: true` needs `of: gateway`: "
                "what does not go through the gateway is in no metric")
        return self

    @property
    def text(self) -> str:
        """What it is, in one phrase."""
        counted = ", measured" if self.measured else ""
        return f"load {self.load} at {self.rate:g}/s to the {self.of}{counted}"


class HooksSpec(Part):
    """What is done around one stage."""

    before: list[HookSpec] = Field(
        default=[], description="In order, before any user is moved into the stage.")
    during: list[LoadSpec] = Field(default=[], description="While the stage soaks.")
    after: list[HookSpec] = Field(
        default=[], description="In order, after the gate, before the stage is promoted.")

    @property
    def text(self) -> str:
        """All of them in one phrase; empty without any."""
        parts = []
        for name in ("before", "during", "after"):
            texts = [each.text for each in getattr(self, name)]
            if texts:
                parts.append(f"{name} {', '.join(texts)}")
        return "; ".join(parts)


def asked_of(checks: Iterable[object]) -> list[Asked]:
    """Return what a suite's load and soak checks ask, each once."""
    found: dict[Asked, None] = {}
    for check in checks:
        if isinstance(check, LoadCheck | SoakCheck):
            found.update(dict.fromkeys(check.asked))
    return list(found)
