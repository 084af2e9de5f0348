"""Webhooks of a plan: programs that are told of every decision, signed and in order. Pure."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from changeover.plan.decisions import KINDS
from changeover.plan.fields import Duration, Part
from changeover.plan.suites import Variable


def _known(pattern: str) -> str:
    if not any(fnmatchcase(kind, pattern) for kind in KINDS):
        groups = sorted({f"{kind.partition('.')[0]}.*" for kind in KINDS})
        raise ValueError(
            f"no kind of event is called {pattern!r}; allowed are `*`, the kinds of docs/events.md,"
            f" and {', '.join(groups)}")
    return pattern


KindPattern = Annotated[
    str, AfterValidator(_known), Field(examples=["stage.promoted", "rollback.*"])]
"""A kind of event, or a pattern of kinds."""


class WebhookSpec(Part):
    """A program that gets a CloudEvent for each decision, one after the other."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = Field(
        None, description="Its address.")
    env: Variable | None = Field(
        None, description="Environment variable with its address, where that is a secret.")
    secret: Variable = Field(
        description="Environment variable with the secret that signs: whsec_ and base64.")
    kinds: list[KindPattern] = Field(
        default_factory=lambda: ["*"], min_length=1,
        description="Which events, as `rollback.*`; default: all.")
    give_up: Duration = Field(
        timedelta(days=1), ge=timedelta(minutes=1), le=timedelta(days=30),
        description="How long it may fail before events of that age are given up.")

    @model_validator(mode="after")
    def _one_way(self) -> WebhookSpec:
        if (self.url is None) == (self.env is None):
            raise ValueError("exactly one of `url` and `env` is required")
        return self
