"""Guardrails: on in every plan unless the plan turns one off, with a reason. Pure.

`changeover.analysis.guardrails` decides when one raises an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from changeover.plan.fields import Part

GATE = "guardrails"
"""Name of their verdicts in the list of the plan's gates."""


class Guardrail(StrEnum):
    """The guardrails, as a plan names them."""

    ERRORS = "errors"
    CLIENT_ERRORS = "client_errors"
    REDIRECTS = "redirects"
    EMPTY_ANSWERS = "empty_answers"
    SHORT_ANSWERS = "short_answers"
    DOWN = "down"
    REGRESSIONS = "regressions"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a guardrail notices, the metric it reads, and whether it can roll back by itself."""

    notices: str
    metric: str
    rolls_back: bool = False


MEANINGS = {
    Guardrail.ERRORS: Meaning(
        "the candidate fails more requests than the baseline", "error_rate", True),
    Guardrail.CLIENT_ERRORS: Meaning(
        "the candidate answers 4xx more often than the baseline", "client_error_rate", True),
    Guardrail.REDIRECTS: Meaning(
        "the candidate redirects more often than the baseline", "redirect_rate", True),
    Guardrail.EMPTY_ANSWERS: Meaning(
        "the candidate answers without a body more often than the baseline", "empty_rate", True),
    Guardrail.SHORT_ANSWERS: Meaning(
        "the candidate's usual answer is less than a tenth of the baseline's", "response_bytes"),
    Guardrail.DOWN: Meaning(
        "the candidate's health probe gets no answer while the baseline's does", "up", True),
    Guardrail.REGRESSIONS: Meaning(
        "shadow comparison calls a regression firm", "divergence_rate"),
    Guardrail.SPLIT: Meaning(
        "the candidate gets another share of the users than the split says", "request_rate"),
}


class OffSpec(Part):
    """A guardrail that is turned off."""

    off: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)] = \
        Field(description="Why it is not needed here; people read it at every gate.")


class GuardrailsSpec(Part):
    """Guardrails are on in every plan; turn one off by name, with a reason."""

    errors: OffSpec | None = Field(None, description=MEANINGS[Guardrail.ERRORS].notices)
    client_errors: OffSpec | None = Field(
        None, description=MEANINGS[Guardrail.CLIENT_ERRORS].notices)
    redirects: OffSpec | None = Field(None, description=MEANINGS[Guardrail.REDIRECTS].notices)
    empty_answers: OffSpec | None = Field(
        None, description=MEANINGS[Guardrail.EMPTY_ANSWERS].notices)
    short_answers: OffSpec | None = Field(
        None, description=MEANINGS[Guardrail.SHORT_ANSWERS].notices)
    down: OffSpec | None = Field(None, description=MEANINGS[Guardrail.DOWN].notices)
    regressions: OffSpec | None = Field(
        None, description=MEANINGS[Guardrail.REGRESSIONS].notices)
    split: OffSpec | None = Field(None, description=MEANINGS[Guardrail.SPLIT].notices)

    @property
    def turned_off(self) -> dict[Guardrail, str]:
        """Return the guardrails that are off, with the reasons."""
        specs = {name: getattr(self, name) for name in Guardrail}
        return {name: spec.off for name, spec in specs.items() if spec is not None}

    def is_on(self, name: Guardrail) -> bool:
        """Whether a guardrail is on."""
        return getattr(self, name) is None
