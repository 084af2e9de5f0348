"""`changeover flags` and `changeover explain`, as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from changeover.cli.main import main
from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode, bucket
from changeover.plan.load import parse_plan
from changeover.site.home import Home
from changeover.store import flags, plans, routing
from tests.core.plan.test_load import GOOD
from tests.integration.flags.conftest import FLAGS
from tests.support.ready_store import ready_store

ENVIRONMENTS = "environments: {testing: {flags: {log_level: DEBUG}}}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a registered plan, without any process."""
    return home_of(tmp_path, GOOD)


def home_of(tmp_path: Path, text: str) -> Path:
    """Return a home whose plan is a text with flags behind it."""
    found = Home.resolve(tmp_path / "home")
    found.create()
    store = ready_store(found.store_url)
    plan = parse_plan(text + FLAGS + ENVIRONMENTS, "test")
    plans.register(store, plan, source="test", now=now())
    flags.follow_plan(store, plan, now=now())
    routing.change(
        store, "shop", Change(mode=Mode.GRADUAL, weight=2_500), Author("t", "t"), now=now())
    store.close()
    found.save_settings({"migration": "shop"})
    return found.root


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; return (exit code, output, message)."""
    def one(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--home", str(home)])
        out, err = capsys.readouterr()
        return code, out, err
    return one


def test_explain_names_the_system_and_the_reason(run: Any) -> None:
    """One line says which system and why; attributes count."""
    assert run("explain", "user-7")[1].startswith(
        "user-7 gets the candidate because bucket 2157 is below 2500 (gradual 25 %)\n")
    told = json.loads(run("explain", "user-1", "--attribute", "plan=gold", "--flag", "paying",
                          "--output", "json")[1])
    assert (told["system"], told["flags"]["paying"]["value"]) == ("baseline", True)


def test_explain_takes_any_bytes_of_a_key_and_all_its_values(run: Any) -> None:
    """What a shell gives that is not UTF-8 is hashed as it is; several keys are one header's."""
    for keys, shown in ((["caf\udce9"], r"caf\xe9"), (["u2", "v2"], "u2, v2"), ([" u2 "], " u2 ")):
        code, out, _ = run("explain", *keys, "--output", "json")
        told = json.loads(out)
        assert (code, told["key"], told["bucket"]) == (0, shown, bucket(keys)), keys
        assert run("explain", *keys)[1].startswith(f"{shown} gets the ")
    assert run("explain", "u1", "")[1].startswith("u1,  gets the baseline because a request with")


def test_explain_finds_the_key_of_a_request(run: Any) -> None:
    """A whole request instead of a key; both at once are refused, and so is nothing."""
    text = run("explain", "--header", "X-User-Id=user-7", "--path", "/cart")[1]
    assert text.startswith("user-7 gets the candidate because bucket 2157 is below 2500")
    assert "without a key" in run("explain", "--header", "cookie=a=b")[1]
    for arguments in (["u", "--path", "/"], ["--path", "cart"], []):
        code, _, message = run("explain", *arguments)
        assert code == 2, arguments
        assert message.startswith("changeover: ")


def test_explain_says_what_each_system_sees_of_a_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it is another path or host than the one that users send."""
    text = GOOD.replace("http://127.0.0.1:2", "http://127.0.0.1:2/v2") + (
        "routes: [{name: orders, path: {prefix: /orders}, "
        "rewrite: {path: /api/orders, host: new.example}}]\n")
    home = str(home_of(tmp_path, text))

    def told(path: str, *more: str) -> str:
        assert main(["explain", "user-7", "--path", path, *more, "--home", home]) == 0
        return capsys.readouterr()[0]

    lines = told("/orders/7?x", "--header", "host=shop.example").splitlines()
    assert lines[0].startswith("user-7 on route orders gets the baseline")
    assert [line for line in lines if "sees" in line] == [
        "the candidate sees path /v2/api/orders/7?x, host new.example"]
    assert "the candidate sees path /v2/cart, host as it was sent\n" in told("/cart")
    assert json.loads(told("/caf\udce9", "--output", "json"))["seen"] == {
        "candidate": {"path": r"/v2/caf\xe9", "host": ""}}


def test_text_that_is_not_utf_8_is_refused_before_anything_is_done(run: Any) -> None:
    """A reason that no database keeps is a clear message, not a traceback halfway."""
    code, _, message = run("flags", "set", "log_level", "DEBUG", "--reason", "caf\udce9")
    assert (code, "argument 6 is not UTF-8: caf\\udce9" in message) == (2, True)


def test_explain_reads_attributes_as_applications_send_them(run: Any) -> None:
    """A number is a number; what looks like none is text, and a header always is."""
    def value(*attributes: str) -> bool:
        given = [part for one in attributes for part in ("--attribute", one)]
        told = json.loads(run("explain", "user-1", *given, "--output", "json")[1])
        return bool(told["flags"]["of_age"]["value"])

    assert value("age=18") and not value("age=17") and not value('age="18"')


def test_flag_is_changed_listed_explained_and_reset(run: Any) -> None:
    """The whole life of a change by hand, with its history."""
    assert run("flags", "set", "log_level", "ERROR", "--reason", "noise")[1] == (
        'log_level: "ERROR" (version 2)\n')
    assert 'log_level: "ERROR"   (drift: the plan says "WARNING"' in run("flags", "list")[1]
    assert "version 2" in run("flags", "show", "log_level")[1]
    code, _, message = run("flags", "set", "log_level", "INFO", "--reason", "x", "--version", "1")
    assert (code, "meanwhile" in message) == (4, True)
    run("flags", "roll-out", "enable_ai", "50", "--reason", "half")
    assert run("explain", "user-7")[1].count("rule 1: 50 % of users") == 1
    run("flags", "reset", "log_level", "--reason", "quiet again")
    assert 'log_level: "WARNING"\n' in run("flags", "list")[1]
    history = run("flags", "history", "log_level")[1].splitlines()
    assert [line.rsplit("(", 1)[1] for line in history] == [
        "the plan's)", "the plan's)", "noise)", "quiet again)"]


def test_environment_is_looked_at_and_changed_alone(run: Any) -> None:
    """`--env` sees what the environment says instead, and changes only that."""
    assert 'log_level: "DEBUG"' in run("flags", "list", "--env", "testing")[1]
    run("flags", "set", "enable_ai", "true", "--env", "testing", "--reason", "try")
    assert "enable_ai: true" in run("flags", "list", "--env", "testing")[1]
    assert "enable_ai: false" in run("flags", "list")[1]


@pytest.mark.parametrize(("arguments", "words"), [
    (["flags", "show", "nope"], "Allowed: enable_ai, log_level"),
    (["flags", "set", "log_level", "3", "--reason", "x"], "flag log_level is a string"),
    (["flags", "set", "nope", "3", "--reason", "x"], "there is no flag 'nope'"),
    (["flags", "roll-out", "enable_ai", "101", "--reason", "x"], "outside 0 to 100"),
    (["flags", "roll-out", "useNewArchitecture", "5", "--reason", "x"], "mirrors the migration"),
    (["flags", "list", "--env", "moon"], "Allowed: testing"),
    (["explain", "u", "--attribute", "beta"], "Allowed: NAME=VALUE"),
    (["explain", "u", "--flag", "nope"], "there is no flag 'nope'"),
])
def test_mistake_gets_one_message_and_exit_code_2(
    run: Any, arguments: list[str], words: str
) -> None:
    """What is wrong, and what is allowed; never a traceback."""
    code, _, message = run(*arguments)
    assert (code, words in message) == (2, True), message
