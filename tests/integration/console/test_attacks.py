"""What somebody without the right tries on the pages of actions: nothing of it moves anybody."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from changeover import clock
from changeover.console.action_table import ACTIONS
from changeover.console.auth import Auth
from changeover.console.sessions import Sessions, csrf
from changeover.domain.routing import Mode
from changeover.domain.tokens import ApproverToken, Scope, Token
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import approver_tokens, audit, cutovers, flags, plans, routing, tokens
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served, started
from tests.support.browsing import filled, hidden, opened, send, sign_in
from tests.support.commands import changeover
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration

NAME = "changeover_session_bench"
ELSEWHERE = "https://elsewhere.example"
FIELDS = {"scope": "all", "decision": "promote", "duration": "2d", "flag": "use_ocr",
          "percent": "50", "until": "", "variant": ""}

NUMBERS = itertools.count()


@dataclass
class Target:
    """A console that nobody may harm, and how it stood before."""

    served: Served
    before: tuple[object, ...] = ()
    address: str = "127.0.0.1"

    def stands(self) -> tuple[object, ...]:
        store = self.served.store
        own = [each.kind for each in audit.events(store, "bench")
               if not each.kind.startswith(("console.", "token.", "approver."))]
        return routing.read(store, "bench"), flags.values(store, "bench"), own

    def browser(self, token: str = "") -> httpx.Client:
        client = self.served.stack.enter_context(opened(self.served.url, self.address))
        if token:
            assert sign_in(client, token).status_code == 303
        return client


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A console with a running cutover; each test leaves it as it was."""
    plan = make_plan(flags={"use_ocr": False})
    with ExitStack() as stack:
        served = started(stack, Home(tmp_path_factory.mktemp("attacks") / "home"), plan)
        flags.follow_plan(served.store, plan, now=clock.now())
        begun = cutovers.begin(served.store, "bench", flow_run_id=None, now=clock.now())
        stage = plan.stages()[0]
        cutovers.enter_stage(served.store, begun.id, stage, now=clock.now() + timedelta(hours=1))
        served.move(Mode.GRADUAL, 2_500)
        found = Target(served)
        found.before = found.stands()
        yield found


@pytest.fixture(autouse=True)
def elsewhere(request: pytest.FixtureRequest) -> None:
    """Ask from an address of the test's own: what one test tries wrongly, another must not wait."""
    if "target" in request.fixturenames:
        number = next(NUMBERS)
        found = request.getfixturevalue("target")
        found.address = f"127.1.{number // 250}.{number % 250 + 1}"



@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each attack everything is as it was."""
    yield
    if "target" in request.fixturenames:
        target = request.getfixturevalue("target")
        assert target.stands() == target.before


NAMES = [each.name for each in ACTIONS]


@pytest.mark.parametrize("action", NAMES)
def test_no_action_without_a_session(target: Target, action: str) -> None:
    """Neither with nothing, nor with a token in a header, nor with a cookie that is made up."""
    form = {**FIELDS, "reason": "attack", "key": "k" * 32, "seen": "", "csrf": "0" * 64}
    admin = target.served.token(Scope.ADMIN)
    made_up, bearer = target.browser(), target.browser()
    key = "x" * 43
    made_up.cookies.set(NAME, key)
    bearer.headers["authorization"] = f"Bearer {admin}"
    for browser in (target.browser(), made_up, bearer):
        refused = send(browser, action, {**form, "csrf": csrf(key)})
        assert refused.status_code == 401
        assert "Sign in first" in refused.text


@pytest.mark.parametrize("action", NAMES)
def test_no_action_with_a_token_that_may_less(
    target: Target, action: str
) -> None:
    """Who may read or write sees what it would do, and does nothing."""
    for scope in (Scope.READ, Scope.WRITE):
        browser = target.browser(target.served.token(scope))
        own = csrf(browser.cookies[NAME])
        form = {**FIELDS, "reason": "attack", "key": "k" * 32, "csrf": own}
        assert send(browser, action, form).status_code == 403


def test_a_token_of_another_migration_signs_nobody_in(target: Target) -> None:
    """It is refused as one that is wrong."""
    other = tokens.create(target.served.store, Token(
        "other", "mallory", Scope.ADMIN, created_at=clock.now(), created_by="test"))[1]
    stranger = target.browser()
    assert sign_in(stranger, other).status_code == 401
    assert NAME not in stranger.cookies


@pytest.mark.parametrize("action", NAMES)
def test_no_action_from_a_page_of_somebody_else(target: Target, action: str) -> None:
    """Whatever the browser lets through: token, origin and fetch site each refuse it alone."""
    browser = target.browser(target.served.token(Scope.ADMIN))
    right = {**FIELDS, "reason": "attack", "key": "k" * 32, "csrf": csrf(browser.cookies[NAME])}
    stale = target.browser(target.served.token(Scope.ADMIN))
    old = csrf(stale.cookies[NAME])
    for wrong in ("", "0" * 64, old):
        assert send(browser, action, {**right, "csrf": wrong}).status_code == 403
    headers = [{"origin": ELSEWHERE}, {"origin": "null"}, {"origin": "http://["},
               {"origin": target.served.url + "0"},
               {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
               {"sec-fetch-site": "none"}]
    for header in headers:
        answer = browser.post(f"/actions/{action}", data=right, headers=header)
        assert answer.status_code == 403, header
        assert "not of this page" in answer.text
    plain = browser.post(
        f"/actions/{action}", content="csrf=", headers={"content-type": "text/plain"})
    assert plain.status_code == 415


def test_a_sign_in_that_somebody_else_sends_signs_nobody_in(target: Target) -> None:
    """Nobody works under the name of who set a trap."""
    token = target.served.token(Scope.ADMIN)
    browser = target.browser()
    form = hidden(browser.get("/sign-in"), "/sign-in") | {"token": token}
    foreign = target.browser()
    assert foreign.post("/sign-in", data=form).status_code == 403
    refused = browser.post("/sign-in", data=form, headers={"origin": ELSEWHERE})
    assert refused.status_code == 403
    assert NAME not in browser.cookies
    assert browser.post("/sign-in", data=form).status_code == 303


def test_a_form_of_another_session_is_neither_taken_up_nor_read(target: Target) -> None:
    """What came of an action is shown to the session that did it alone."""
    admin = target.served.token(Scope.ADMIN)
    one, other = target.browser(admin), target.browser(admin)
    form = filled(one, "extend", duration="1h")
    assert send(other, "extend", {**form, "reason": "attack"}).status_code == 403
    assert other.get(f"/actions/done/{form['key']}").status_code == 404


@pytest.mark.parametrize("place", [
    "https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "\\\\elsewhere",
    "javascript:alert(1)", "/\t/elsewhere.example", "/" + "a" * 600, "/%0d%0aset-cookie:a=b"])
def test_nobody_is_sent_elsewhere_after_signing_in(target: Target, place: str) -> None:
    """Only paths of the console are gone on to."""
    browser = target.browser()
    sent = sign_in(browser, target.served.token(Scope.READ), next=place)
    assert sent.status_code == 303
    led = httpx.URL(target.served.url).join(sent.headers["location"])
    assert (led.host, led.scheme) == ("127.0.0.1", "http")
    kept = [each.partition("=")[0] for each in sent.headers.get_list("set-cookie")]
    assert set(kept) == {NAME, "changeover_form_bench"}


def test_pages_can_be_framed_and_scripted_by_nobody(target: Target) -> None:
    """Also the refusals; and nothing of them is kept."""
    browser = target.browser(target.served.token(Scope.ADMIN))
    places = ["/actions", "/actions/rollback", "/sign-in", "/actions/nothing", "/wall?token=x",
              "/actions/done/nothing"]
    for place in places:
        # who is signed in sees no page to sign in
        answer = (target.browser() if place == "/sign-in" else browser).get(place)
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, place
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "<script" not in answer.text


def test_no_secret_stands_in_a_page_or_in_the_log(target: Target) -> None:
    """Neither the token that was typed, nor the session's id."""
    token = target.served.token(Scope.ADMIN)
    browser = target.browser(token)
    key = browser.cookies[NAME]
    for place in ("/actions", "/actions/pause", "/", "/v1/status"):
        text = browser.get(place).text
        assert token not in text
        assert key not in text
    with target.served.store.read() as session:
        rows = session.connection().exec_driver_sql("SELECT * FROM console_session").all()
    assert key not in str(rows)
    log = target.served.log.read_text()
    assert token not in log
    assert key not in log


def test_wrong_tokens_are_limited_by_address_and_right_ones_are_not(serve: Serve) -> None:
    """After twenty an address waits some seconds; nothing of the token is in the log.

    Behind a proxy all have one address: no stranger keeps people out when users must go back.
    """
    console = serve()
    right = console.token(Scope.ADMIN)
    own = ApproverToken("bench", "alice", clock.now(), "test")
    personal = approver_tokens.add(console.store, own)[1]
    browser = console.stack.enter_context(opened(console.url))
    wrong = "chg_" + "0" * 12 + "_" + "x" * 43
    found = [sign_in(browser, wrong).status_code for _ in range(25)]
    assert found[0] == 401
    assert found[-1] == 429
    assert browser.get("/wall", params={"token": wrong}).status_code == 429
    refused = sign_in(browser, wrong)
    assert int(refused.headers["retry-after"]) <= 4
    assert wrong not in console.log.read_text()
    for each in (right, personal):
        person = console.stack.enter_context(opened(console.url))
        assert sign_in(person, each).status_code == 303


def test_the_slow_hash_of_a_personal_token_is_made_a_few_times_only(target: Target) -> None:
    """Who knows its id, as from the audit, makes no work without end; others sign in."""
    store, now = target.served.store, clock.now()
    found = []
    for name in ("bob", "carol"):
        own = ApproverToken("bench", name, now, "test")
        found.append(approver_tokens.add(store, own)[1])
    browser = target.browser()
    # the secret itself may have the sign that ends the id
    wrong = found[0][:17] + "_" + "x" * 42
    said = [sign_in(browser, wrong) for _ in range(60)]
    assert any("with this token" in each.text for each in said)
    assert {each.status_code for each in said} == {401, 429}
    assert sign_in(browser, found[1]).status_code == 303


def test_a_wall_screens_link_fills_no_audit(target: Target) -> None:
    """Opened again and again it begins some sessions, and then waits."""
    text = target.served.token(Scope.READ)
    found = [target.browser().get("/wall", params={"token": text}) for _ in range(40)]
    assert found[0].status_code == 200
    assert found[-1].status_code == 429
    assert int(found[-1].headers["retry-after"]) <= 4


def test_nobody_is_signed_out_by_a_page_of_somebody_else(target: Target) -> None:
    """Its form comes without the cookie, and the answer must not take the cookie away."""
    browser = target.browser(target.served.token(Scope.ADMIN))
    foreign = target.browser()
    for header in ({"sec-fetch-site": "cross-site"}, {"origin": ELSEWHERE}):
        refused = foreign.post("/sign-out", data={"everywhere": "1"}, headers=header)
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers
    assert browser.get("/actions").status_code == 200


@pytest.mark.parametrize("place", ["/", "/pages/verdicts?range=all", "/live/overview", "/actions"])
def test_no_page_of_somebody_else_keeps_the_console_busy(target: Target, place: str) -> None:
    """Neither as a picture nor in a frame; a link from elsewhere leads here as ever."""
    browser, elsewhere = target.browser(), {"sec-fetch-site": "cross-site"}
    for how in ({"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
                {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"},
                {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}):
        assert browser.get(place, headers={**elsewhere, **how}).status_code == 403
    link = {**elsewhere, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    if not place.startswith("/live"):
        answer = browser.get(place, headers=link)
        assert answer.status_code in (200, 303)
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_wall_screens_link_reads_and_no_more(serve: Serve, tmp_path: Path) -> None:
    """The token leaves the address at once; revoked, the screen is dark at its next request."""
    console = serve(make_plan(), host="0.0.0.0")  # noqa: S104  what is tested
    console.home.save_settings({"migration": "bench", "console_url": console.url})
    made = changeover(
        console.home.root, "token", "create", "wall", "--scope", "read", "--link")
    link = made.splitlines()[-1]
    assert link.startswith(f"{console.url}/wall?token=chg_")
    screen = console.stack.enter_context(opened(console.url))
    page = {"sec-fetch-mode": "navigate"}
    away = screen.get("/", headers=page)
    assert away.headers["location"] == "/sign-in?next=%2F"
    arrived = screen.get(link)
    assert link.partition("=")[2] not in arrived.text
    assert 'http-equiv="refresh" content="0; url=/"' in arrived.text
    assert arrived.headers["referrer-policy"] == "no-referrer"
    (cookie,) = arrived.headers.get_list("set-cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    for place in ("/", "/v1/status", "/metrics"):
        assert screen.get(place, headers=page).status_code == 200
    assert screen.get("/actions").status_code == 303
    body = {"id": "o-1", "system": "candidate", "success": True}
    assert screen.post("/v1/outcomes", json=body).status_code == 401
    token_id = link.split("_")[1]
    with screen.stream("GET", "/live/overview") as stream:
        parts = stream.iter_bytes()
        assert next(parts)
        changeover(console.home.root, "token", "revoke", token_id)
        assert screen.get("/v1/status").status_code == 401
        # what stood open ends by itself
        for _ in parts:
            pass


def test_what_stands_open_ends_when_nobody_can_say_who_reads_it(tmp_path: Path) -> None:
    """Without the store, a stream neither goes on nor ends with a traceback."""
    home, plan = Home(tmp_path / "home"), make_plan()
    home.create()
    with closing(ready_store(home.store_url)) as store:
        plans.register(store, plan, source="test", now=clock.now())
        site = Site(home, plan, store)
        auth = Auth(site, Sessions(site, is_local=False), reads_freely=False)
        text = tokens.create(store, Token(
            "bench", "screen", Scope.READ, created_at=clock.now(), created_by="test"))[1]
        header = (b"authorization", f"Bearer {text}".encode())
        request = Request({"type": "http", "method": "GET", "headers": [header]})
        assert asyncio.run(auth.still_reads(request))
        auth = Auth(site, Sessions(site, is_local=False), reads_freely=False)
        store.close()
        (home.root / "store.db").rename(tmp_path / "away")
        assert not asyncio.run(auth.still_reads(request))


def test_a_link_with_more_rights_than_reading_is_refused(target: Target) -> None:
    """Its token stands in histories and logs by then: the page says to revoke it."""
    text = target.served.token(Scope.ADMIN)
    refused = target.browser().get("/wall", params={"token": text})
    assert refused.status_code == 403
    assert "changeover token revoke" in refused.text
    assert text not in refused.text
    home = target.served.home
    target.served.home.save_settings({"migration": "bench", "console_url": "http://c.example"})
    said = changeover(home.root, "token", "create", "wall", "--link", code=2)
    assert "--scope read" in said


def test_beyond_loopback_the_provider_needs_the_consoles_address(serve: Serve) -> None:
    """The Host header, which anybody can write, leads nobody's code elsewhere."""
    oidc = {"issuer": "http://127.0.0.1:1", "client_id": "c", "env": "OIDC_SECRET"}
    console = serve(make_plan(console={"oidc": oidc}), host="0.0.0.0")  # noqa: S104
    answer = console.client().get("/sign-in/provider", headers={"host": "elsewhere.example"})
    assert answer.status_code == 503
    assert "console.address" in answer.text
    assert "location" not in answer.headers


def test_behind_tls_the_cookie_is_bound_to_the_host(serve: Serve) -> None:
    """Secure and with the prefix that no other host of the domain can write."""
    public = "https://changeover.example"
    console = serve(make_plan(console={"address": public}))
    browser = console.stack.enter_context(opened(console.url))
    browser.headers["origin"] = public
    shown = browser.get("/sign-in")
    cookie = shown.headers["set-cookie"]
    assert cookie.startswith("__Host-changeover_form_bench=")
    assert "Secure" in cookie and "Path=/" in cookie and "Domain" not in cookie
    value = cookie.partition("=")[2].partition(";")[0]
    form = hidden(shown, "/sign-in") | {"token": console.token(Scope.ADMIN)}
    headers = {"cookie": f"__Host-changeover_form_bench={value}"}
    plain = {**headers, "origin": public.replace("https", "http")}
    assert browser.post("/sign-in", data=form, headers=plain).status_code == 403
    assert browser.post("/sign-in", data=form, headers=headers).status_code == 303


def test_behind_a_proxy_strangers_do_not_read_as_this_machine_does(serve: Serve) -> None:
    """The proxy asks from loopback, by whatever name: a token or a session is needed."""
    console = serve(make_plan(console={"address": "https://changeover.example"}))
    stranger, reader = console.client(), console.client(console.token(Scope.READ))
    for host in (f"127.0.0.1:{console.port}", "changeover.example"):
        named = {"host": host}
        for place in ("/", "/v1/status", "/metrics", "/live/overview"):
            assert stranger.get(place, headers=named).status_code == 401, place
        asked = stranger.post(
            "/ofrep/v1/evaluate/flags", json={"context": {}}, headers=named)
        assert asked.status_code == 401
        assert reader.get("/v1/status", headers=named).status_code == 200
    other = stranger.get("/sign-in", headers={"host": "elsewhere.example"})
    assert other.status_code == 421


ODD: dict[str, Callable[[dict[str, str]], object]] = {
    "no key": lambda form: {**form, "key": ""},
    "a long key": lambda form: {**form, "key": "k" * 900},
    "no reason": lambda form: {**form, "reason": "  "},
    "a long reason": lambda form: {**form, "reason": "r" * 2_001},
    "an unknown scope": lambda form: {**form, "scope": "route:all"},
    "many fields": lambda form: {**form, **{f"f{number}": "x" for number in range(30)}},
    "a zero byte": lambda form: {**form, "reason": "so\0"},
    "words that are shown from right to left": lambda form: {**form, "reason": "a\u202eb"},
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_forms_are_refused_with_a_sentence(target: Target, odd: str) -> None:
    """No 500, no traceback, nothing done."""
    browser = target.browser(target.served.token(Scope.ADMIN))
    form = filled(browser, "rollback", scope="all") | {"reason": "attack"}
    answer = send(browser, "rollback", ODD[odd](form))  # type: ignore[arg-type]
    assert answer.status_code in (403, 409, 422)
    assert "Traceback" not in answer.text
    assert "Roll back" in answer.text or "Not done" in answer.text


def test_what_a_page_loads_as_a_picture_uses_up_no_attempts(target: Target) -> None:
    """Nobody can keep others from signing in by a page that they open."""
    picture = {"sec-fetch-dest": "image", "sec-fetch-site": "cross-site"}
    browser = target.browser()
    for _ in range(30):
        answer = browser.get("/wall", params={"token": "chg_x"}, headers=picture)
        assert answer.status_code == 403
    assert browser.get("/wall", params={"token": "chg_x"}).status_code == 401
