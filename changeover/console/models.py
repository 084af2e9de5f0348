"""The form of the console's requests and answers. Unknown fields are refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from changeover.domain.claims import Claim
from changeover.domain.routing import System
from changeover.flags.explain import LONGEST_KEY
from changeover.plan.fields import Name
from changeover.plan.metrics import QUALITY_NAME


def _number(value: object) -> object:
    """Refuse what pydantic would turn into a number, but JSON Schema does not call one."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


_NUMBER = BeforeValidator(_number)
# letters and signs that need no escaping in an address, a log and a shell
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@~+-]{0,127}$")]
ITEM = r"^[A-Za-z0-9][A-Za-z0-9._:@~+-]{0,199}$"
Holder = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@~+/-]{0,119}$",
                              description="Who asks; the same name is the same holder.")]
# what a header can carry: no control characters but the tab
KEY = r"^[^\x00-\x08\x0a-\x1f\x7f]+$"
Key = Annotated[str, Field(pattern=KEY, max_length=LONGEST_KEY,
                           description="The user's key, as in `routing.key`.")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]{1,500}$")]
# below 2 ** 53: clients in JavaScript know no greater whole numbers exactly
Token = Annotated[int, _NUMBER, Field(ge=1, lt=1 << 53, description="The claim's fencing token.")]
Lease = Annotated[float, _NUMBER, Field(gt=0, le=86_400, allow_inf_nan=False,
                                        description="Seconds; default: the plan's `claims.lease`.")]
Segments = Annotated[list[Name], Field(max_length=16, description="Segments of the plan.")]
Quality = Annotated[float, _NUMBER, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
Seconds = Annotated[float, _NUMBER, Field(ge=0, le=1e7, allow_inf_nan=False)]
MOST_OUTCOMES = 5000


class Body(BaseModel):
    """Base of every request's body."""

    # unknown fields are refused: a misspelt `lease_second` would silently be the default
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ClaimIn(Body):
    """Somebody wants to act on an item."""

    system: System
    holder: Holder
    lease_seconds: Lease | None = None
    key: Key | None = Field(None, description="Decides between the systems; default: the item.")
    segments: Segments = []


class HeldIn(Body):
    """The holder speaks about its claim."""

    token: Token


class RenewIn(HeldIn):
    """The holder needs longer."""

    lease_seconds: Lease | None = None


class HandOverIn(HeldIn):
    """The holder wants the other system to act."""

    to: System
    reason: Text


class FailIn(HeldIn):
    """The holder could not do it."""

    reason: Text


class ClaimOut(BaseModel):
    """A claim as it stands. Give `token` to what the effect goes to: it refuses lower ones."""

    item: str
    status: Literal["free", "held", "done"]
    system: System
    holder: str
    token: int
    claimed_at: datetime
    expires_at: datetime
    given_to: Literal["", "baseline", "candidate"] = ""
    reason: str = ""


_CLAIM = tuple(ClaimOut.model_fields)


class FailOut(BaseModel):
    """What became of a failed item; `rollback` says that everyone is back at the baseline."""

    claim: ClaimOut
    rollback: str | None = None


class OutcomeIn(Body):
    """What became of one piece of work, as only the application knows it."""

    id: Id = Field(description="The reporter's own; the same one again counts once.")
    system: Literal["baseline", "candidate"]
    is_success: StrictBool = Field(alias="success")
    seconds: Seconds | None = None
    quality: dict[Annotated[str, Field(pattern=rf"^{QUALITY_NAME}$")], Quality] = Field(
        default={}, max_length=20, description="Named numbers: `outcome.NAME` in gates.")
    segments: Segments = []
    user_key: Key | None = Field(
        None, alias="key", repr=False,
        description="Whose work it was: the user's key, as in `routing.key`. It is hashed to a "
        "bucket at once and not stored; without it the outcome is in no comparison by evidence.")

    @property
    def key(self) -> str:
        """The user's key; empty when it was not told."""
        return self.user_key or ""


class OutcomesOut(BaseModel):
    """How many outcomes are stored now, and how many of them were not known before."""

    accepted: int
    new: int


class DecisionOut(BaseModel):
    """Which system a user gets, and why."""

    key: str
    system: System
    because: str
    bucket: int | None
    segments: list[str]
    mode: str
    percent: float
    both: bool = Field(description="Whether both systems process; only one may have effects.")
    maintenance: bool
    version: int
    epoch: int


def document(claim: Claim) -> dict[str, Any]:
    """Return a claim for clients, of the form of `ClaimOut`."""
    return {name: getattr(claim, name) for name in _CLAIM}


def lease_of(seconds: float | None) -> timedelta | None:
    """Return a lease in seconds as a duration; None for the plan's."""
    return None if seconds is None else timedelta(seconds=seconds)
