"""How each action of the pages is carried out: by the procedures that the commands call, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from changeover import clock
from changeover.console.actions import named, skips
from changeover.domain.approvers import rules_of
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import Answer, StageAction, StageRecord
from changeover.domain.routing import Mode
from changeover.domain.sessions import SignedIn, Source
from changeover.domain.tokens import ApproverToken
from changeover.errors import Refused
from changeover.flags.by_hand import with_percent
from changeover.flags.state import FlagEdit, FlagState
from changeover.gateway import publish
from changeover.gateway.publish import Gateway
from changeover.observer.carrying import describe_end
from changeover.plan.flags import as_document
from changeover.plan.until import longer_by, parse_until
from changeover.procedures import answering, by_hand, going_back, modes_by_hand, steering
from changeover.procedures.answering import Asking, Patience
from changeover.procedures.by_hand import Done
from changeover.site.site import Site
from changeover.store import admission, approver_tokens
from changeover.store import flags as stored
from changeover.store.admission import Said
from changeover.store.engine import Store

HURRY_SECONDS = 0.7
"""As long as the observer waits before it moves users at the gateway, see decision 18."""
SHORT = Patience(form=15.0, answer=10.0)
"""A person waits before the page: what takes longer is seen on the next one."""


@dataclass(frozen=True)
class Order:
    """What somebody wants done.

    Args:
        site: The migration.
        who: Who wants it, as they signed in.
        values: The fields of the form.
        form_id: Names the form: what is done for it is done once.
        reason: Why.
    """

    site: Site
    who: SignedIn
    values: dict[str, str]
    form_id: str
    reason: str

    @property
    def by(self) -> Author:
        """Who is responsible, for the audit."""
        return Author(self.who.name, self.reason)

    @property
    def cause(self) -> Cause:
        """The same of a rollback."""
        return Cause(self.who.name, self.reason)


def patient(site: Site) -> Site:
    """Return the same migration with a gateway that is waited for, as people do."""
    if not site.gateway.is_here:
        return site
    gateway = Gateway(site.gateway.files, patience=publish.PATIENT_SECONDS)
    return Site(site.home, site.plan, site.store, gateway)


def hurried(site: Site) -> Site:
    """Return the same migration with a store that is not waited for: users are to be moved."""
    store = Store.open(site.home.store_url, timeout=HURRY_SECONDS)
    return Site(site.home, site.plan, store, site.gateway)


def _emergency(order: Order) -> Done:
    return going_back.at_once(order.site, order.cause)


def _rollback(order: Order) -> Done:
    occasion = f"form-{order.form_id[:40]}"
    return going_back.by_scope(
        order.site, order.values["scope"], order.cause, occasion)


def _mode(order: Order) -> Done:
    mode, percent = Mode(order.values["mode"]), order.values.get("percent", "").strip() or None
    return modes_by_hand.enter(order.site, order.by, mode, percent, describe_end)


def _answer(order: Order) -> Done:
    site, who = order.site, order.who
    asked = answering.open_question(site)
    if str(asked.id) != order.values.get("seen"):
        raise Refused("this was answered already, or is not asked any more")
    decision = StageAction(order.values["decision"])
    # a token of the console shows a right, and not who somebody is
    if rules_of(site.plan, asked.stage).tokens and not who.is_person:
        said = Said(site.migration, asked.stage, who.name, decision)
        raise admission.refuse(site.store, said, _NOT_A_PERSON, now=clock.now())
    given = Answer(decision, who.name, order.reason, "console")
    done = answering.give(Asking(site, asked, describe_end, SHORT), given)
    return Done(done.text)


_NOT_A_PERSON = "a token of the console does not show who somebody is; sign in as a person"


def _promote_now(order: Order) -> Done:
    record = _soak_that_was_shown(order)
    return by_hand.promote_now(order.site, order.by, record, _proof(order))


def _skip_stage(order: Order) -> Done:
    site, key = order.site, order.values["stage"]
    # of a cutover that began since, nobody has seen anything
    if skips(steering.running(site), key) != order.values.get("seen"):
        raise Refused("the cutover that was shown has ended")
    return by_hand.skip_stage(site, order.by, key, _proof(order))


def _soak_that_was_shown(order: Order) -> StageRecord:
    """Return the present soak.

    Raises:
        Refused: It is another one than the person saw.
    """
    site = order.site
    record = steering.soaking(site, steering.running(site))
    if named(record) != order.values.get("seen"):
        raise Refused("the soak that was shown is over")
    return record


def _proof(order: Order) -> ApproverToken | bool:
    """Return how a person has shown who they are; False when they have not."""
    site, who = order.site, order.who
    if who.source is Source.OIDC:
        return True
    if who.source is Source.APPROVER:
        for each in approver_tokens.every(site.store, site.migration):
            if each.id == who.token_id:
                return each
    return False


def _extend(order: Order) -> Done:
    _soak_that_was_shown(order)
    by = longer_by(order.values["duration"], where="duration")
    return by_hand.extend(order.site, order.by, by)


def _freeze(order: Order) -> Done:
    text = order.values.get("until", "").strip()
    until = parse_until(text, clock.now(), where="until") if text else None
    return by_hand.freeze(order.site, order.by, until)


def _flag(order: Order) -> Done:
    name, percent = order.values["flag"], order.values["percent"]
    variant = order.values.get("variant", "").strip() or None

    def wish(flag: FlagState) -> object:
        return as_document(with_percent(name, flag.entry, percent, variant))

    site, seen = order.site, int(order.values.get("seen") or 0)
    known = stored.read(site.store, site.migration, site.environment)
    flag = known.get(name)
    # sent again after a kill, it has its new version already
    if flag is None or flag.document != wish(flag):
        edit = FlagEdit(name, wish, site.environment, expected_version=seen)
        flag = stored.change(site.store, site.migration, edit, order.by, now=clock.now())
    return Done(f"{name}: {percent} % (version {flag.version})")


BY_NAME: dict[str, Callable[[Order], Done]] = {
    "emergency": _emergency,
    "rollback": _rollback,
    "mode": _mode,
    "recover": lambda order: by_hand.recover(order.site, order.by),
    "answer": _answer,
    "pause": lambda order: by_hand.pause(order.site, order.by),
    "resume": lambda order: by_hand.resume(order.site, order.by),
    "extend": _extend,
    "promote-now": _promote_now,
    "skip-stage": _skip_stage,
    "maintenance-on": lambda order: by_hand.maintenance(
        order.site, order.by, is_on=True),
    "maintenance-off": lambda order: by_hand.maintenance(
        order.site, order.by, is_on=False),
    "freeze": _freeze,
    "unfreeze": lambda order: by_hand.thaw(order.site, order.by),
    "flag": _flag,
}
