"""What people do on the console's pages: each action from its form to store, gateway and audit."""

from __future__ import annotations

import re
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from changeover import clock
from changeover.analysis.window import Met, Sample
from changeover.domain.audit import AuditEvent
from changeover.domain.instructions import Instruction, InstructionKind, open_pause
from changeover.domain.rollout import CutoverStatus, StageRecord
from changeover.domain.routing import Mode
from changeover.domain.tokens import ApproverToken, Scope
from changeover.site.home import Home
from changeover.store import (
    approver_tokens,
    audit,
    console_forms,
    cutovers,
    flags,
    freezes,
    instructions,
    plans,
    rollbacks,
    routing,
    samples,
    tokens,
)
from changeover.store.console_forms import Form
from changeover.store.console_sessions import digest
from tests.integration.conftest import make_plan, start_bench
from tests.integration.console.conftest import Served, started
from tests.support.browsing import act, filled, hidden, opened, send, sign_in
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration

PHASES = [{"phase": "gradual", "stages": [
    {"percent": 10, "soak": "1h"}, {"percent": 50, "soak": "2h", "approval": {}}]}]


@dataclass
class Console:
    """A console beside a real gateway, with a token of a person who may act."""

    served: Served
    gateway: str
    token: str

    @property
    def store(self):
        return self.served.store

    def browser(self, token: str | None = None) -> httpx.Client:
        """Return another browser, signed in unless the token is empty."""
        client = self.served.stack.enter_context(opened(self.served.url))
        if token != "":
            assert sign_in(client, token or self.token).status_code == 303
        return client

    def begin(self) -> StageRecord:
        """Have a cutover soak in its last stage with half of the users moved."""
        running = cutovers.active(self.store, "bench")
        if running is not None:
            cutovers.finish(
                self.store, running.id, CutoverStatus.ROLLED_BACK, outcome="over", now=clock.now())
        if routing.read(self.store, "bench").mode is not Mode.GRADUAL:
            self.served.move(Mode.BASELINE_ONLY)
        # a run that Prefect does not know, nor does anybody answer there: nobody is woken
        run, now = secrets.token_hex(4), clock.now()
        begun = cutovers.begin(self.store, "bench", flow_run_id=run, now=now)
        self.served.move(Mode.GRADUAL, 5_000, segments=("beta",))
        stage = self.served.plan.stages()[-1]
        return cutovers.enter_stage(self.store, begun.id, stage, now=clock.now())

    def gateway_answers(
        self, is_right: Callable[[httpx.Response], bool], **headers: str
    ) -> httpx.Response:
        """Return the first right answer of the gateway.

        A busy one serves a state some time after the page has said that it is not confirmed yet.
        """
        answers: list[httpx.Response] = []

        def is_there() -> bool:
            answers.append(httpx.get(self.gateway, headers=headers, timeout=LONGEST_PAUSE))
            return is_right(answers[-1])

        wait_for(is_there, what=f"the gateway's answer to {headers}")
        return answers[-1]

    def newest(self, kind: str) -> AuditEvent:
        found = audit.newest_of(self.store, "bench", kind)
        assert found is not None, kind
        return found

    def count(self, kind: str) -> int:
        return len(audit.of_kind(self.store, "bench", kind))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Shared by the tests of this module: each begins what it needs."""
    home = Home(tmp_path_factory.mktemp("acting") / "home")
    plan = make_plan(
        phases=PHASES, flags={"use_ocr": False},
        rollback={"return": {"over": "10m", "steps": 5}, "safe_flags": {"use_ocr": False}})
    with ExitStack() as stack:
        home.create()
        home.save_settings({"migration": "bench", "api_url": "http://127.0.0.1:1/api"})
        bench = stack.enter_context(contextmanager(start_bench)(plan, home.root))
        served = started(stack, home, plan)
        flags.follow_plan(served.store, plan, now=clock.now())
        own = ApproverToken("bench", "alice", clock.now(), "test")
        token = approver_tokens.add(served.store, own)[1]
        yield Console(served, bench.url, token)


@pytest.fixture(autouse=True)
def reconciled(console: Console) -> Iterator[None]:
    """Do what an observer would: what was broken while the store was busy is not the next test's.
    """
    yield
    (console.served.home.root / "gateway" / "break-glass.json").unlink(missing_ok=True)


def served_by(system: str) -> Callable[[httpx.Response], bool]:
    """Return whether an answer is that of a system."""
    return lambda answer: answer.json().get("served_by") == system


def after(answer: httpx.Response, text: str) -> str:
    """Check that an action was done, and return what its page says."""
    assert answer.status_code == 200, answer.text
    assert "/actions/done/" in str(answer.url)
    said = re.sub(r"<[^>]+>", " ", answer.text)
    assert text in said, said
    return said


def test_pause_and_resume_are_the_commands_own(console: Console) -> None:
    """One instruction each, by the person, with the reason."""
    stage, browser = console.begin(), console.browser()
    after(act(browser, "pause", reason="trouble"), "is paused since")
    given = instructions.all_of(console.store, stage.cutover_id)
    pause = open_pause(given)
    assert pause is not None
    assert (pause.actor, pause.reason) == ("alice", "trouble")
    after(act(browser, "resume", reason="well again"), "goes on")
    assert open_pause(instructions.all_of(console.store, stage.cutover_id)) is None
    assert console.newest("cutover.resume").actor == "alice"
    acted = console.newest("console.acts")
    assert acted.actor == "alice"
    assert acted.data["action"] == "resume"
    assert str(acted.data["by"]).startswith("approver ")


def test_extend_shows_the_new_end_and_moves_it(console: Console) -> None:
    """The soak of the stage that was shown, and of no other."""
    stage, browser = console.begin(), console.browser()
    page = browser.get("/actions/extend", params={"duration": "3h"})
    ends = stage.soak_until + timedelta(hours=3)
    assert f"gradual-50 soaks until {ends:%F %T} UTC" in page.text
    after(act(browser, "extend", duration="3h"), "soaks longer by 3h")
    known = cutovers.stage(console.store, stage.cutover_id, stage.key)
    assert known is not None
    assert known.soak_until == ends


def test_promote_now_ends_the_soak_that_was_shown_and_no_later_one(console: Console) -> None:
    """A form that stood open while the stage was soaked anew does nothing."""
    stage, browser = console.begin(), console.browser()
    old = filled(browser, "promote-now")
    now = clock.now()
    cutovers.next_round(console.store, stage, until=now + timedelta(hours=5), now=now)
    late = send(browser, "promote-now", {**old, "reason": "now"})
    assert late.status_code == 409
    assert "Meanwhile something has changed" in late.text
    after(act(browser, "promote-now", reason="it must be out"), "is over, its gate is judged")
    known = cutovers.stage(console.store, stage.cutover_id, stage.key)
    assert known is not None
    assert known.soak_until <= clock.now()
    assert console.newest("cutover.promote-now").actor == "alice"


def test_a_stage_is_left_out_of_the_cutover_that_was_shown_and_of_no_later_one(
    console: Console
) -> None:
    """Only one that can be; a form that stood open while another cutover began does nothing."""
    console.begin()
    browser = console.browser()
    wrong = browser.get("/actions/skip-stage", params={"stage": "gradual-50"})
    assert "gradual-10" in wrong.text
    assert not hidden(wrong, "/actions/skip-stage")
    page = browser.get("/actions/skip-stage", params={"stage": "gradual-10"})
    assert "gradual 10 % is left out; 1 must agree. gradual 50 % comes in its place" in page.text
    old = filled(browser, "skip-stage", stage="gradual-10")
    stage = console.begin()
    late = send(browser, "skip-stage", {**old, "reason": "proved"})
    assert late.status_code == 409
    assert "Meanwhile something has changed" in late.text
    after(act(browser, "skip-stage", stage="gradual-10", reason="proved in the pilot"),
          "gradual-10 will be skipped (alice)")
    (given,) = instructions.all_of(console.store, stage.cutover_id)
    assert (given.kind, given.actor, given.stage, given.reason) == (
        InstructionKind.SKIP, "alice", "gradual-10", "proved in the pilot")
    assert console.newest("cutover.skip-stage").actor == "alice"


def test_freeze_and_unfreeze(console: Console) -> None:
    """With its end as the command reads it; a wrong one is refused before anything is asked."""
    browser = console.browser()
    wrong = browser.get("/actions/freeze", params={"until": "tomorrow"})
    assert "says no end" in wrong.text
    assert not hidden(wrong, "/actions/freeze")
    after(act(browser, "freeze", until="2d", reason="holidays"), "frozen by alice until")
    frozen = freezes.active(console.store, "bench", now=clock.now())
    assert frozen is not None
    assert frozen.reason == "holidays"
    after(act(browser, "unfreeze", reason="over"), "not frozen any more")
    assert freezes.active(console.store, "bench", now=clock.now()) is None


def test_the_mode_changes_at_the_page(console: Console) -> None:
    """Everyone to the new system, and everyone back, as with `enable` and `disable`."""
    stage = console.begin()
    cutovers.finish(console.store, stage.cutover_id, CutoverStatus.FAILED, outcome="over",
                    now=clock.now())
    browser = console.browser()
    after(act(browser, "mode", mode="candidate_only", reason="python only"), "candidate_only")
    assert routing.read(console.store, "bench").mode is Mode.CANDIDATE_ONLY
    after(act(browser, "mode", mode="baseline_only", reason="typescript only"), "baseline_only")
    changed = console.newest("routing.changed")
    assert (changed.actor, changed.data["reason"]) == ("alice", "typescript only")


def test_maintenance_closes_the_gateway_with_the_reason_and_opens_it(console: Console) -> None:
    """Users of a real gateway see it."""
    console.begin()
    browser = console.browser()
    after(act(browser, "maintenance-on", reason="moving the database"), "maintenance")
    closed = console.gateway_answers(lambda answer: answer.status_code == 503)
    assert "moving the database" in closed.text
    after(act(browser, "maintenance-off", reason="moved"), "gradual 50 %")
    console.gateway_answers(lambda answer: answer.status_code == 200)
    assert console.newest("routing.changed").actor == "alice"


def test_a_flags_percentage_is_changed_once_and_from_the_version_that_was_shown(
    console: Console
) -> None:
    """Somebody else's change in between is not lost."""
    browser = console.browser()
    old = filled(browser, "flag", flag="use_ocr", percent="10")
    after(act(browser, "flag", flag="use_ocr", percent="25", reason="go"), "use_ocr: 25 %")
    (change,) = flags.history(console.store, "bench", "use_ocr")[-1:]
    assert (change["actor"], change["reason"]) == ("alice", "go")
    late = send(browser, "flag", {**old, "reason": "late"})
    assert late.status_code == 409
    wrong = browser.get("/actions/flag", params={"flag": "use_ocr", "percent": "250"})
    assert "percent" in wrong.text
    assert not hidden(wrong, "/actions/flag")
    changes = flags.history(console.store, "bench", "use_ocr")
    assert [each["actor"] for each in changes] == ["plan", "alice"]


def test_one_segment_goes_back_and_everyone_else_stays(console: Console) -> None:
    """At the gateway, and once for a form that is sent twice."""
    console.begin()
    browser = console.browser()
    form = filled(browser, "rollback", scope="segment:beta") | {"reason": "beta complains"}
    before = console.count("rollback.partial")
    after(send(browser, "rollback", form), "segment:beta is back at the baseline")
    after(send(browser, "rollback", form), "segment:beta is back at the baseline")
    state = routing.read(console.store, "bench")
    assert (state.weight, state.segments, state.kept) == (5_000, (), ("beta",))
    assert console.count("rollback.partial") == before + 1
    assert console.newest("rollback.partial").actor == "alice"
    headers = {"x-user-id": "ann", "x-cohort": "beta"}
    console.gateway_answers(served_by("baseline"), **headers)


def test_one_stage_goes_back(console: Console) -> None:
    """To the users of the stage before, as `rollback/main` does it."""
    console.begin()
    after(act(console.browser(), "rollback", scope="stage", reason="slow"), "stage is back")
    assert routing.read(console.store, "bench").weight == 1_000


def test_users_return_in_steps_only_while_an_observer_makes_them(console: Console) -> None:
    """The rule is the command's."""
    console.begin()
    refused = act(console.browser(), "rollback", scope="steps", reason="slow")
    assert refused.status_code == 409
    assert "no observer runs" in refused.text
    assert routing.read(console.store, "bench").mode is Mode.GRADUAL


@pytest.mark.parametrize(("action", "fields"), [
    ("emergency", {}), ("rollback", {"scope": "all"})])
def test_everyone_goes_back_and_a_person_ends_it(
    console: Console, action: str, fields: dict[str, str]
) -> None:
    """One epoch, one record, by the person; a form that is sent again later changes nothing."""
    console.begin()
    browser, epoch = console.browser(), routing.read(console.store, "bench").epoch
    form = filled(browser, action, **fields) | {"reason": "totals are wrong"}
    after(send(browser, action, form), "everyone is at the baseline")
    state = routing.read(console.store, "bench")
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, epoch + 1)
    record = rollbacks.latest(console.store, "bench")
    assert record is not None
    assert (record.actor, record.reason) == ("alice", "totals are wrong")
    console.gateway_answers(served_by("baseline"), **{"x-cohort": "beta"})
    after(act(browser, "recover", reason="mended"), "baseline_only")
    console.begin()
    after(send(browser, action, form), "everyone is at the baseline")
    assert routing.read(console.store, "bench").mode is Mode.GRADUAL
    assert audit.verify(console.store, "bench") == []


def test_the_confirmation_has_the_numbers_of_the_last_hour(console: Console) -> None:
    """As many users as the samples remember; without samples nobody knows."""
    console.begin()
    browser = console.browser()
    place = "/actions/emergency"
    assert "unknown" in browser.get(place).text
    now = int(clock.now().timestamp())
    minutes = []
    for ago in range(1, 61):
        users = {str(Met.ANSWER): tuple(range(ago * 2, ago * 2 + 20, 2))}
        for system in ("baseline", "candidate"):
            minutes.append(Sample(
                system=system, at=(now // 60 - ago) * 60, resolution=60, requests=100,
                watched=60, users=users))
    samples.write(console.store, "bench", minutes)
    said = browser.get(place).text
    assert "back to the baseline: 50 % of all" in said
    assert "an hour" in said


def test_a_form_that_arrives_many_times_at_once_acts_once(console: Console) -> None:
    """Twenty clicks are one maintenance."""
    console.begin()
    browser = console.browser()
    form = filled(browser, "maintenance-on") | {"reason": "once"}
    before = routing.read(console.store, "bench").version
    answers: list[httpx.Response] = []

    def click() -> None:
        own = console.served.stack.enter_context(opened(console.served.url))
        own.cookies.update(browser.cookies)
        answers.append(send(own, "maintenance-on", form))

    clicks = [threading.Thread(target=click) for _ in range(20)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join()
    assert {each.status_code for each in answers} == {200}, [each.text for each in answers]
    assert routing.read(console.store, "bench").version == before + 1
    after(act(browser, "maintenance-off"), "gradual")


def test_going_back_is_asked_for_while_others_wait(console: Console) -> None:
    """As many forms as are carried out at once wait for their end: its page opens all the same."""
    console.begin()
    browser = console.browser()
    session = browser.cookies["changeover_session_bench"]
    form = filled(browser, "pause") | {"reason": "so"}
    waiting, ids = [], []
    for number in range(6):
        once = f"form-{number}-{secrets.token_hex(10)}"
        begun = Form(digest(f"{session} {once}"), "bench", "pause", "alice", clock.now())
        assert console_forms.begin(console.store, begun, by="test") is None
        ids.append(begun.id)
        own = console.served.stack.enter_context(opened(console.served.url))
        own.cookies.update(browser.cookies)
        sent = threading.Thread(target=send, args=(own, "pause", {**form, "key": once}))
        sent.start()
        waiting.append(sent)
    assert "Emergency rollback" in browser.get("/actions/emergency").text
    assert all(each.is_alive() for each in waiting)
    for each in ids:
        console_forms.end(console.store, each, "over", is_done=True, now=clock.now())
    for each in waiting:
        each.join()


def test_an_emergency_whose_console_was_killed_is_done_when_its_form_comes_again(
    console: Console
) -> None:
    """At once: nobody is told that it is under way while nobody does it."""
    console.begin()
    browser = console.browser()
    session = browser.cookies["changeover_session_bench"]
    form = filled(browser, "emergency") | {"reason": "totals are wrong"}
    begun = Form(
        digest(f"{session} {form['key']}"), "bench", "emergency", "alice", clock.now())
    assert console_forms.begin(console.store, begun, by="test") is None
    after(send(browser, "emergency", form), "everyone is at the baseline")
    assert routing.read(console.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    after(act(browser, "recover"), "baseline_only")


def test_an_emergency_needs_no_samples(console: Console) -> None:
    """Where they cannot be read, how many users go back is unknown; they go back all the same."""
    console.begin()
    browser = console.browser()
    database = sqlite3.connect(console.served.home.root / "store.db", isolation_level=None)
    with closing(database):
        database.execute("ALTER TABLE sample RENAME TO away")
        try:
            assert "unknown" in browser.get("/actions/emergency").text
            said = act(browser, "emergency")
        finally:
            database.execute("ALTER TABLE away RENAME TO sample")
    after(said, "everyone is at the baseline")
    after(act(browser, "recover"), "baseline_only")


def test_an_emergency_that_came_later_is_not_ended_by_an_old_form(console: Console) -> None:
    """Somebody else ended the one that was shown, and users had to go back again."""
    console.begin()
    browser = console.browser()
    after(act(browser, "emergency"), "everyone is at the baseline")
    old = filled(browser, "recover") | {"reason": "mended"}
    after(act(browser, "recover"), "baseline_only")
    console.begin()
    after(act(browser, "emergency"), "everyone is at the baseline")
    late = send(browser, "recover", old)
    assert late.status_code == 409
    assert "Meanwhile something has changed" in late.text
    assert routing.read(console.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    after(act(browser, "recover"), "baseline_only")


def test_who_may_not_act_sees_the_list_and_is_refused(console: Console) -> None:
    """A token that reads or writes for applications moves nobody; the try is audited."""
    console.begin()
    for scope in (Scope.READ, Scope.WRITE):
        browser = console.browser(console.served.token(scope))
        assert browser.get("/actions").status_code == 200
        refused = act(browser, "pause")
        assert refused.status_code == 403
        assert f"may {scope}" in refused.text
        assert console.newest("console.refused").data["by"]
    assert routing.read(console.store, "bench").mode is Mode.GRADUAL
    after(act(console.browser(console.served.token(Scope.ADMIN)), "pause"), "by admin")


def test_a_console_token_shows_no_person_where_the_plan_wants_one(console: Console) -> None:
    """Two people agree; a token's name is not one of them."""
    other = make_plan(phases=PHASES, approvers={"tokens": True})
    plans.register(console.store, other.model_copy(update={"migration": "strict"}), source="t",
                   now=clock.now())
    begun = cutovers.begin(console.store, "strict", flow_run_id=None, now=clock.now())
    stage = other.stages()[-1]
    record = cutovers.enter_stage(console.store, begun.id, stage, now=clock.now())
    given = Instruction(
        begun.id, InstructionKind.PROMOTE_NOW, "admin", "now", clock.now(), record.key,
        record.round)
    with pytest.raises(Exception, match="has not shown who they are"):
        instructions.promote_now(console.store, given, stage, False)
    assert instructions.promote_now(console.store, given, stage, True) == ["admin"]


def test_a_session_ends_with_its_token_and_with_its_person(console: Console) -> None:
    """Revoked or signed out everywhere: the next request is nobody's."""
    text = console.served.token(Scope.ADMIN)
    one, other = console.browser(text), console.browser(text)
    csrf = hidden(one.get("/actions"), "/sign-out")
    one.post("/sign-out", data={**csrf, "everywhere": "1"})
    assert other.get("/actions").status_code == 303
    third = console.browser(text)
    tokens.revoke(
        console.store, "bench", text.split("_")[1], actor="test", now=clock.now())
    assert third.get("/actions").status_code == 303


def test_signing_in_again_ends_the_session_that_the_browser_had(console: Console) -> None:
    """What was left on the other side of a proxy is worth nothing."""
    browser, copy = console.browser(), console.browser("")
    copy.cookies.update(browser.cookies)
    assert copy.get("/actions").status_code == 200
    browser.cookies.delete("changeover_session_bench")
    name = "changeover_session_bench"
    browser.cookies.set(name, copy.cookies[name])
    # the page to sign in is not shown to who is; an old tab of it may still stand open
    other = console.browser("")
    form = hidden(other.get("/sign-in"), "/sign-in")
    other.cookies.set(name, copy.cookies[name])
    assert other.post("/sign-in", data={**form, "token": console.token}).status_code == 303
    assert copy.get("/actions").status_code == 303


def test_author_is_who_signed_in_and_not_what_the_form_says(console: Console) -> None:
    """A field too many names nobody."""
    console.begin()
    browser = console.browser()
    form = filled(browser, "pause") | {"reason": "so", "actor": "bob", "approver": "bob"}
    send(browser, "pause", form)
    assert console.newest("cutover.pause").actor == "alice"



def test_an_emergency_does_not_wait_for_a_store_that_is_busy(console: Console) -> None:
    """Users are moved at the gateway first; the store follows when it can."""
    console.begin()
    browser = console.browser()
    headers = {"x-cohort": "beta"}
    form = filled(browser, "emergency") | {"reason": "totals are wrong"}
    writer = sqlite3.connect(console.served.home.root / "store.db", isolation_level=None)
    with closing(writer):
        writer.execute("BEGIN IMMEDIATE")
        said = send(browser, "emergency", form)
        console.gateway_answers(served_by("baseline"), **headers)
        writer.execute("ROLLBACK")
    assert said.status_code == 200
    assert "everyone is at the baseline; the store is busy" in said.text
