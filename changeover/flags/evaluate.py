"""A flag's value for a user, and why. Pure; a snapshot is compiled once, then answers fast.

Every possible answer of a flag is made beforehand; evaluating picks one of them. The order is:
a rollback's safe flags, a mode's lock, what the migration decides, the first rule that fits,
the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any

from changeover.domain.buckets import BLANKS, BUCKETS, Key, bucket, digest, number_of, values_of
from changeover.domain.routing import SPLIT, Mode, System, decide
from changeover.flags import conditions
from changeover.flags.conditions import Context, Predicate
from changeover.flags.snapshot import SYSTEM_FLAG, Snapshot
from changeover.plan.flags import DISABLED, ENABLED, FlagSpec, Kind, Mirror, RuleSpec, as_spec
from changeover.plan.routing import KeyRule
from changeover.plan.units import format_percent

Scalar = bool | int | float | str
Resolver = Callable[[Key | None, Context], "Evaluation"]
Draw = Callable[[Key | None], int]
_NO_BUCKET = BUCKETS
"""The bucket of a user without a key, who takes part in no draw."""
EMPTY: Context = MappingProxyType({})


class Reason(StrEnum):
    """Why a value is what it is, in OpenFeature's words.

    Source: OpenFeature specification, "Types and data structures", resolution reason.
    """

    STATIC = "STATIC"  # the same for everyone
    TARGETING_MATCH = "TARGETING_MATCH"  # a rule about attributes or segments fits
    SPLIT = "SPLIT"  # the user's bucket decided
    DEFAULT = "DEFAULT"  # there are rules, and none fits
    ERROR = "ERROR"


class Failure(StrEnum):
    """Why there is no value, in OpenFeature's error codes."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    TYPE_MISMATCH = "TYPE_MISMATCH"
    INVALID_CONTEXT = "INVALID_CONTEXT"  # a key that no request can carry


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Evaluation:
    """One of a flag's answers; the same object each time, so never change what is in it.

    Args:
        key: The flag.
        value: Its value; None when there is none.
        variant: The value's name.
        reason: Why, as a word.
        why: Why, as a phrase for people.
        kind: What the flag's values are; None for an unknown flag.
        metadata: Facts for programs, as the version of the routing state.
        failure: Why there is no value; None when there is one.
    """

    key: str
    value: Any
    variant: str
    reason: Reason
    why: str
    kind: Kind | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    failure: Failure | None = None


class Evaluator:
    """A compiled snapshot. Safe to use from several threads; it never changes.

    Args:
        snapshot: What is compiled; `resolvers` then has a function for each flag.
    """

    __slots__ = ("resolvers", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        builder = _Builder(snapshot)
        system = _Flag(SYSTEM_FLAG, FlagSpec(mirrors=Mirror.SYSTEM))
        self.resolvers: dict[str, Resolver] = {SYSTEM_FLAG: builder.resolver(system)}
        for key, entry in snapshot.flags.items():
            self.resolvers[key] = builder.resolver(_Flag(key, as_spec(entry)))
        self.resolvers |= builder.undefined_safe_flags()

    @property
    def keys(self) -> list[str]:
        """Names of all flags, sorted."""
        return sorted(self.resolvers)

    def evaluate(self, flag: str, key: Key | None = None, context: Context = EMPTY) -> Evaluation:
        """Return a flag's value for a user; a key that no request can carry is a failure in it.

        Args:
            flag: Name of the flag.
            key: The user's key, as in the gateway's key header: its text, its bytes, or all of its
                values when it came more than once; None for nobody in particular.
            context: Attributes of the user.
        """
        try:
            resolver = self.resolvers[flag]
        except KeyError:
            return not_found(flag)
        try:
            return resolver(key, context)
        except (TypeError, UnicodeEncodeError) as error:
            why = f"no request can carry this key: {error}"
            return Evaluation(flag, None, "", Reason.ERROR, why, failure=Failure.INVALID_CONTEXT)

    def value(
        self, flag: str, default: Any, key: Key | None = None, context: Context = EMPTY
    ) -> Any:
        """Return a flag's value, or `default` when there is none of the default's type."""
        found = self.evaluate(flag, key, context)
        return found.value if _is_like(found.value, default) else default


def not_found(flag: str) -> Evaluation:
    """Return the answer for a flag that nobody knows."""
    return Evaluation(flag, None, "", Reason.ERROR, f"there is no flag {flag!r}",
                      failure=Failure.FLAG_NOT_FOUND)


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    are_objects = isinstance(default, dict | list) and isinstance(value, dict | list)
    return are_objects or isinstance(value, type(default))


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag with its name."""

    key: str
    spec: FlagSpec


class _Builder:
    """Turns flags of one snapshot into functions."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._state = snapshot.state
        self._keyless = "no number at the key's end" if snapshot.rule.modulo else "no key"
        self._draw = _drawing(snapshot.rule)
        self._gateway: dict[str, Predicate] = {}
        for name, spec in snapshot.segments.items():
            self._gateway[name] = conditions.segment(spec)
        self._segments: dict[str, Predicate] = {}
        for name, specs in snapshot.flag_segments.items():
            self._segments[name] = conditions.attributes(specs)
        # After the flags' own: of the same name, the gateway's segment decides, as for routing.
        self._segments |= self._gateway

    def resolver(self, flag: _Flag) -> Resolver:
        """Return the function that picks the flag's answer for a user."""
        found = self._resolver(flag)
        # Most flags do not: then no context is copied for each answer.
        if not self._asks_for_key(flag.spec):
            return found
        header = self._snapshot.key_header
        return lambda user, context: found(user, conditions.with_key(context, user, header))

    def _asks_for_key(self, spec: FlagSpec) -> bool:
        """Whether a flag depends on the key as an attribute, which a context then must have."""
        snapshot, asked, segments = self._snapshot, set[str](), list[str]()
        for rule in spec.rules:
            segments += rule.segments
            asked.update(rule.when or ())
        if spec.mirrors is Mirror.SYSTEM:
            segments += [*self._state.segments, *self._state.kept]
        for name in segments:
            if name in snapshot.segments:
                asked.add(snapshot.segments[name].attribute)
            asked.update(snapshot.flag_segments.get(name, ()))
        return not asked.isdisjoint({snapshot.key_header, conditions.TARGETING_KEY})

    def _resolver(self, flag: _Flag) -> Resolver:
        locked = self._locked(flag)
        if locked is not None:
            return _always(locked)
        if flag.spec.mirrors is not None:
            return self._mirroring(flag)
        if not flag.spec.rules:
            fallback = str(flag.spec.fallback)
            return _always(self._answer(flag, fallback, Reason.STATIC, "set for everyone"))
        return self._by_rules(flag)

    def undefined_safe_flags(self) -> dict[str, Resolver]:
        """Return the safe flags that the plan does not define; they apply in a rollback only."""
        found: dict[str, Resolver] = {}
        if self._state.mode is Mode.EMERGENCY_ROLLBACK:
            for key, value in self._snapshot.safe_flags.items():
                if key not in self._snapshot.flags:
                    found[key] = _always(self._safe(_Flag(key, as_spec(value))))
        return found

    def _answer(
        self, flag: _Flag, variant: str, reason: Reason, why: str, **more: Scalar
    ) -> Evaluation:
        spec = flag.spec
        metadata = {"migration": self._state.migration, **self._base(spec), **more}
        return Evaluation(flag.key, spec.choices[variant], variant, reason, why, spec.kind,
                          MappingProxyType(metadata))

    def _base(self, spec: FlagSpec) -> dict[str, Scalar]:
        facts: dict[str, Scalar] = {}
        if self._snapshot.environment:
            facts["environment"] = self._snapshot.environment
        if spec.expires is not None:
            facts["expires"] = spec.expires.isoformat()
        if spec.owner:
            facts["owner"] = spec.owner
        return facts

    def _safe(self, flag: _Flag) -> Evaluation:
        return self._answer(
            flag, str(flag.spec.fallback), Reason.STATIC, "safe flag of the emergency rollback",
            lockedBy=str(Mode.EMERGENCY_ROLLBACK))

    def _locked(self, flag: _Flag) -> Evaluation | None:
        """Return the answer that a rollback or the mode prescribes; None when none does."""
        mode = self._state.mode
        if mode is Mode.EMERGENCY_ROLLBACK and flag.key in self._snapshot.safe_flags:
            value = self._snapshot.safe_flags[flag.key]
            return self._safe(_Flag(flag.key, fixed(flag.spec, value)))
        variant = flag.spec.in_modes.get(mode.value)
        if variant is None:
            return None
        why = f"locked by mode {mode}"
        return self._answer(flag, variant, Reason.STATIC, why, lockedBy=str(mode))

    def _mirroring(self, flag: _Flag) -> Resolver:
        state, spec = self._state, flag.spec
        if spec.mirrors is Mirror.SYSTEM:
            return self._by_system(flag)
        if spec.mirrors is Mirror.PERCENT:
            percent = state.weight / 100
            number = int(percent) if percent.is_integer() else percent
            shown = FlagSpec(
                variants={"percent": number}, default="percent", owner=spec.owner,
                expires=spec.expires)
            why = f"{format_percent(state.weight)} of users have moved"
            answer = self._answer(_Flag(flag.key, shown), "percent", Reason.STATIC, why)
            return _always(answer)
        if spec.mirrors is Mirror.MODE:
            name, why = spec.shown_in(state.mode.value), f"the mode is {state.mode}"
        else:
            name = ENABLED if state.maintenance else DISABLED
            why = f"maintenance is {'on' if state.maintenance else 'off'}"
        variant = name if name in spec.choices else str(spec.default)
        return _always(self._answer(flag, variant, Reason.STATIC, why))

    def _by_system(self, flag: _Flag) -> Resolver:
        """Return the function that answers as the gateway routes."""
        state, weight, draw = self._state, self._state.weight, self._draw
        if state.mode not in SPLIT:
            system, why = decide(state, None), f"mode {state.mode}"
            return _always(self._of_system(flag, system, Reason.STATIC, why))
        in_segment, is_kept = self._in_any(state.segments), self._in_any(state.kept)
        left = state.segment_weight + (state.segment_weight == BUCKETS)  # with no bucket, too
        share = f"{weight} ({format_percent(weight)})"
        answer, fits = partial(self._of_system, flag), Reason.TARGETING_MATCH
        back = answer(System.BASELINE, fits, "in a segment that was rolled back")
        first = answer(System.CANDIDATE, fits, "in a segment that has moved")
        yes = answer(System.CANDIDATE, Reason.SPLIT, f"bucket below {share}")
        no = answer(System.BASELINE, Reason.SPLIT, f"bucket at or above {share}")
        keyless = answer(System.BASELINE, Reason.DEFAULT, self._keyless)

        def resolve(user: Key | None, context: Context) -> Evaluation:
            if is_kept is not None and is_kept(context):
                return back
            if in_segment is not None and in_segment(context) and draw(user) < left:
                return first
            number = draw(user)
            if number == _NO_BUCKET:
                return keyless
            return yes if number < weight else no

        return resolve

    def _in_any(self, segments: Sequence[str]) -> Predicate | None:
        """Return whether a context is in one of the gateway's segments; None: no context is."""
        known = [self._gateway[name] for name in segments if name in self._gateway]
        return conditions.any_of(known) if known else None

    def _of_system(self, flag: _Flag, system: System, reason: Reason, why: str) -> Evaluation:
        is_choice = system.value in flag.spec.choices
        variant = system.value if is_choice else str(flag.spec.default)
        return self._answer(flag, variant, reason, why, system=system.value)

    def _by_rules(self, flag: _Flag) -> Resolver:
        """Return the function that takes the first rule that fits, from the last one back."""
        fallback = str(flag.spec.fallback)
        lost = self._answer(flag, fallback, Reason.SPLIT, "bucket in no rule's share")
        default = self._answer(flag, fallback, Reason.DEFAULT, "no rule fits")
        tail = _always(default)
        for number, rule in reversed(list(enumerate(flag.spec.rules, 1))):
            reason = Reason.TARGETING_MATCH if rule.percent is None else Reason.SPLIT
            why = f"rule {number}: {rule.describe()}"
            won = self._answer(flag, rule.variant, reason, why, rule=number)
            tail = self._step(rule, won, tail, lost=lost, default=default)
        return tail

    def _step(
        self, rule: RuleSpec, won: Evaluation, after: Resolver, *, lost: Evaluation,
        default: Evaluation,
    ) -> Resolver:
        """Return the function of one rule and those after it.

        A user who is not in the rule's percentage gets the default because of the draw (`lost`),
        not because no rule fits (`default`).
        """
        fits = self._who(rule)
        if rule.percent is None:
            if fits is None:
                return _always(won)
            return lambda user, context: won if fits(context) else after(user, context)
        weight, draw = int(rule.percent * 100), self._draw

        def resolve(user: Key | None, context: Context) -> Evaluation:
            if fits is not None and not fits(context):
                return after(user, context)
            number = draw(user)
            if number < weight:
                return won
            found = after(user, context)
            return lost if found is default and number != _NO_BUCKET else found

        return resolve

    def _who(self, rule: RuleSpec) -> Predicate | None:
        """Return whether a rule is for a context, its percentage aside; None: for everyone."""
        parts = []
        if rule.segments:
            # A segment that nobody defines has nobody in it.
            named = [self._segments.get(name, _nobody) for name in rule.segments]
            parts.append(conditions.any_of(named))
        if rule.when:
            parts.append(conditions.attributes(rule.when))
        return conditions.all_of(parts) if parts else None


def _drawing(rule: KeyRule) -> Draw:
    """Return the function that gives a user's bucket; `bucket`, for most keys without its calls."""
    if rule.modulo:
        return partial(_drawn_by_number, rule)
    salt = rule.salt
    hashed, most, blanks = digest, BUCKETS, BLANKS  # locals are found faster than globals

    def draw(user: Key | None) -> int:
        if type(user) is str and (text := user.strip(blanks)):
            try:
                return hashed((salt + text).encode()) % most
            except UnicodeEncodeError:
                return bucket(user, salt=salt)
        return bucket(user or "", salt=salt) if values_of(user) else _NO_BUCKET

    return draw


def _drawn_by_number(rule: KeyRule, user: Key | None) -> int:
    number = number_of(user, rule)
    return _NO_BUCKET if number is None else number


def fixed(spec: FlagSpec, value: Any) -> FlagSpec:
    """Return a flag that has `value` for everyone, as one of its variants or a new one."""
    name, variants = "by_hand", {**spec.choices, "by_hand": value}
    for known, one in spec.choices.items():
        # Of one type: `1 == True` in Python, but not for an application.
        if type(one) is type(value) and one == value:
            name, variants = known, spec.variants if spec.mirrors is None else spec.choices
            break
    return spec.model_copy(update={
        "variants": variants, "default": name, "rules": [], "mirrors": None})


def _always(answer: Evaluation) -> Resolver:
    return lambda user, context: answer


def _nobody(context: Context) -> bool:
    return False

