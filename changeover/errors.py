"""Every error a person can meet, and the exit code that each one ends a command with.

    ChangeoverError            1  something failed that has no narrower class
    ├── InvalidInput           2  wrong option, wrong value, unknown name
    │   └── InvalidPlan        2  the plan was refused (carries every problem found)
    ├── Refused                4  a rule forbids it now: transition, second cutover, stale epoch
    │   ├── TransitionRefused
    │   ├── CutoverActive
    │   ├── StaleEpoch
    │   ├── CarriedElsewhere
    │   ├── ApprovalRefused
    │   ├── AheadOfLeader
    │   ├── FlagChanged
    │   └── Replaced         10  a gateway node whose name another one took: not to be started again
    ├── StoreError             5  the database cannot be used
    │   ├── StoreBusy             the database works, but did not answer in time
    │   │   └── StoreLocked
    │   └── WrongStoreVersion
    ├── NotLeading             1  another observer may lead; it does what this one does not
    ├── Unreachable            6  another process does not answer: Prefect, the gateway, a system
    │   └── PublishFailed         the gateway did not accept a configuration; the old one stays
    └── EnvironmentProblem     7  port in use, unwritable directory, missing program

Exit code 0 means done (a cutover: promoted), 3 means the cutover was rolled back, 130 that it was
interrupted with Ctrl-C. `changeover wait` also ends with 8 (timed out) and 9 (what it waited for
cannot come any more). Texts have four parts: what is wrong, where, what is allowed, what next.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_ROLLED_BACK = 3
EXIT_TIMED_OUT = 8
EXIT_IMPOSSIBLE = 9
EXIT_INTERRUPTED = 130


class ChangeoverError(Exception):
    """An error that is shown to a person as one clear message.

    Args:
        what: What is wrong, with the value found.
        where: File and line, path in the document, table or address; empty when `what` says it.
        allowed: What would be accepted; empty when there is nothing to choose from.
        next_step: What to do about it, as an instruction.
    """

    exit_code = EXIT_FAILED

    def __init__(
        self, what: str, *, where: str = "", allowed: str = "", next_step: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.allowed = allowed
        self.next_step = next_step

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.allowed:
            text = f"{text}. Allowed: {self.allowed}"
        if self.next_step:
            text = f"{text}. {self.next_step}"
        return text


class InvalidInput(ChangeoverError):
    """A value given on the command line or over HTTP is not one of those allowed."""

    exit_code = 2


class InvalidPlan(InvalidInput):
    """A plan was refused. `problems` lists every problem, each a sentence with line and path."""

    def __init__(self, source: str, problems: list[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"the plan was refused with {count}:\n  " + "\n  ".join(problems), where=source
        )
        self.problems = problems


class Refused(ChangeoverError):
    """A rule forbids the action in the present state; nothing was changed."""

    exit_code = 4


class TransitionRefused(Refused):
    """The routing state may not change from the current mode to the requested one."""


class CutoverActive(Refused):
    """Another cutover of the same migration has not ended."""


class StaleEpoch(Refused):
    """A rollback happened after the caller began; the caller's decision no longer counts."""


class CarriedElsewhere(Refused):
    """Another flow run does this work; two runs would pull its levers twice."""


class ApprovalRefused(Refused):
    """The approval changed nothing: somebody answered before, or a rollback came first."""


class AheadOfLeader(Refused):
    """A member of a group would go further than one that goes first."""


class FlagChanged(Refused):
    """Someone else changed the flag since the caller read it."""


class Replaced(Refused):
    """A gateway node's name belongs to another by now, as to a copy of its home; it ended.

    A code of its own, so that nobody starts it again: each of the two would end the other for ever.
    """

    exit_code = 10


class StoreError(ChangeoverError):
    """The store cannot be used."""

    exit_code = 5


class StoreBusy(StoreError):
    """The store works but did not answer in time; the change is recorded later."""


class StoreLocked(StoreBusy):
    """The database stayed locked by another process beyond the timeout."""


class WrongStoreVersion(StoreError):
    """The database's schema is older or newer than this program's."""


class NotLeading(ChangeoverError):
    """Another observer leads, or may; nothing was changed."""


class Unreachable(ChangeoverError):
    """Another process does not answer."""

    exit_code = 6


class PublishFailed(Unreachable):
    """The gateway did not confirm a configuration; it still serves the previous one."""


class EnvironmentProblem(ChangeoverError):
    """The machine lacks something: a free port, a writable directory, a program."""

    exit_code = 7
