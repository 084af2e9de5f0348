"""The OCR example: pages with known text, two real engines, and how wrong each of them is."""

from __future__ import annotations

import re
import unittest
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from statistics import mean

import httpx
import pytest

from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from examples.ocr import demo, pages, pipeline, units
from examples.ocr.engine import Engine, Reading
from examples.ocr.faults import OcrFaults
from examples.ocr.rapid import Rapid
from examples.ocr.tesseract import Tesseract
from tests.support.processes import ROOT

PLAN = ROOT / "plans" / "ocr.yaml"
ENGINES: dict[str, type[Engine]] = {"tesseract": Tesseract, "rapidocr": Rapid}
MOST_WRONG = {
    ("tesseract", "blurred"): 0.03, ("tesseract", "noisy"): 0.06, ("tesseract", "small"): 0.02,
    ("tesseract", "rotated"): 0.02,
}
"""Largest mean share of wrong characters by engine and style; elsewhere 1 %."""


@pytest.fixture(scope="module")
def read() -> dict[tuple[str, str], list[tuple[float, float]]]:
    """What each engine read: (wrong characters, confidence) of every page, by engine and style."""
    found = defaultdict(list)
    for name, kind in ENGINES.items():
        engine = kind()
        for page in pages.load(count=24).values():
            reading = engine.read(pages.picture(page))
            wrong = pages.character_error_rate(reading.text, page.text)
            found[name, page.style].append((wrong, reading.confidence))
    return dict(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("style", pages.STYLES)
def test_the_true_character_error_rate_is_known(
    read: dict[tuple[str, str], list[tuple[float, float]]], engine: str, style: str
) -> None:
    """Against the text that was drawn; and each engine is as sure as the plan's gate asks."""
    wrong, confidence = (mean(each) for each in zip(*read[engine, style], strict=True))
    assert wrong <= MOST_WRONG.get((engine, style), 0.01)
    assert 0.80 <= confidence <= 1


def test_the_two_engines_truly_differ(
    read: dict[tuple[str, str], list[tuple[float, float]]]
) -> None:
    """The new one makes fewer mistakes over all pages, so that comparing them says something."""
    total = {name: mean(wrong for (engine, _), found in read.items() if engine == name
                        for wrong, _ in found) for name in ENGINES}
    assert total["rapidocr"] < total["tesseract"]


def test_every_style_looks_different_and_every_page_is_its_own() -> None:
    """Fonts, sizes, angles and noises vary, and no two pages are alike."""
    known = pages.load()
    assert len({pages.picture(page) for page in known.values()}) == len(known)
    assert {page.font for page in known.values()} == set(pages.FONTS)
    assert {page.style for page in known.values()} == set(pages.STYLES)
    staging = pages.load(pages.STAGING_SEED)
    assert staging.keys() == known.keys()
    assert not {page.text for page in staging.values()} & {page.text for page in known.values()}


def test_units_of_the_staging_suite_pass() -> None:
    """What the suite `unit` runs, run here."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromModule(units).run(result)
    assert result.testsRun >= 5
    assert result.wasSuccessful(), result.failures + result.errors


def test_a_small_page_makes_the_engine_unsure_indeed() -> None:
    """The fault `unsure` invents no number: the engine itself says less than 80 %."""
    faults, engine = OcrFaults(), Rapid()
    faults.begin("unsure")
    sure = [engine.read(faults.before(pages.picture(page))).confidence
            for page in pages.load(count=18).values()]
    assert mean(sure) < 0.78


def test_garbled_text_is_wrong_and_as_sure_as_ever() -> None:
    """Only the share of wrong characters shows it."""
    faults = OcrFaults()
    faults.begin("garbled")
    found = faults.after(Reading("Total EUR 19.90", 0.99))
    assert pages.character_error_rate(found.text, "Total EUR 19.90") > 0.5
    assert found.confidence == 0.99


@pytest.mark.parametrize(("is_there", "lacks"), [
    ((True, True), None),
    ((False, True), "apt-get install tesseract-ocr"),
    ((True, False), "pip install -c constraints.txt -e '.[ocr]'"),
    ((False, False), "apt-get install tesseract-ocr && pip install"),
], ids=["all", "no tesseract", "no rapidocr", "neither"])
def test_what_is_missing_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, is_there: tuple[bool, bool], lacks: str | None
) -> None:
    """With what to install, before anything is started."""
    program, library = is_there
    monkeypatch.setattr(demo.shutil, "which", lambda _: "/usr/bin/tesseract" if program else None)
    monkeypatch.setattr(demo, "find_spec", lambda _: object() if library else None)
    said = demo.lacking()
    assert (said is None) == (lacks is None)
    if lacks is not None:
        assert lacks in str(said)
        assert "\n" not in str(said)


def test_the_plan_has_the_stages_and_thresholds_of_the_guide() -> None:
    """0, 5, 15, 35, 60, 85, 100 %; 30 s, 95 %, 0.80, 5 %; critical at 10 %, 60 s, 90 %."""
    plan = load_plan(PLAN)
    assert [int(stage.percent) for stage in plan.stages()] == [0, 5, 15, 35, 60, 85, 100]
    assert [stage.segments for stage in plan.stages()][:3] == [
        (), ("pilot",), ("pilot", "early_adopters")]
    bounds = {check.metric: check.bound_values[0] for check in plan.gates["thresholds"]}
    assert bounds["outcome_duration_mean"] == 30
    assert bounds["outcome_error_rate"] == bounds["error_rate"] == 0.05
    assert bounds["outcome.confidence"] == 0.80
    critical = {each.name: each.bound_values[0] for each in plan.triggers
                if each.name.startswith("critical")}
    assert critical == {
        "critical_errors": 0.10, "critical_time": 60, "critical_success": 0.10}
    assert {check.metric for check in plan.gates["comparison"]} >= {
        "outcome_duration_mean", "outcome.confidence", "outcome_error_rate", "outcome_rate"}
    assert plan.cutover.observe is not None
    assert plan.cutover.observe.duration == timedelta(hours=24)
    assert len(plan.flags) == 9


def test_staging_shares_no_port_and_no_database_with_production() -> None:
    """A test on staging can touch no user."""
    production, staging = load_plan(PLAN), load_plan(PLAN, "staging")

    def places(plan: Plan) -> set[str]:
        text = plan.model_dump_json(exclude={"environments"})
        return set(re.findall(r"127\.0\.0\.1:\d+|ocr-data/[\w-]+\.db", text))

    assert len(places(production)) == len(places(staging)) == 5
    assert not places(production) & places(staging)


@pytest.mark.parametrize(("said", "problems"), [
    (lambda page: page.text, 0), (lambda page: page.text[::-1], len(pages.STYLES)),
], ids=["right", "wrong"])
def test_the_pipeline_suite_fails_for_text_that_is_wrong(
    said: Callable[[pages.Page], str], problems: int
) -> None:
    """It knows what stands on each page, so that a service that answers anything does not pass."""
    known = {pages.picture(page): page for page in pages.load().values()}

    def answer(request: httpx.Request) -> httpx.Response:
        page = known[request.read()]
        return httpx.Response(200, json={"text": said(page), "confidence": 0.9})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://ocr") as client:
        assert len(pipeline.examine(client, pages.PRODUCTION_SEED)) == problems
