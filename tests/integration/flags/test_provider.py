"""Our OpenFeature provider: in process, fresh within a moment, and answering through outages."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus

from changeover.domain.routing import Mode
from changeover.errors import Unreachable
from changeover.sdk import feed
from changeover.sdk.feed import Feed
from changeover.sdk.openfeature import ChangeoverProvider
from tests.integration.flags.conftest import Site, is_up
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
USER = EvaluationContext("user-7")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """No provider outlives its test."""
    yield
    api.clear_providers()


def client_of(provider: ChangeoverProvider) -> OpenFeatureClient:
    """Return a client of the SDK that uses the provider, whose first snapshot may take long."""
    provider._wait = LONGEST_PAUSE
    api.set_provider_and_wait(provider, "ours")
    return api.get_client("ours")


def test_every_kind_is_resolved_in_process(console: Site) -> None:
    """Values, variants, reasons and metadata are those of the evaluation."""
    client = client_of(ChangeoverProvider.from_console(console.url))
    found = client.get_object_details("ocr", {}, USER)
    assert (found.value, found.variant, found.reason) == (
        {"engine": "open-ocr", "retries": 5}, "open", Reason.SPLIT)
    assert client.get_boolean_value("enable_ai", True, USER) is False
    assert client.get_string_value("log_level", "", USER) == "WARNING"
    assert client.get_integer_value("memory_limit_mb", 0, USER) == 6656
    assert client.get_float_value("memory_limit_mb", 0.0, USER) == 6656.0
    assert client.get_float_details("threshold", 0.0, USER).flag_metadata["why"]


@pytest.mark.parametrize(("method", "flag", "default", "user", "code"), [
    ("boolean", "nope", True, "u", ErrorCode.FLAG_NOT_FOUND),
    ("boolean", "log_level", True, "u", ErrorCode.TYPE_MISMATCH),
    ("integer", "enable_ai", 3, "u", ErrorCode.TYPE_MISMATCH),
    ("integer", "threshold", 3, "u", ErrorCode.TYPE_MISMATCH),
    ("object", "ocr", {"a": 1}, 7, ErrorCode.INVALID_CONTEXT),
    ("object", "ocr", {"a": 1}, "\ud800", ErrorCode.INVALID_CONTEXT),
])
def test_errors_give_the_default_and_the_code(
    site: Site, method: str, flag: str, default: Any, user: Any, code: ErrorCode
) -> None:
    """The application goes on with its own value and learns why."""
    client = client_of(ChangeoverProvider.from_store(site.store, "shop"))
    found = getattr(client, f"get_{method}_details")(flag, default, EvaluationContext(user))
    assert (found.value, found.reason, found.error_code) == (default, Reason.ERROR, code)


def test_answers_that_an_application_changes_stay_its_own(site: Site) -> None:
    """Objects are copies: one caller cannot change another's flag."""
    client = client_of(ChangeoverProvider.from_store(site.store, "shop"))
    client.get_object_value("ocr", {}, USER)["engine"] = "mine"  # type: ignore[index,call-overload]
    assert client.get_object_value("ocr", {}, USER)["engine"] == "open-ocr"  # type: ignore[call-overload]


def test_change_reaches_the_provider_within_a_second(console: Site) -> None:
    """The console tells; an event names the flags, and the routing's own follow the routing."""
    provider = ChangeoverProvider.from_console(console.url)
    client, seen = client_of(provider), []
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, seen.append)
    console.set("enable_ai", True)
    wait_for(lambda: client.get_boolean_value("enable_ai", False, USER))
    wait_for(lambda: seen)  # events of one moment may come in any order
    console.move(Mode.GRADUAL, 2_500)
    wait_for(lambda: client.get_boolean_value("useNewArchitecture", False, USER))
    wait_for(lambda: len(seen) == 2)
    assert [event.flags_changed for event in seen] == [
        ["enable_ai"], ["changeover.system", "enable_ai", "ocr", "useNewArchitecture"]]


def test_last_snapshot_answers_while_the_console_is_down(site: Site) -> None:
    """Down and up again: the same values, marked stale; then fresh, with what was missed."""
    events: list[str] = []

    def note(event: EventDetails) -> None:
        events.append(event.message or "ready")

    with site.serving():
        is_up(site)
        client = client_of(ChangeoverProvider.from_console(site.url))
        assert client.get_provider_status() is ProviderStatus.READY
        client.add_handler(ProviderEvent.PROVIDER_STALE, note)
    wait_for(lambda: client.get_provider_status() is ProviderStatus.STALE, what="stale")
    found = client.get_boolean_details("enable_ai", True, USER)
    assert (found.value, found.reason, found.error_code) == (False, Reason.STALE, None)
    wait_for(lambda: events)
    assert "the console gives no snapshot" in events[0]
    site.set("enable_ai", True)
    with site.serving():
        wait_for(lambda: client.get_provider_status() is ProviderStatus.READY, what="ready")
        found = wait_for(lambda: (one := client.get_boolean_details("enable_ai", False, USER))
                         and one.value and one)
        assert found.reason is Reason.STATIC  # type: ignore[attr-defined]


def test_frozen_console_is_noticed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that takes connections and never answers is as good as down."""
    monkeypatch.setattr(feed, "WAIT_SECONDS", 2)  # how long it is let wait for news
    with site.serving() as process:
        is_up(site)
        client = client_of(ChangeoverProvider.from_console(site.url))
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: client.get_provider_status() is ProviderStatus.STALE, seconds=40)
        assert client.get_boolean_details("enable_ai", True, USER).reason is Reason.STALE
        os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: client.get_provider_status() is ProviderStatus.READY)


def test_application_starts_from_its_cache_while_the_console_is_down(
    site: Site, tmp_path: Path
) -> None:
    """A restart during an outage costs nobody their flags."""
    cache = tmp_path / "flags.json"
    with site.serving():
        is_up(site)
        client_of(ChangeoverProvider.from_console(site.url, cache=cache))
        wait_for(cache.exists)
    api.clear_providers()
    client = client_of(ChangeoverProvider.from_console(site.url, cache=cache))
    assert client.get_string_value("log_level", "", USER) == "WARNING"
    wait_for(lambda: client.get_provider_status() is ProviderStatus.STALE)


def test_provider_without_any_snapshot_is_not_ready_and_mends_itself(site: Site) -> None:
    """Started before the console it gives defaults, and is ready once there is one."""
    api.set_provider(ChangeoverProvider.from_console(site.url, wait_seconds=0.1), "ours")
    client = api.get_client("ours")
    found = client.get_boolean_details("enable_ai", True, USER)
    assert (found.value, found.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    with site.serving():
        wait_for(lambda: client.get_provider_status() is ProviderStatus.READY)
        assert client.get_boolean_value("enable_ai", True, USER) is False


class Recorder(Hook):
    """Notes every stage."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext:
        """Note, and add an attribute that a rule needs."""
        self.stages.append("before")
        return EvaluationContext(attributes={"plan": "gold"})

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any],
              hints: HookHints) -> None:
        """Note what came out."""
        self.stages.append(f"after {details.reason}")

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        """Note that it failed."""
        self.stages.append("error")

    def finally_after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any],
                      hints: HookHints) -> None:
        """Note the end."""
        self.stages.append("finally")


@pytest.mark.parametrize(("flag", "stages"), [
    ("paying", ["before", "after TARGETING_MATCH", "finally"]), ("nope", ["before", "error",
                                                                           "finally"])])
def test_hooks_run_as_the_sdk_says(site: Site, flag: str, stages: list[str]) -> None:
    """Hooks see, and may add to, every evaluation, failures included."""
    client, hook = client_of(ChangeoverProvider.from_store(site.store, "shop")), Recorder()
    client.get_boolean_value(flag, False, USER, FlagEvaluationOptions(hooks=[hook]))
    assert hook.stages == stages


def test_direct_call_needs_no_sdk(console: Site) -> None:
    """The same values without OpenFeature's cost."""
    with Feed.from_console(console.url).start(wait=LONGEST_PAUSE) as flags:
        assert flags.value("log_level", "", "user-7") == "WARNING"
        assert flags.evaluate("paying", "u", {"plan": "gold"}).value is True
        assert flags.value("nope", "mine", "user-7") == "mine"


def test_feed_that_never_had_a_snapshot_says_so(site: Site) -> None:
    """Nobody gets made-up flags."""
    feed = Feed.from_console(site.url)
    with pytest.raises(Unreachable, match="there are no flags yet"):
        feed.start(wait=0.1)
    assert feed.value("log_level", "mine") == "mine"
    with pytest.raises(Unreachable):
        feed.evaluate("log_level")
    feed.stop()
