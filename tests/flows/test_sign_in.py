"""Approval at the console by who signed in with a real OpenID Connect provider; no one else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from changeover import clock
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.store import approvals, audit, cutovers, instructions, routing
from changeover.store.admission import REFUSED
from tests.integration.conftest import make_plan
from tests.support.browsing import filled, opened, send
from tests.support.processes import free_port, running, wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "beta", "percent": 10, "soak": "0s", "approval": {}},
    {"phase": "full", "soak": "0s", "approval": {}},
]
VERIFIED = ("ann", "bob", "mallory")
SECRET = "the-clients-secret"
Browser = Callable[[], httpx.Client]


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[str]:
    """A provider that knows three people, and one whose address nobody has verified."""
    port, people = free_port(), []
    for name in (*VERIFIED, "eve"):
        # eve has typed bob's address into an account of her own
        email = "bob@example.com" if name == "eve" else f"{name}@example.com"
        claims = {"sub": name, "email": email, "email_verified": name in VERIFIED}
        people += ["--user-claims", json.dumps(claims)]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port),
               "--require-nonce", "true", *people]
    url = f"http://127.0.0.1:{port}"
    configuration = f"{url}/.well-known/openid-configuration"
    with running(command, tmp_path / "provider.log"):
        wait_for(lambda: httpx.get(configuration).is_success, seconds=60, what="the provider")
        yield url


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path, issuer: str) -> Iterator[SopSite]:
    """A site whose one stage ann and bob may approve, not alone what they started."""
    plan = make_plan(
        health_timeout="60s", phases=STAGES,
        approvers={"names": ["ann@example.com", "Bob@Example.com"], "tokens": True,
                   "four_eyes": True},
        console={"oidc": {"issuer": issuer, "client_id": "changeover", "env": "OIDC_SECRET"}})
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


@pytest.fixture
def browser(site: SopSite) -> Iterator[Browser]:
    """Return a function that opens another browser at a real console."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "changeover.console", "--home", str(site.home.root),
               "--migration", "bench", "--port", str(port)]
    with ExitStack() as stack:
        stack.enter_context(running(
            command, site.home.logs / "console.log", OIDC_SECRET=SECRET))
        wait_for(lambda: httpx.get(f"{url}/health").is_success, seconds=60, what="the console")
        yield lambda: stack.enter_context(opened(url))


def back_from_provider(client: httpx.Client, sub: str) -> str:
    """Begin to sign in, and return the address with which the provider sends the browser back."""
    begun = client.get("/sign-in/provider")
    assert begun.status_code == 303
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert SECRET not in begun.headers["location"]
    agreed = httpx.post(begun.headers["location"], data={"sub": sub})
    return str(agreed.headers["location"])


def sign_in(client: httpx.Client, sub: str) -> httpx.Response:
    """Sign somebody in; return the page on which they answer, or why they are not."""
    back = client.get(back_from_provider(client, sub))
    return client.get("/actions/answer?decision=promote") if back.is_success else back


def answer(client: httpx.Client, decision: str = "promote", **changed: str) -> httpx.Response:
    """Fill in the page's form."""
    form = filled(client, "answer", decision=decision)
    return send(client, "answer", {**form, "reason": "read it", **changed})


def until_asked(site: SopSite, run: str) -> None:
    for _ in range(50):
        if site.attempt("cutover", run).state_type == "PAUSED":
            return
    raise AssertionError("nobody is asked")


def started_by(site: SopSite, name: str) -> str:
    """Start a cutover as somebody, and let it ask."""
    run = site.start("cutover")
    until_asked(site, run)
    cutover = cutovers.active(site.store, "bench")
    assert cutover is not None
    given = Instruction(cutover.id, InstructionKind.START, name, "so", clock.now())
    with site.store.begin() as session:
        row = session.get_one(cutovers.CutoverRow, cutover.id)
        instructions.save_in(session, row, given)
    return run


def test_who_signed_in_and_is_listed_approves_at_the_console(
    site: SopSite, browser: Browser
) -> None:
    """Mallory is not listed, ann started it, eve's address is not verified; bob approves."""
    run = started_by(site, "ann@example.com")
    mallory, ann, eve, bob = browser(), browser(), browser(), browser()
    assert answer(bob).status_code == 401
    assert "mallory@example.com" in sign_in(mallory, "mallory").text
    refused = answer(mallory)
    assert refused.status_code == 403
    assert "mallory@example.com may read" in refused.text
    sign_in(ann, "ann")
    assert "four eyes: another person must agree" in answer(ann).text
    assert "has not verified the e-mail address" in sign_in(eve, "eve").text
    assert answer(eve).status_code == 401
    # the question stays open, and each refusal is in the audit
    assert approvals.open_for(site.store, "bench") is not None
    kinds = (REFUSED, "console.refused")
    events = [each for each in audit.events(site.store, "bench") if each.kind in kinds]
    assert [each.actor for each in events] == ["mallory@example.com", "ann@example.com"]

    page = sign_in(bob, "bob")
    assert "who may answer: ann@example.com, Bob@Example.com" in page.text
    assert answer(bob, csrf="0" * 64).status_code == 403
    refused = answer(bob, decision="promote", seen="0")
    assert refused.status_code == 409
    assert "Meanwhile something has changed" in refused.text
    taken = answer(bob)
    assert taken.status_code == 200, taken.text
    until_asked(site, run)
    cutover = cutovers.latest(site.store, "bench")
    assert cutover is not None
    (answered,) = [each for each in approvals.all_of(site.store, cutover.id) if each.decision]
    assert answered.approver == "bob@example.com"
    assert routing.read(site.store, "bench").weight == 10_000
    assert audit.verify(site.store, "bench") == []


def test_a_session_is_of_one_browser_and_ends_for_good(site: SopSite, browser: Browser) -> None:
    """Nobody is signed in by an address that another browser came back with, or twice."""
    bob, other = browser(), browser()
    address = back_from_provider(bob, "bob")
    assert other.get(address).status_code == 403
    assert bob.get(address).status_code == 403  # what was tried once is over
    kept = bob.get(back_from_provider(bob, "bob")).headers.get_list("set-cookie")
    (session,) = [each for each in kept if each.startswith("changeover_session_bench=")]
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    value = session.partition("=")[2].partition(";")[0]
    with site.store.read() as stored:
        rows = stored.connection().exec_driver_sql("SELECT * FROM console_session").all()
    assert value not in str(rows)
    shown = bob.get("/actions")
    assert "bob@example.com" in shown.text
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    csrf = re.findall(r'name="csrf" value="([^"]*)"', shown.text)[0]
    elsewhere = {"origin": "https://elsewhere.example"}
    refused = bob.post("/sign-out", data={"csrf": csrf}, headers=elsewhere)
    assert refused.status_code == 403
    other.cookies.set("changeover_session_bench", value)
    assert "bob@example.com" in other.get("/actions").text
    bob.post("/sign-out", data={"csrf": csrf})
    assert other.get("/actions").status_code == 303
    log = (site.home.logs / "console.log").read_text()
    assert value not in log and SECRET not in log
