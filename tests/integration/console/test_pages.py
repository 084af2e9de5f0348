"""The pages in a real browser: live, for every eye, and honest about what they do not know."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text

from changeover import clock
from changeover.analysis.window import Measurements, Sample
from changeover.console.pages.live import MOST_STREAMS
from changeover.console.pages.views import VIEWS
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope
from changeover.site.home import Home
from changeover.store import rollbacks, samples
from tests.integration.console import page_story
from tests.integration.console.conftest import Serve, Served, started
from tests.support.axe import chromium, findings, new_page, overflowing
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.browser]

ADDRESSES = {view.name: f"/pages/{view.name}" for view in VIEWS}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console whose plan and store have something for every page."""
    with ExitStack() as stack:
        home = Home(tmp_path_factory.mktemp("pages") / "home")
        served = started(stack, home, page_story.plan_with_everything())
        page_story.fill(served.store, served.plan)
        yield served


@pytest.fixture(autouse=True)
def closed(browser: Any) -> Iterator[None]:
    """Close each test's pages, whose streams would count in the next test's."""
    yield
    for context in browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def measure(served: Served, seconds: int = 90, *, until: Any = None, failed: int = 0) -> None:
    """Store seconds of traffic of both systems that end now."""
    end = int((until or clock.now()).timestamp())
    rows = []
    for system in ("baseline", "candidate"):
        for at in range(end - seconds, end):
            rows.append(Sample(
                system, at, requests=20, probes=1, probes_up=1, memory_bytes=50_000_000,
                errors={"status_5xx": failed} if system == "candidate" and failed else {}))
    samples.write(served.store, served.plan.migration, rows)


def test_every_page_at_every_size_in_light_and_dark(console: Served, browser: Any) -> None:
    """No barrier that axe knows, nothing that sticks out, no complaint of the browser."""
    console.move(Mode.GRADUAL, 500, shadow_sample=5000)
    measure(console)
    faults = []
    for name, address in ADDRESSES.items():
        for size, scheme in (("desk", "light"), ("desk", "dark"), ("phone", "light")):
            page, complaints = new_page(browser, size=size, scheme=scheme)
            # all of them take longer than figures are new
            measure(console, 10)
            page.goto(console.url + address)
            page.wait_for_selector("#live.on, #live.old")
            found = [*complaints, *findings(page)]
            if overflowing(page):
                found.append(f"{overflowing(page)} pixels stick out")
            faults += [f"{name} {size} {scheme}: {each}" for each in found]
            page.context.close()
    assert faults == []


def test_a_change_is_seen_without_loading_again_and_what_is_open_stays(
    console: Served, browser: Any
) -> None:
    """The share, its chart and the decision come by themselves."""
    page, complaints = new_page(browser)
    measure(console)
    page.goto(console.url)
    page.wait_for_selector("#c-requests .uplot")
    page.locator("#c-requests summary").click()
    page.wait_for_selector("#c-requests .values tr >> nth=2")
    page.evaluate("window.isTheSame = true")
    console.move(Mode.GRADUAL, 4200)
    page.wait_for_selector("#s-now :text('42 %')")
    page.wait_for_selector("#s-decisions :text('42 %')")
    assert page.evaluate("window.isTheSame")
    assert page.locator("#c-requests details[open]").count() == 1
    assert complaints == []


def test_each_route_has_its_place_and_its_charts(console: Served, browser: Any) -> None:
    """One that nobody used has no empty charts; the table says where each of them is."""
    page, complaints = new_page(browser)
    end = int(clock.now().timestamp())
    met = Measurements(requests=7, errors={"status_5xx": 2})
    samples.write(console.store, console.plan.migration, [
        Sample("candidate", at, requests=20, subsets={
            "route:orders": met, "route:login": Measurements()})
        for at in range(end - 90, end)])
    page.goto(console.url)
    page.wait_for_selector("#c-errors-of-orders .uplot")
    assert not page.is_visible("#c-p95-of-login")
    page.wait_for_selector("#s-routes :text('never moves')")
    page.goto(f"{console.url}/pages/user-experience")
    page.wait_for_selector("#s-segments :text('route orders')")
    assert complaints == []


def test_what_differs_is_shown_as_text_and_its_rule_is_copied(
    console: Served, browser: Any
) -> None:
    """Both values side by side, whatever they hold, and one click takes the YAML."""
    page, complaints = new_page(browser, permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{console.url}/pages/comparison")
    first = page.locator(".place", has_text="$.total").first
    assert first.locator("td").all_inner_texts()[1:3] == ["12.5", "12.51"]
    first.locator("button").click()
    page.wait_for_selector("#said:text('copied')", state="attached")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "comparison:\n  numeric: {$.total: {relative: 0.01}}\n"
    assert page_story.HOSTILE in page.inner_text("#s-places")
    assert page.locator("#content img").count() == 0
    assert complaints == []


def test_all_migrations_of_the_store_are_on_one_list(console: Served, browser: Any) -> None:
    """Also those whose console is somewhere else, and those that nobody watches."""
    page, complaints = new_page(browser)
    page.goto(f"{console.url}/pages/migrations")
    rows = page.locator("#s-list tbody tr")
    page.wait_for_selector("#s-list tbody tr >> nth=2")
    found = {each.split()[0]: each for each in rows.all_inner_texts()}
    assert found.keys() == {"bench", "invoices", "payments"}
    assert "all silent since" in found["invoices"]
    assert "none has run of late" in found["payments"]
    assert complaints == []


@pytest.mark.parametrize(("view", "chart", "places"), [
    ("system-health", "machine", {
        "now": "critical", "errors": "no answer in time", "services": "silent",
        "checks": page_story.HOSTILE, "repairs": page_story.HOSTILE}),
    ("feature-flags", "drift", {
        "flags": page_story.HOSTILE, "segments": "beta", "publishing": page_story.HOSTILE,
        "triggers": "errors"}),
    ("user-experience", "quality-1", {
        "outcomes": "mean confidence of outcomes", "statuses": "404", "segments": "with success",
        "against": "errors that users saw"})])
def test_a_page_has_its_sections_and_charts_and_runs_nothing_that_others_wrote(
    console: Served, browser: Any, view: str, chart: str, places: dict[str, str]
) -> None:
    """What people and systems write is shown as they wrote it."""
    measure(console)
    page, complaints = new_page(browser)
    page.goto(f"{console.url}/pages/{view}")
    page.wait_for_selector(f"#c-{chart} .uplot")
    for section, shown in places.items():
        assert shown in page.inner_text(f"#s-{section}"), section
    assert complaints == []


def test_charts_are_read_with_the_keyboard_and_by_their_words(
    console: Served, browser: Any
) -> None:
    """The arrow keys say the values of a moment; the label says the whole in words."""
    measure(console)
    page, _ = new_page(browser)
    page.goto(f"{console.url}/?range=10m")
    page.wait_for_selector("#c-requests .uplot")
    plot = page.locator("#c-requests .plot")
    assert "baseline: always 20 /s" in (plot.get_attribute("aria-label") or "")
    plot.focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#said:text('baseline 20 /s, candidate 20 /s')", state="attached")


def test_old_data_is_said(console: Served, browser: Any) -> None:
    """Figures from before are not shown as the present ones."""
    page, _ = new_page(browser)
    served = console
    page.clock.install(time=clock.now() + timedelta(seconds=0))
    measure(served)
    page.goto(served.url)
    page.wait_for_selector("#live.on")
    page.clock.fast_forward(45_000)
    # its stream is alive and says nothing newer
    page.wait_for_selector("#live.old")
    assert "no data for" in page.inner_text("#live") or "no connection" in page.inner_text("#live")


def test_a_page_outlives_the_console_and_its_renderer(serve: Serve, browser: Any) -> None:
    """Killed and started again: the page says so, comes back by itself and shows what is new."""
    served = serve()
    served.move(Mode.GRADUAL, 500)
    measure(served)
    page, _ = new_page(browser)
    page.goto(served.url)
    page.wait_for_selector("#live.on")
    assert served.process is not None
    # first the process that renders: nobody notices
    for child in renderers(served):
        child.send_signal(signal.SIGKILL)
    served.move(Mode.GRADUAL, 700)
    page.wait_for_selector("#s-now :text('7 %')")
    children = [each.pid for each in renderers(served)]
    os.kill(served.process.pid, signal.SIGKILL)
    page.wait_for_selector("#live.old:has-text('no connection for')")
    # what rendered for it ends with it
    wait_for(lambda: not any(_runs(pid) for pid in children), what="the renderer's end")
    served.move(Mode.GRADUAL, 900)
    served.start()
    page.wait_for_selector("#s-now :text('9 %')")


def faults(page: Any, complaints: list[str], state: str) -> list[str]:
    """Return what is wrong with a page in a state, at the desk and on a phone."""
    found = list(complaints)
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 844})
        found += findings(page)
        if overflowing(page):
            found.append(f"{overflowing(page)} pixels stick out at {width}")
    return [f"{state}: {each}" for each in found]


def test_every_state_is_designed(serve: Serve, browser: Any) -> None:
    """Empty, loading, rolled back and a store that cannot be read: each says what it is."""
    served = serve()
    page, complaints = new_page(browser)
    page.goto(served.url)
    page.wait_for_selector("#live:has-text('nothing measured yet')")
    wrong = faults(page, complaints, "empty")
    # its renderer hangs: the page is sent without figures, which come when there are some
    (renderer,) = renderers(served)
    renderer.suspend()
    page.goto(served.url)
    page.wait_for_selector("#s-now:has-text('The first figures come within seconds')")
    wrong += faults(page, complaints, "loading")
    renderer.resume()
    page.wait_for_selector("#s-now .next")
    served.move(Mode.GRADUAL, 500)
    state = served.move(Mode.EMERGENCY_ROLLBACK)
    rollbacks.begin(served.store, Rollback(
        served.plan.migration, state.epoch, "wrong totals", RollbackSeverity.HIGH,
        scope="everyone", actor="ann", started_at=clock.now()))
    page.wait_for_selector("#s-banners :text('Rolled back')")
    wrong += faults(page, complaints, "rolled back")
    with served.store.begin() as session:
        session.execute(text("ALTER TABLE routing_state RENAME TO away"))
    page.wait_for_selector("#problem:not([hidden])")
    wrong += faults(page, complaints, "error")
    with served.store.begin() as session:
        session.execute(text("ALTER TABLE away RENAME TO routing_state"))
    page.wait_for_selector("#problem[hidden]", state="attached")
    # what nobody has foreseen is said as well, and ends no stream
    with served.store.begin() as session:
        session.execute(text("UPDATE routing_state SET segments = '{'"))
    page.wait_for_selector("#problem:has-text('an unforeseen error')")
    with served.store.begin() as session:
        session.execute(text("UPDATE routing_state SET segments = '[]'"))
    page.wait_for_selector("#problem[hidden]", state="attached")
    assert wrong == []


def renderers(served: Served) -> list[psutil.Process]:
    """Return the processes that render for a console."""
    assert served.process is not None
    children = psutil.Process(served.process.pid).children(recursive=True)
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


STREAM = """
window.EventSource = class extends EventTarget {
  constructor() { super(); this.readyState = 1; window.stream = this; }
  close() {}
};
"""
"""Stands in for the connection, so that a test can say a day's events in seconds."""


def test_a_page_that_is_left_open_for_long_does_not_grow(console: Served, browser: Any) -> None:
    """As many looks as it takes to see growth: neither elements nor memory become more."""
    measure(console)
    events = []
    with httpx.stream("GET", f"{console.url}/live/overview", timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(line.removeprefix("data: "))
                break
    page, complaints = new_page(browser)
    page.add_init_script(STREAM)
    page.goto(console.url)
    page.wait_for_function("window.stream")
    says = """([event, times]) => {
        for (let each = 0; each < times; each++)
            window.stream.dispatchEvent(new MessageEvent("look", {data: event}));
        return document.querySelectorAll("*").length;
    }"""
    memory = page.context.new_cdp_session(page)

    def used() -> float:
        memory.send("HeapProfiler.collectGarbage")
        return float(memory.send("Runtime.getHeapUsage")["usedSize"])

    elements = page.evaluate(says, [events[0], 50])
    before = used()
    assert page.evaluate(says, [events[0], 500]) == elements
    # 500 looks that each kept a kilobyte would be seen
    assert used() - before < 400_000
    assert complaints == []


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_page_without_scripts_has_the_figures(console: Served, browser: Any) -> None:
    """It is loaded again and again; once the renderer runs, the answer is whole."""
    measure(console)
    page, _ = new_page(browser, java_script_enabled=False)

    def is_whole() -> bool:
        page.goto(console.url)
        return "requests per second" in page.inner_text("#s-systems")

    wait_for(is_whole, what="the figures")
    assert page.inner_text("#s-now .next")


def test_what_a_page_may_load_is_only_the_consoles(console: Served) -> None:
    """Nothing inline, nothing from elsewhere, no frame; its files may be kept for a year."""
    client = console.client()
    found = client.get("/")
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert found.headers["x-frame-options"] == "DENY"
    assert "unsafe" not in policy
    assert "://" not in found.text.partition("<main")[0]
    for name in ("pages.js", "pages.css", "uplot.js", "uplot.css", "icon.svg"):
        place = found.text.split(f"/{name}")[0].rsplit('"', 1)[1] + f"/{name}"
        asset = client.get(place)
        assert asset.headers["cache-control"].endswith("immutable")
        assert client.get(place.replace("/assets/", "/assets/0")).status_code == 404


@pytest.mark.parametrize(("path", "allowed"), [
    ("/pages/nothing", "overview"), ("/live/nothing", "overview"), ("/?range=2h", "10m, 1h"),
    ("/live/overview?range=x", "10m, 1h"), ("/?since=1", "range")])
def test_an_unknown_page_or_range_is_refused_with_those_there_are(
    console: Served, path: str, allowed: str
) -> None:
    found = console.client().get(path)
    assert found.status_code in (400, 422)
    assert allowed in found.json()["allowed"]


def test_elsewhere_pages_and_their_stream_need_a_token_and_their_files_do_not(
    serve: Serve
) -> None:
    """A console that others can reach shows nothing to strangers."""
    served = replace(serve(), host="0.0.0.0")  # noqa: S104
    served.kill()
    served.start()
    stranger, reader = served.client(), served.client(served.token(Scope.READ))
    for path in ("/", "/pages/overview", "/live/overview"):
        assert stranger.get(path).status_code == 401
    page = reader.get("/")
    assert page.status_code == 200
    icon = page.text.split('<link rel="icon" href="')[1].split('"')[0]
    assert stranger.get(icon).status_code == 200


def test_too_many_open_pages_are_refused_and_all_get_the_same(console: Served) -> None:
    """The limit is said; those that are open go on."""
    with httpx.Client(
        base_url=console.url, timeout=60,
        limits=httpx.Limits(max_connections=MOST_STREAMS + 5),
    ) as client:
        streams, refused, first = [], None, set()
        try:
            for _ in range(MOST_STREAMS + 1):
                stream = client.stream("GET", "/live/overview")
                answer = stream.__enter__()
                streams.append(stream)
                if answer.status_code != 200:
                    refused = answer
                    break
                opened = answer
            for line in opened.iter_lines():
                if line.startswith("data: "):
                    first |= json.loads(line.removeprefix("data: "))["sections"].keys()
                    break
        finally:
            for stream in streams:
                stream.__exit__(None, None, None)
    assert refused is not None
    assert refused.status_code == 429
    assert len(streams) > MOST_STREAMS - 20
    assert "now" in first
    # they are closed: others may look again
    again = console.client()
    wait_for(lambda: _opens(again), what="a free place")


def _opens(client: httpx.Client) -> bool:
    with client.stream("GET", "/live/overview") as answer:
        return answer.status_code == 200
