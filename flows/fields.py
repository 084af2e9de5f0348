"""Parameters of the flows with something to choose, as Prefect's form shows them.

What each is for stands in its flow's docstring, which Prefect shows below the field; its title is
the parameter's name.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from changeover.domain.tokens import without_tokens

# Prefect keeps what was typed; our store and audit do not keep a token
Reason = Annotated[
    str, Field(min_length=1, examples=["orders are missing"]), AfterValidator(without_tokens)]
# two tabs in the form: a list of what is always there, and a text for the plan's own names
Scope = (
    Annotated[Literal["all", "stage"], Field(title="Everyone, or one stage back")]
    | Annotated[str, Field(title="A segment or a route", pattern="^(segment|route):.",
                           examples=["segment:beta", "route:orders"])]
)
Suite = (
    Annotated[
        Literal["staging", "pre_cutover", "post_cutover", "post_rollback"],
        Field(title="One of the usual suites")]
    | Annotated[str, Field(title="Another suite", pattern="^[a-z][a-z0-9_-]{0,62}$")]
)
