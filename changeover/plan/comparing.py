"""The parts of a plan about shadow traffic and comparison. Pure."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from changeover.plan.fields import Duration, HeaderName, Part, Pattern, Percent, Regex, Share, Size


class ShadowSpec(Part):
    """How much real traffic is copied to the candidate for comparison."""

    sample: Percent = Field(Decimal(10), description="Share of requests.")
    methods: list[Literal["GET", "HEAD", "OPTIONS"]] = ["GET"]
    replay_unsafe: list[Annotated[str, Field(pattern=r"^[A-Z]+ /\S*$")]] = Field(
        default=[],
        description="Other requests that are safe to repeat: `POST /ocr`, `POST /api/*`."
    )
    max_load: float = Field(0.8, gt=0, le=1, description="Pause copying above this CPU load.")
    mask: list[Pattern] = Field(default=[], description="Places whose values are never stored.")
    noise: Percent = Field(
        Decimal(20), description="Share of copies for which the baseline is asked again."
    )
    timeout: Duration = Field(
        timedelta(seconds=10),
        description="Longest wait for the answer to a copy."
    )
    concurrency: int = Field(8, ge=1, le=1000, description="Copies in flight at once.")
    queue: int = Field(500, ge=1, le=100_000, description="Copies that may wait; more are dropped.")
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="Processes that compare: default 1; `auto`: one less than the machine "
        "has cores. More than may call a system at once are not started."
    )
    keep: int = Field(5_000, ge=0, le=1_000_000, description="Most pairs saved with their bodies.")
    keep_for: Duration = Field(timedelta(days=30), description="How long comparisons are saved.")
    keep_size: Size = Field(
        2_000_000_000, ge=1_000_000,
        description="Most bytes of pairs in the store; the oldest are deleted."
    )

    def copies(self, method: str, path: str) -> bool:
        """Whether a request may be repeated at the candidate; `path` may have its query."""
        if method in self.methods:
            return True
        plain = path.partition("?")[0]
        for entry in self.replay_unsafe:
            name, at = entry.split(" ", 1)
            is_there = plain.startswith(at[:-1]) if at.endswith("*") else plain == at
            if method == name and is_there:
                return True
        return False


class NumericTolerance(Part):
    """How far numbers may be apart."""

    absolute: float | None = Field(None, ge=0)
    relative: Share | None = None
    digits: int | None = Field(None, ge=1, le=40, description="Significant digits that count.")
    decimals: int | None = Field(None, ge=0, le=40, description="Decimal places that count.")


class Replacement(Part):
    """A regular expression and what stands for it before texts are compared."""

    pattern: Regex = Field(min_length=1, max_length=500)
    by: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Replacement:
        try:
            re.sub(self.pattern, self.by, "")  # reads `by`, whether anything is found or not
        except (re.error, IndexError) as error:
            raise ValueError(
                f"`by: {self.by}` does not fit `pattern: {self.pattern}`: {error}; allowed are "
                r"text, \1 and \g<name> for groups of the pattern, and \\ for a backslash"
            ) from error
        return self


class TextTolerance(Part):
    """How far texts may be apart."""

    cer: Share | None = Field(None, description="Character error rate.")
    wer: Share | None = Field(None, description="Word error rate.")
    ignore_case: bool = False
    ignore_whitespace: bool = False
    unicode: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = None
    replace: list[Replacement] = []


class ArraySpec(Part):
    """How the items of two lists are paired."""

    mode: Literal["sequence", "positional", "set", "unique", "keyed"] = Field(alias="as")
    key: str | None = Field(None, description="For `keyed`: the field that identifies an item.")

    @model_validator(mode="after")
    def _has_key(self) -> ArraySpec:
        if (self.mode == "keyed") != (self.key is not None):
            raise ValueError("`key` is required with `as: keyed`, and not allowed otherwise")
        return self


class RuleSpec(NumericTolerance, TextTolerance):
    """What may differ at one place, and who decided that."""

    path: Pattern
    ignore: bool = False
    type_tolerant: bool = False
    null_equals_missing: bool = False
    within: Duration | None = Field(None, description="How far dates may be apart.")
    array: ArraySpec | None = None
    owner: str = Field("", max_length=200)
    reason: str = Field("", max_length=1000)
    expires: date | None = Field(None, description="The rule ends on this day.")


class ComparisonSpec(Part):
    """When two answers count as the same."""

    similarity: Share = Field(1.0, description="Answers at least this similar count as a match.")
    headers: list[HeaderName] = Field(default=["content-type"], description="Compared headers.")
    trailers: list[HeaderName] | None = Field(
        None, description="Compared trailers of gRPC; default: grpc-status and grpc-message.")
    ignore: list[Pattern] = []
    numeric: dict[Pattern, NumericTolerance] = {}
    text: dict[Pattern, TextTolerance] = {}
    arrays: dict[Pattern, ArraySpec] = {}
    rules: list[RuleSpec] = Field(default=[], description="The long form, with owner and expiry.")
