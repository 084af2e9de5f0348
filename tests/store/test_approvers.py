"""Approvals that count: listed, proven by token or code, not alone; refusals are in the audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from changeover.domain.approvers import STARTING
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Answer, Approval, StageAction
from changeover.domain.tokens import ApproverToken, Scope, Token, TokenState
from changeover.errors import ApprovalRefused, InvalidInput, Refused
from changeover.plan.load import parse_plan
from changeover.procedures import proving
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import (
    admission,
    approvals,
    approver_codes,
    approver_tokens,
    audit,
    cutovers,
    instructions,
    leaving_out,
    plans,
    starting,
    tokens,
)
from changeover.store.approver_codes import Purpose
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SAID = "approvers: {names: [ann, bob], tokens: true}"


@pytest.fixture
def asked(store: Store) -> Approval:
    """A question to ann and bob, who need tokens; two must agree."""
    return asking(store, SAID)


def asking(store: Store, said: str, approval: str = "{approvers: 2}") -> Approval:
    text_ = GOOD.replace("approval: {approvers: 2}", f"approval: {approval}")
    plans.register(store, parse_plan(f"{text_}{said}\n", "x"), source="x", now=NOW)
    begun = cutovers.begin(store, "shop", flow_run_id="a", now=NOW)
    return again(store, begun.id, 1)


def again(store: Store, cutover_id: int, ordinal: int) -> Approval:
    return approvals.ask(store, Approval(
        cutover_id=cutover_id, stage="full", round=1, ordinal=ordinal, epoch=0, question="?",
        asked_at=NOW, flow_run_id="a"))


def answer(store: Store, asked: Approval, who: str, *, code: str = "", form: str = "",
           decision: str = "promote", now: datetime = NOW) -> Approval:
    given = Answer(StageAction(decision), who, code=code, form=form)
    return approvals.answer(store, asked.id, given, epoch=0, now=now)


def code_for(store: Store, asked: Approval, who: str, decision: str = "promote") -> str:
    about = approver_codes.about(asked.id, decision)
    return approver_codes.issue(store, Purpose("shop", who, about), now=NOW)


def refusals(store: Store) -> list[tuple[str, str]]:
    assert audit.verify(store, "shop") == []
    return [(each.actor, each.data["reason"]) for each in audit.events(store, "shop")
            if each.kind == admission.REFUSED]


def is_open(store: Store) -> bool:
    return approvals.open_for(store, "shop") is not None


def make(store: Store, name: str, lifetime: timedelta | None = None, *, is_new: bool = True
         ) -> tuple[ApproverToken, str]:
    return approver_tokens.add(store, ApproverToken(
        "shop", name, created_at=NOW, created_by="root",
        expires_at=NOW + lifetime if lifetime else None), is_new=is_new)


def test_the_answer_of_somebody_unlisted_is_refused_and_the_question_stays(store: Store) -> None:
    """One message, in the audit; the same form that is read again after a kill is no second."""
    asked = asking(store, "approvers: {names: [ann, bob]}")
    for _ in range(2):
        with pytest.raises(ApprovalRefused, match="mallory is not listed"):
            answer(store, asked, "mallory", form="full-r1-a1-0")
    assert is_open(store)
    assert len(refusals(store)) == 1
    assert answer(store, asked, " ANN").decision is StageAction.PROMOTE


def test_a_token_that_shows_nothing_is_refused_and_in_the_audit(
    store: Store, asked: Approval, tmp_path: Path
) -> None:
    """Somebody else's, an old or an invented one at the command line; its text is nowhere."""
    site = Site(Home(tmp_path), plans.load(store, "shop"), store)
    _, given = make(store, "bob")
    invented = f"cha_{'0' * 12}_{'x' * 43}"
    for text_, why in ((given, "the token is bob's, not ann's"), (invented, "is not valid")):
        with pytest.raises(ApprovalRefused, match=why):
            proving.token(site, "ann", text_)
    assert [who for who, _ in refusals(store)] == ["ann", "ann"]
    stored = str([each.data for each in audit.events(store, "shop")])
    assert given not in stored and invented not in stored
    assert is_open(store)


def test_a_listed_person_without_a_code_is_refused(store: Store, asked: Approval) -> None:
    """Whoever knows a name is not that person; also to hold."""
    for decision in ("promote", "hold", "rollback"):
        with pytest.raises(ApprovalRefused, match="has not shown who they are"):
            answer(store, asked, "ann", decision=decision)
    assert is_open(store)


def test_a_code_counts_once_for_its_person_question_and_decision(
    store: Store, asked: Approval
) -> None:
    """What stays readable in Prefect's database is worth nothing any more."""
    code = code_for(store, asked, "ann")
    assert answer(store, asked, "ann", code=f" {code.lower()} ").approver == "ann"
    second = again(store, asked.cutover_id, 2)
    with pytest.raises(ApprovalRefused, match="the code is wrong"):
        answer(store, second, "bob", code=code)
    hold = code_for(store, second, "bob", "hold")
    with pytest.raises(ApprovalRefused, match="the code is wrong"):
        answer(store, second, "bob", code=hold)
    assert answer(store, second, "bob", code=code_for(store, second, "bob")).approver == "bob"
    for table in ("approver_code", "audit_event", "approval"):
        with store.read() as session:
            rows = str(session.execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608
        assert code not in rows and code.replace("-", "") not in rows


def test_an_old_code_and_one_that_was_replaced_count_no_more(
    store: Store, asked: Approval
) -> None:
    """The person is told to make another."""
    first = code_for(store, asked, "ann")
    second = code_for(store, asked, "ann")
    with pytest.raises(ApprovalRefused, match="code is wrong; make another"):
        answer(store, asked, "ann", code=first)
    with pytest.raises(ApprovalRefused, match="was used or is too old"):
        answer(store, asked, "ann", code=second)  # a slip of the finger ends what is open
    third = code_for(store, asked, "ann")
    with pytest.raises(ApprovalRefused, match="too old"):
        answer(store, asked, "ann", code=third, now=NOW + 11 * MINUTE)


def test_nobody_can_try_codes_until_one_fits(store: Store, asked: Approval) -> None:
    """After five wrong ones, a right one does not count either, for a quarter of an hour."""
    for number in range(admission.MOST_WRONG):
        with pytest.raises(ApprovalRefused, match="wrong"):
            answer(store, asked, "ann", code=f"AAAA-AAA{number}", form=str(number))
    code = code_for(store, asked, "ann")
    with pytest.raises(ApprovalRefused, match="5 wrong codes were given for ann"):
        answer(store, asked, "ann", code=code, now=NOW + MINUTE)
    later = NOW + admission.WRONG_WITHIN
    about = approver_codes.about(asked.id, "promote")
    code = approver_codes.issue(store, Purpose("shop", "ann", about), now=later)
    assert is_open(store)
    assert answer(store, asked, "ann", code=code, now=later + MINUTE).approver == "ann"


def test_a_code_is_spent_with_the_answer_or_not_at_all(
    store: Store, asked: Approval, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill before the answer is saved leaves both: the same form, read again, counts once."""
    code = code_for(store, asked, "ann")

    def killed(*_given: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(approvals, "_save", killed)
        answer(store, asked, "ann", code=code, form="0")
    assert is_open(store)
    for _ in range(2):
        assert answer(store, asked, "ann", code=code, form="0").approver == "ann"
    answers = [each for each in audit.events(store, "shop") if each.kind == "approval.answered"]
    assert len(answers) == 1
    assert refusals(store) == []


def test_a_token_that_is_typed_into_the_form_is_revoked(store: Store, asked: Approval) -> None:
    """Others can read it there."""
    token, secret = make(store, "ann")
    with pytest.raises(ApprovalRefused, match="it was revoked"):
        answer(store, asked, "ann", code=secret)
    assert approver_tokens.every(store, "shop")[0].state(NOW) is TokenState.REVOKED
    assert approver_tokens.find(store, "shop", secret, now=NOW) is None
    assert secret not in str(refusals(store)) and token.id in secret


def test_a_token_is_kept_as_a_salted_hash_and_found_by_its_text(store: Store) -> None:
    """Nearly right is wrong; another migration's, too; nothing of it is anywhere else."""
    plans.register(store, parse_plan(GOOD, "x"), source="x", now=NOW)
    made, secret = make(store, "ann", timedelta(days=1))
    found = approver_tokens.find(store, "shop", secret, now=NOW)
    assert found == made
    assert approver_tokens.find(store, "other", secret, now=NOW) is None
    assert approver_tokens.find(store, "shop", secret, now=NOW + timedelta(days=1)) is None
    for wrong in ("", secret[:-1], secret + "x", secret.upper(), "cha_" + "0" * 12 + secret[16:]):
        assert approver_tokens.find(store, "shop", wrong, now=NOW) is None
    part = secret.split("_", 2)[2]
    for table in ("approver_token", "audit_event"):
        with store.read() as session:
            rows = session.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608
        assert part not in str(rows)


def test_a_token_is_replaced_and_removed(store: Store) -> None:
    """One at a time for each person, however the name is written."""
    plans.register(store, parse_plan(GOOD, "x"), source="x", now=NOW)
    _, first = make(store, "ann")
    with pytest.raises(Refused, match="ann has a token already"):
        make(store, "Ann")
    _, second = make(store, "Ann", is_new=False)
    assert approver_tokens.find(store, "shop", first, now=NOW) is None
    assert approver_tokens.find(store, "shop", second, now=NOW) is not None
    assert len(approver_tokens.remove(store, "shop", "ANN", actor="root", now=NOW)) == 1
    assert approver_tokens.remove(store, "shop", "ANN", actor="root", now=NOW) == []
    assert approver_tokens.find(store, "shop", second, now=NOW) is None
    with pytest.raises(InvalidInput, match="no token of 'zoe'"):
        approver_tokens.remove(store, "shop", "zoe", actor="root", now=NOW)
    kinds = [each.kind for each in audit.events(store, "shop")]
    assert kinds.count("approver.token") == 2 and kinds.count("approver.removed") == 1


def test_who_ends_a_soak_leaves_a_stage_out_or_amends_shows_a_token(
    store: Store, asked: Approval
) -> None:
    """A confirmation that counts as an approval needs what an approval needs."""
    token, _ = make(store, "ann")
    given = Instruction(asked.cutover_id, InstructionKind.SKIP, "ann", "proved", NOW, "full")
    with pytest.raises(ApprovalRefused, match="has not shown who they are"):
        instructions.skip(store, given)
    with pytest.raises(ApprovalRefused, match="the token is ann's"):
        instructions.skip(store, Instruction(
            asked.cutover_id, InstructionKind.SKIP, "bob", "proved", NOW, "full"), token)
    assert instructions.all_of(store, asked.cutover_id) == []
    assert instructions.skip(store, given, token) == ["ann"]
    approver_tokens.remove(store, "shop", "ann", actor="root", now=NOW)
    with pytest.raises(ApprovalRefused, match="not valid any more"):
        instructions.skip(store, given, token)
    assert len(refusals(store)) == 3


def test_a_token_given_as_a_code_is_revoked_where_none_is_wanted_too(store: Store) -> None:
    """Parameters and forms are readable in Prefect, whatever the plan asks for."""
    asked = asking(store, "", "{}")
    for who, say in (("ann", lambda code: started(store, asked, "ann", code)),
                     ("bob", lambda code: answer(store, asked, "bob", code=code))):
        _, text_ = make(store, who)
        with pytest.raises(ApprovalRefused, match="it was revoked"):
            say(text_)
        assert approver_tokens.find(store, "shop", text_, now=NOW) is None
    assert is_open(store)
    started(store, asked, "ann")
    assert answer(store, asked, "bob").approver == "bob"


def test_a_token_in_a_name_or_comment_is_revoked_and_stored_nowhere(store: Store) -> None:
    """Prefect keeps the form; also the console's tokens, and those of an answer that is late."""
    asked = asking(store, "", "{}")
    console, of_console = tokens.create(store, Token("shop", "ci", Scope.WRITE, NOW, "root"))
    secrets = [make(store, who)[1] for who in ("ann", "bob", "cleo")] + [of_console]
    forms = [Answer(StageAction.PROMOTE, secrets[0]),
             Answer(StageAction.HOLD, "bob", f"see {secrets[1]}."),
             Answer(StageAction.PROMOTE, "dan", f"({of_console})")]
    for given in forms:
        with pytest.raises(ApprovalRefused, match="it was revoked") as refused:
            approvals.answer(store, asked.id, given, epoch=0, now=NOW)
        assert not any(each in str(refused.value) for each in secrets)
    assert is_open(store)
    late = Answer(StageAction.PROMOTE, "cleo", secrets[2])
    with pytest.raises(ApprovalRefused, match="a rollback came first"):
        approvals.answer(store, asked.id, late, epoch=1, now=NOW)
    said = Instruction(asked.cutover_id, InstructionKind.SKIP, "eve", secrets[0], NOW, "full")
    with pytest.raises(ApprovalRefused, match="it was revoked"):
        instructions.skip(store, said)
    for each in approver_tokens.every(store, "shop"):
        assert each.state(NOW) is TokenState.REVOKED
    assert tokens.find(store, "shop", of_console, now=NOW) is None
    assert len(refusals(store)) == 5
    for table in ("audit_event", "approval", "instruction"):
        with store.read() as session:
            rows = str(session.execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608
        assert not any(each in rows for each in secrets)
    assert answer(store, asked, "ann").decision is StageAction.PROMOTE
    assert console.id in of_console


def test_nobody_but_its_approvers_amends_who_approves_a_later_stage(store: Store) -> None:
    """Whoever runs an early stage could else name themselves for the last one."""
    asked = asking(store, "", "{approvers: 2, names: [ann, bob], tokens: true}")
    before, loose = plans.digest(store, "shop"), parse_plan(GOOD, "x")
    new = plans.NewPlan(loose, "x", before, ["who approves full"])

    def agree(who: str, token: ApproverToken | None = None) -> list[str]:
        return instructions.amend(store, Instruction(
            asked.cutover_id, InstructionKind.AMEND, who, "so", NOW, plans.digest_of(loose)),
            new, needed=2, token=token)

    with pytest.raises(ApprovalRefused, match="mallory is not listed"):
        agree("mallory")
    with pytest.raises(ApprovalRefused, match="has not shown who they are"):
        agree("ann")
    assert plans.digest(store, "shop") == before
    assert len(refusals(store)) == 2
    assert agree("ann", make(store, "ann")[0]) == ["ann"]
    assert agree("bob", make(store, "bob")[0]) == ["ann", "bob"]
    assert plans.digest(store, "shop") == plans.digest_of(loose)


def test_who_an_amendment_took_from_the_list_has_agreed_to_nothing_that_is_open(
    store: Store
) -> None:
    """Neither to leave a stage out nor in an answer; the others are counted without them."""
    asked = asking(store, "approvers: {names: [ann, bob, cleo]}")
    shorter = parse_plan(
        GOOD + "approvers: {names: [bob, cleo]}\n", "x")

    def leave_out(who: str) -> list[str]:
        return instructions.skip(store, Instruction(
            asked.cutover_id, InstructionKind.SKIP, who, "proved", NOW, "full"))

    assert leave_out("ann") == ["ann"]
    answer(store, asked, "ann")
    assert approvals.agreed(store, asked, plans.load(store, "shop")) == ["ann"]
    new = plans.NewPlan(shorter, "x", plans.digest(store, "shop"), ["ann has left"])
    for who in ("ann", "bob"):
        instructions.amend(store, Instruction(
            asked.cutover_id, InstructionKind.AMEND, who, "so", NOW, plans.digest_of(shorter)),
            new, needed=2)
    assert approvals.agreed(store, asked, plans.load(store, "shop")) == []
    assert leave_out("bob") == ["bob"]
    stage = shorter.stage("full")
    assert not leaving_out.leave_out(store, asked.cutover_id, stage, now=NOW)
    assert leave_out("cleo") == ["bob", "cleo"]
    assert leaving_out.leave_out(store, asked.cutover_id, stage, now=NOW)
    assert audit.verify(store, "shop") == []


def started(store: Store, asked: Approval, who: str, code: str = "") -> None:
    starting.start(store, Instruction(
        asked.cutover_id, InstructionKind.START, who, "so", NOW), code)


def test_who_started_it_may_not_approve_it_alone(store: Store) -> None:
    """They may hold it, and another person may approve."""
    asked = asking(store, "approvers: {names: [ann, bob], four_eyes: true}", "{}")
    started(store, asked, "Ann")
    with pytest.raises(ApprovalRefused, match="four eyes: another person must agree"):
        answer(store, asked, "ann")
    stage = parse_plan(GOOD, "x").stage("beta-5")
    assert instructions.enough(store, asked.cutover_id, stage) == 1
    assert answer(store, asked, "bob").decision is StageAction.PROMOTE


def test_of_two_who_agree_one_may_have_started_it(store: Store) -> None:
    """Four eyes see it then."""
    asked = asking(store, "approvers: {four_eyes: true}")
    started(store, asked, "ann")
    assert answer(store, asked, "ann").decision is StageAction.PROMOTE
    second = again(store, asked.cutover_id, 2)
    assert answer(store, second, "bob").decision is StageAction.PROMOTE


def test_where_nobody_knows_who_started_it_two_must_agree(store: Store) -> None:
    """Each of them may have; one of them has not."""
    asked = asking(store, "approvers: {four_eyes: true}", "{}")
    stage = parse_plan(GOOD, "x").stage("beta-5")
    assert instructions.enough(store, asked.cutover_id, stage) == 2
    assert instructions.enough(store, asked.cutover_id, None) == 2


def test_who_starts_shows_who_they_are_where_the_plan_wants_tokens(
    store: Store, asked: Approval
) -> None:
    """Else somebody would start it in another one's name."""
    with pytest.raises(ApprovalRefused, match="has not shown who they are"):
        started(store, asked, "ann")
    with pytest.raises(ApprovalRefused, match="code is wrong"):
        started(store, asked, "ann", "AAAA-AAAA")
    code = approver_codes.issue(store, Purpose("shop", "ann", STARTING), now=NOW)
    started(store, asked, "ann", code)
    started(store, asked, "ann", code)  # the same run, after a kill
    assert starting.starters(store, asked.cutover_id) == ["ann"]
