"""The OpenFeature provider: flags in Python applications, evaluated in the process itself.

    from openfeature import api
    from changeover.sdk.openfeature import ChangeoverProvider

    api.set_provider_and_wait(ChangeoverProvider.from_console("http://127.0.0.1:4201"))
    api.get_client().get_boolean_value("use_open_ocr", False, EvaluationContext("user-7"))

Needs `pip install 'changeover[openfeature]'`. Without the SDK, `changeover.sdk.feed` is the direct
way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from changeover.errors import Unreachable
from changeover.flags.evaluate import Evaluation, Evaluator
from changeover.flags.snapshot import SYSTEM_FLAG, Snapshot
from changeover.flags.state import BASE
from changeover.plan.flags import Kind, as_document, as_spec
from changeover.sdk.feed import Feed, LatestFlags
from changeover.store.engine import Store

Details = FlagResolutionDetails[Any]


_ASKED: tuple[tuple[Kind, type | None], ...] = (
    (Kind.BOOLEAN, None), (Kind.STRING, None), (Kind.NUMBER, int), (Kind.NUMBER, float),
    (Kind.OBJECT, None),
)
_BOOLEAN, _STRING, _INTEGER, _FLOAT, _OBJECT = range(len(_ASKED))
"""What an application may ask for, as indexes of `_ASKED`: numbers, because enums hash slowly."""
_NOBODY = EvaluationContext()


class _Answers:
    """The snapshot that answers now, with the details of each evaluation, made once."""

    __slots__ = ("latest", "made", "resolvers")

    def __init__(self, latest: LatestFlags) -> None:
        self.latest = latest
        self.resolvers = latest.evaluator.resolvers
        self.made: list[dict[Evaluation, Details]] = [{} for _ in _ASKED]

    def make(self, flag: str, default: Any, context: EvaluationContext, asked: int) -> Details:
        """Return the details of an answer that is asked for the first time, and remember them."""
        evaluator = self.latest.evaluator
        found = evaluator.evaluate(flag, context.targeting_key, context.attributes)
        if found.failure is not None:
            return _failed(default, ErrorCode(found.failure.value), found.why)
        kind, number = _ASKED[asked]
        value = found.value
        is_fraction = number is int and isinstance(value, float) and not value.is_integer()
        if found.kind is not kind or is_fraction:
            wanted = f"whole {kind}" if is_fraction else f"{kind}"
            why = f"flag {found.key} is a {found.kind}, not a {wanted}"
            return _failed(default, ErrorCode.TYPE_MISMATCH, why)
        # A whole number may be stored as 7.0, and be asked for as an integer, or the other way.
        details: Details = FlagResolutionDetails(
            value=deepcopy(value) if number is None else number(value),
            reason=Reason.STALE if self.latest.is_stale else Reason(found.reason.value),
            variant=found.variant,
            flag_metadata=MappingProxyType({**found.metadata, "why": found.why}))
        # What an application may change is made anew each time.
        if kind is not Kind.OBJECT:
            self.made[asked][found] = details
        return details


class ChangeoverProvider(AbstractProvider):
    """Resolves flags from a snapshot that is kept fresh in the background.

    While the console (or the store) is down the last snapshot answers: the provider is then
    `STALE`, and so is the reason of every answer.

    Args:
        feed: Where snapshots come from; ended with the provider.
        wait_seconds: Longest wait for the first snapshot.
    """

    def __init__(self, feed: Feed, *, wait_seconds: float = 5.0) -> None:
        super().__init__()
        self._feed, self._wait = feed, wait_seconds
        self._answers: _Answers | None = None
        self._is_announced = False
        self._times_stale = 0
        feed.subscribe(self._use)

    @classmethod
    def from_console(
        cls, url: str, *, token: str | None = None, cache: Path | None = None,
        wait_seconds: float = 5.0,
    ) -> ChangeoverProvider:
        """Return a provider that follows the console at `url`.

        Args:
            url: The console's address.
            token: A token with the scope `read`, if the console asks for one.
            cache: File for the last snapshot, so that a start works while the console is down.
            wait_seconds: Longest wait for the first snapshot.
        """
        feed = Feed.from_console(url, token=token, cache=cache)
        return cls(feed, wait_seconds=wait_seconds)

    @classmethod
    def from_store(
        cls, store: Store, migration: str, environment: str = BASE
    ) -> ChangeoverProvider:
        """Return a provider that reads the store itself."""
        return cls(Feed.from_store(store, migration, environment))

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="changeover")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Wait for the first snapshot; called by the SDK.

        Raises:
            ProviderNotReadyError: None came in time; one that comes later makes the provider ready.
        """
        try:
            self._feed.start(wait=self._wait)
        except Unreachable as error:
            self._is_announced = True
            raise ProviderNotReadyError(str(error)) from error
        # Started before it was given to this provider, a feed does not call it for old news.
        latest = self._feed.latest
        if latest is not None and self._answers is None:
            self._answers = _Answers(latest)
        self._is_announced = True

    def shutdown(self) -> None:
        """End the background thread; called by the SDK."""
        self._feed.stop()
        self._answers = None

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return a boolean flag."""
        return self._resolve(flag_key, default_value, evaluation_context, _BOOLEAN)

    def resolve_string_details(
        self, flag_key: str, default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return a string flag."""
        return self._resolve(flag_key, default_value, evaluation_context, _STRING)

    def resolve_integer_details(
        self, flag_key: str, default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return a number flag whose value is whole."""
        return self._resolve(flag_key, default_value, evaluation_context, _INTEGER)

    def resolve_float_details(
        self, flag_key: str, default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return a number flag, a whole one as a float."""
        return self._resolve(flag_key, default_value, evaluation_context, _FLOAT)

    def resolve_object_details(
        self, flag_key: str, default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return an object flag."""
        return self._resolve(flag_key, default_value, evaluation_context, _OBJECT)

    def _resolve(
        self, flag: str, default: Any, context: EvaluationContext | None, asked: int
    ) -> Details:
        # One read: the feed's thread may replace the answers at any moment.
        answers, context = self._answers, context or _NOBODY
        if answers is None:
            return _failed(default, ErrorCode.PROVIDER_NOT_READY, "there are no flags yet")
        try:
            found = answers.resolvers[flag](context.targeting_key, context.attributes)
            return answers.made[asked][found]
        except KeyError:
            return answers.make(flag, default, context, asked)
        except (TypeError, UnicodeEncodeError) as error:
            why = f"the targeting key is not text that can be hashed: {error}"
            return _failed(default, ErrorCode.INVALID_CONTEXT, why)

    def _use(self, latest: LatestFlags) -> None:
        """Answer from the feed's newest snapshot, and notify the SDK; runs in the feed's thread."""
        before = self._answers
        if before is None or before.latest is not latest:
            self._answers = _Answers(latest)
        # The SDK itself announces the end of `initialize`.
        if not self._is_announced:
            return
        if latest.is_stale:
            self._say_stale(latest, before)
            return
        self._times_stale = 0
        if before is None or before.latest.is_stale:
            self.emit_provider_ready(ProviderEventDetails())
        if before is not None and before.latest.evaluator is not latest.evaluator:
            names = changed(before.latest.evaluator, latest.evaluator)
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=names))

    def _say_stale(self, latest: LatestFlags, before: _Answers | None) -> None:
        """Notify the SDK twice: the first may come before it announces the start, and be lost."""
        if before is not None and not before.latest.is_stale:
            self._times_stale = 0
        if self._times_stale < 2:
            self._times_stale += 1
            self.emit_provider_stale(ProviderEventDetails(message=latest.problem))


def changed(before: Evaluator, after: Evaluator) -> list[str]:
    """Return the names of flags that may have another value now."""
    # Only what may differ is named: applications drop their caches of these flags.
    old, new = before.snapshot, after.snapshot
    has_moved = _around(old) != _around(new)
    found = []
    for key in sorted({*before.keys, *after.keys}):
        may_follow = key == SYSTEM_FLAG or _follows_migration(new, key)
        is_other = _document(old, key) != _document(new, key)
        if is_other or (has_moved and may_follow):
            found.append(key)
    return found


def _around(snapshot: Snapshot) -> tuple[Any, ...]:
    """Return all besides the flags themselves that their values depend on."""
    state = snapshot.state
    return (
        state.mode, state.weight, state.segments, state.kept, state.segment_weight,
        state.maintenance, snapshot.rule, snapshot.key_header, snapshot.segments,
        snapshot.flag_segments, snapshot.safe_flags,
    )


def _document(snapshot: Snapshot, key: str) -> Any:
    entry = snapshot.flags.get(key)
    return None if entry is None else as_document(entry)


def _follows_migration(snapshot: Snapshot, key: str) -> bool:
    """Whether a flag may change with the routing or the segments alone."""
    if key in snapshot.safe_flags or key not in snapshot.flags:
        return True
    spec = as_spec(snapshot.flags[key])
    has_segments = any(rule.segments for rule in spec.rules)
    return bool(spec.mirrors or spec.in_modes or has_segments)


def _failed(default: Any, code: ErrorCode, message: str) -> Details:
    return FlagResolutionDetails(
        value=default, reason=Reason.ERROR, error_code=code, error_message=message)

