"""Text that would run if a page took it for markup, in every field that people or systems write.

The policy of the pages would refuse to run it, too: so a page must not even try, which the browser
would say in its console, and must have no element that a text has made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.console.pages.views import VIEWS
from changeover.domain.audit import Author, NewEvent
from changeover.domain.freezes import Freeze
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollbacks import (
    Cause,
    Rollback,
    RollbackSeverity,
    Stands,
    TriggerFiring,
    TriggerStanding,
)
from changeover.domain.rollout import Answer, Approval, GateVerdict, StageAction, Standing
from changeover.domain.routing import Change, Mode
from changeover.domain.run_ends import Carrier, End, Ended
from changeover.domain.tokens import Scope, Token
from changeover.domain.verdict import Verdict
from changeover.plan.guardrails import GATE
from changeover.plan.triggers import TriggerAction
from changeover.site.home import Home
from changeover.store import (
    approvals,
    audit,
    carriers,
    cutovers,
    firings,
    flags,
    freezes,
    instructions,
    outcomes,
    rollbacks,
    routing,
    samples,
    shared_files,
    standings,
    steps,
    tokens,
    trigger_standings,
    verdicts,
)
from changeover.store.divergences import DivergenceRow
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Served, started
from tests.integration.console.test_standings import check
from tests.support.axe import chromium, findings, new_page, overflowing

pytestmark = [pytest.mark.integration, pytest.mark.browser]

PAYLOADS = {
    "script": "<script>window.ran=1</script>",
    "image": '"><img src=x onerror=window.ran=1>',
    "single quotes": "' onmouseover='window.ran=1' x='",
    "double quotes": '" autofocus onfocus="window.ran=1" x="',
    "vector": "<svg/onload=window.ran=1><animate onbegin=window.ran=1>",
    "end of style": "</style></title></textarea></script><script>window.ran=1</script>",
    "link": '<a href="javascript:window.ran=1" id=evil>x</a>',
    "address": "javascript:window.ran=1//",
    "frame": "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "form": '<form action="https://elsewhere.example"><button>Go</button></form>',
    "template": "{{7*7}} ${7*7} {% raw %} #{7*7}",
    "comment": "<!--><img src=x onerror=window.ran=1>-->",
    "mutation": "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1>",
    "base": '<base href="https://elsewhere.example/"><meta http-equiv=refresh content=0>',
    "attributes": "x data-live=https://elsewhere.example/ hx-get=//elsewhere.example",
    "entity": "&lt;script&gt;window.ran=1&lt;/script&gt; &#60;img src=x onerror=window.ran=1&#62;",
    "line ends": "a\u2028<script>window.ran=1</script>\u2029\r\n\0b",
    "wide": "＜script＞window.ran=1＜/script＞",
    "event stream": "x\n\ndata: <script>window.ran=1</script>\n\nevent: reload",
    "json": '</script>{"a":"\\u003cscript\\u003ewindow.ran=1\\u003c/script\\u003e"}',
}
ALL = " ".join(PAYLOADS.values())
SHORT = "<img src=x onerror=window.ran=1>"
MADE = ("img, iframe, svg:not([data-own]), math, base, #evil, [onmouseover], [onfocus], [onload], "
        "[onerror], main script, form[action^='http']")
"""Elements that only a text could have made; the pages have none of them."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console whose store has such text wherever it can have text."""
    home = Home(tmp_path_factory.mktemp("hostile") / "home")
    plan = make_plan(
        systems={"baseline": {"name": SHORT, "url": "http://127.0.0.1:1"},
                 "candidate": {"name": SHORT, "url": "http://127.0.0.1:2"}},
        shadow={"sample": "10%"}, reports={"target": "s3://x"},
        flags={"use_ocr": "plain", "level": {
            "variants": {"a": ALL, "b": SHORT}, "default": "a"}},
        phases=[{"phase": "gradual", "stages": [
            {"percent": 10, "soak": "1h", "approval": {"names": [SHORT, "alice"]}},
            {"percent": 50, "soak": "1h", "approval": {"approvers": 2}}]}],
        triggers=[{"name": "slow", "metric": "error_rate", "above": "10%", "for": "1s",
                   "action": "rollback"}])
    with ExitStack() as stack:
        served = started(stack, home, plan)
        home.save_settings({"migration": "bench", "ui_url": SHORT, "api_url": "http://127.0.0.1:1"})
        flags.follow_plan(served.store, plan, now=clock.now())
        _traffic(served)
        _cutover(served)
        _people(served)
        _systems(served)
        _reports(served)
        yield served


def _traffic(served: Served) -> None:
    """Errors by a class, statuses and outcomes that a system or an application has named."""
    end, rows = int(clock.now().timestamp()), []
    for at in range(end - 60, end):
        rows.append(Sample(
            "candidate", at, requests=9, errors={SHORT: 1}, statuses={SHORT: 1}, probes=1))
        rows.append(Sample("gateway", at, arrived=9, refused={SHORT: 1}))
    samples.write(served.store, "bench", rows)
    assert outcomes.quality_names(served.store, "bench") == set()


def _cutover(served: Served) -> None:
    """A stage that waits for people, with its verdicts, standings, steps and a run that ended."""
    store, now, plan = served.store, clock.now(), served.plan
    begun = cutovers.begin(store, "bench", flow_run_id=SHORT[:30], now=now)
    first, second = plan.stages()
    for stage in (first, second):
        cutovers.enter_stage(store, begun.id, stage, now=now)
        for gate in ("slo", GATE):
            verdicts.save(store, GateVerdict(
                begun.id, stage.key, gate, 1, 1, Verdict.FAIL, ALL, now,
                [check(Verdict.FAIL, ALL, bound=ALL)]))
    standings.save(store, Standing(
        begun.id, second.key, "slo", now, Verdict.FAIL, ALL,
        [check(Verdict.FAIL, ALL, bound=ALL, outlook={"text": ALL, "seconds": 1.0})]))
    subject = of_cutover(begun.id)
    for number, status in enumerate((StepStatus.DONE, StepStatus.FAILED, StepStatus.BEGUN)):
        steps.save(store, Step("bench", subject, f"lever {number} {SHORT}"[:80], status, ALL, now,
                               now, {"output": ALL}))
    first_asked = Approval(
        begun.id, first.key, 1, 1, 0, ALL, now, flow_run_id=SHORT[:30])
    asked = approvals.ask(store, first_asked)
    approvals.answer(
        store, asked.id, Answer(StageAction.PROMOTE, SHORT, ALL), epoch=0, now=now)
    approvals.ask(store, Approval(
        begun.id, first.key, 1, 2, 0, ALL, now, flow_run_id=SHORT[:30]))


def _people(served: Served) -> None:
    """Reasons, names and flags that people write."""
    store, now = served.store, clock.now()
    author = Author(ALL, ALL)
    change = Change(mode=Mode.GRADUAL, weight=2_500, maintenance=True, maintenance_reason=ALL)
    routing.change(store, "bench", change, author, now=now)
    freezes.begin(store, Freeze("bench", ALL[:200], ALL, now))
    cutover = cutovers.active(store, "bench")
    assert cutover is not None
    instructions.pause(
        store, Instruction(cutover.id, InstructionKind.PAUSE, ALL[:200], ALL, now))
    for kind, payload in PAYLOADS.items():
        facts = {"reason": payload, "path": f"/{payload}", "key": payload, kind: {"x": [payload]}}
        audit.record(store, "bench", NewEvent(payload, f"odd.{kind}"[:80], facts, now))
    audit.record(store, "bench", NewEvent(ALL, SHORT, {ALL: ALL}, now))


def _reports(served: Served) -> None:
    """Reports that could not be copied: what a server somewhere has answered."""
    names = {f"bench-{kind}.html": b"<p>" for kind in PAYLOADS}
    shared_files.save(served.store, "bench", names, now=clock.now())
    for file, payload in zip(
            shared_files.every(served.store, "bench"), PAYLOADS.values(), strict=True):
        shared_files.note_sent(served.store, file, "", problem=payload)


def _systems(served: Served) -> None:
    """What the observer and the shadow service write of what systems sent."""
    store, now = served.store, clock.now()
    trigger_standings.save(store, "bench", [TriggerStanding(
        "bench", "slow", now, Stands.FIRING, now, 0.5, ALL, {"x": ALL}, {})])
    firings.record(store, TriggerFiring(
        "bench", "slow", TriggerAction.ALERT, ALL, {"x": ALL}, now, now, 0))
    carriers.assign(store, Carrier("bench", "retirement 9", SHORT, SHORT[:30], now))
    gone = carriers.one(store, "bench", "retirement 9")
    assert gone is not None
    carriers.note_end(store, gone, Ended(End.CANCELLED, now, ALL), text=ALL, now=now)
    cause = Cause(ALL, ALL)
    rollbacks.begin(store, Rollback(
        "bench", 9, cause.reason, RollbackSeverity.HIGH, "all", cause.actor, now))
    example = {"baseline": ALL, "candidate": ALL, "path": f"/{ALL}", "key": ALL, "kind": SHORT,
               "headers": {ALL: ALL}}
    with store.begin() as session:
        for number, payload in enumerate(PAYLOADS.values()):
            session.add(DivergenceRow(
                migration="bench", field_hash=f"{number:064x}", field=f"/{payload}", diverged=9,
                ignored=0, only_candidate=3, only_baseline=3, both=3, counts={SHORT: 9},
                examples=[example], first_seen=now, last_seen=now - timedelta(seconds=number)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def harmed(page: Any, complaints: list[str]) -> list[str]:
    """Return what a text has done to a page."""
    found = [each for each in complaints if "Failed to load resource" not in each]
    if page.evaluate("typeof window.ran") != "undefined":
        found.append("something ran")
    made = page.evaluate(
        "s => [...document.querySelectorAll(s)].map(e => e.outerHTML.slice(0, 120))", MADE)
    return found + made


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_no_text_runs_on_the_pages_that_people_leave_open(
    hostile: Served, browser: Any, view: str
) -> None:
    """As the page came, and when its parts come anew over its stream; it shows the text as text."""
    page, complaints = new_page(browser)
    page.goto(f"{hostile.url}/pages/{view}")
    page.wait_for_selector("#live.on, #live.old")
    _traffic(hostile)
    page.wait_for_timeout(0)
    page.wait_for_load_state("load")
    assert harmed(page, complaints) == []
    for place in page.locator("a").evaluate_all("all => all.map(each => each.href)"):
        assert not place.startswith("javascript:"), place
    page.context.close()


def test_the_overview_shows_what_was_written(hostile: Served, browser: Any) -> None:
    """Escaped once, and nothing left out: somebody must be able to read it."""
    page, complaints = new_page(browser)
    page.goto(hostile.url)
    page.wait_for_selector("#s-decisions :text('<script>window.ran=1</script>')")
    assert "&lt;script" not in page.inner_text("#s-decisions").replace(
        PAYLOADS["entity"], "")
    assert harmed(page, complaints) == []
    page.context.close()


def test_no_text_runs_on_the_pages_of_actions(hostile: Served, browser: Any) -> None:
    """The question, who answered, flags, names of tokens, what is chosen by address, the reason."""
    named = Token("bench", SHORT, Scope.ADMIN, created_at=clock.now(), created_by="test")
    token = tokens.create(hostile.store, named)[1]
    page, complaints = new_page(browser)
    page.goto(f"{hostile.url}/sign-in?next=/actions")
    page.fill("#token", token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/actions")
    odd = "%3Cimg%20src=x%20onerror=window.ran=1%3E"
    places = [
        "/actions", "/actions/answer?decision=promote", f"/actions/answer?decision={odd}",
        "/actions/pause", "/actions/resume", "/actions/unfreeze", "/actions/maintenance-off",
        f"/actions/freeze?until={odd}", f"/actions/flag?flag={odd}&percent={odd}&variant={odd}",
        f"/actions/flag?flag=level&percent=5&variant={odd}", "/actions/emergency",
        f"/actions/rollback?scope={odd}", f"/actions/{odd}", f"/sign-in?next=/{odd}",
        f"/wall?token={odd}", f"/actions/done/{odd}"]
    faults = []
    for place in places:
        page.goto(hostile.url + place)
        faults += [f"{place}: {each}" for each in harmed(page, complaints)]
    page.goto(f"{hostile.url}/actions/unfreeze")
    reason = " ".join(each for each in PAYLOADS.values() if each.isprintable())
    page.fill("#reason", reason)
    page.get_by_role("button", name="Unfreeze").click()
    page.wait_for_url("**/actions/done/**")
    faults += harmed(page, complaints)
    assert faults == []
    ended = audit.newest_of(hostile.store, "bench", "freeze.off")
    assert ended is not None
    assert (ended.actor, ended.data["reason"]) == (SHORT, reason.strip())
    page.context.close()


@pytest.mark.parametrize(("size", "scheme"), [
    ("desk", "light"), ("desk", "dark"), ("phone", "light")])
def test_the_pages_of_actions_are_for_every_eye(
    hostile: Served, browser: Any, size: str, scheme: str
) -> None:
    """No barrier that axe knows, nothing that sticks out, no complaint: with the worst of texts."""
    page, complaints = new_page(browser, size=size, scheme=scheme)
    faults = []

    def look(place: str) -> None:
        page.goto(hostile.url + place)
        found = findings(page) + list(complaints)
        complaints.clear()
        if overflowing(page):
            found.append(f"{overflowing(page)} pixels stick out")
        faults.extend(f"{place}: {each}" for each in found)

    look("/sign-in")
    page.fill("#token", hostile.token(Scope.ADMIN))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(hostile.url + "/")
    for place in ("/actions", "/actions/answer?decision=rollback", "/actions/rollback?scope=stage",
                  "/actions/freeze?until=2d", "/actions/flag", "/actions/pause"):
        look(place)
    assert faults == []
    page.context.close()
