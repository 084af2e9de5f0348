"""A cutover whose stage soaks with half of the users on the candidate, and what its gate says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.testing import CliRunner

from changeover.analysis.sequential.slices import Counter, Slice
from changeover.domain.audit import Author
from changeover.domain.rollout import GateVerdict
from changeover.domain.routing import Change, Mode
from changeover.procedures.gate import judge_stage
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, plans, routing, verdicts
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE

STAGE = "gradual-50"
SEEN = Seen(has_share=True, regressions=None)
Gates = Mapping[str, Sequence[Mapping[str, Any]]]


def phases(gates: Gates) -> list[dict[str, Any]]:
    """Return phases with one stage of an hour, which asks these gates."""
    return [{"phase": "gradual", "gates": list(gates),
             "stages": [{"percent": 50, "soak": "1h"}]}]


@contextmanager
def soaking(
    store_url: str, folder: Path, gates: Gates, *, entered: datetime, **parts: Any
) -> Iterator[CutoverRun]:
    """Begin a cutover whose stage of 50 % was entered at a time.

    Args:
        store_url: A store with its tables.
        folder: The home.
        gates: The plan's gates; the stage has all of them.
        entered: When users were moved.
        parts: Further parts of the plan.
    """
    store = Store.open(store_url, timeout=LONGEST_PAUSE)
    plan = make_plan(gates=gates, phases=phases(gates), **parts)
    plans.register(store, plan, source="test", now=entered)
    site = Site(Home(folder), plan, store)
    cutover = cutovers.begin(store, plan.migration, flow_run_id="one", now=entered)
    routing.change(store, plan.migration, Change(mode=Mode.GRADUAL, weight=5000),
                   Author("test", "test"), now=entered)
    cutovers.enter_stage(store, cutover.id, plan.stages()[0], now=entered)
    yield CutoverRun(site, cutover, "one")
    store.close()


def traffic(weight: int, start: float, shares: tuple[float, float], seed: int) -> Slice:
    """Return traffic with these shares of errors in the candidate's and the baseline's buckets."""
    chance = np.random.default_rng(seed)
    number = chance.poisson(20, 10_000)
    share = np.where(np.arange(10_000) < 5000, *shares)
    bad = {name: chance.binomial(number, each).astype(np.int64) for name, each in (
        (Counter.ERRORS, share), (Counter.CLIENT_ERRORS, 0.05))}
    return Slice(weight, int(start), int(start) + 60, {Counter.REQUESTS: number, **bad})


def verdict_of(run: CutoverRun, gate: str = "slo") -> GateVerdict:
    """Return the verdict of a gate after judging the stage."""
    judge_stage(run, STAGE, SEEN)
    return stored(run, gate)


def stored(run: CutoverRun, gate: str = "slo") -> GateVerdict:
    """Return the one verdict of a gate that is stored."""
    (found,) = [each for each in verdicts.all_of(run.site.store, run.id) if each.gate == gate]
    return found


def printed(
    run: CutoverRun, command: click.Command, *arguments: str, code: int = 0
) -> str:
    """Return what a command prints about the run's migration; it ends with `code`."""
    home, store = run.site.home, run.site.store
    home.create()
    url = store.engine.url.render_as_string(hide_password=False)
    home.save_secrets({"store_url": url})
    home.save_settings({"api_url": "", "migration": run.migration})
    done = CliRunner().invoke(
        command, [*arguments, "--home", str(home.root)], standalone_mode=False)
    assert (done.return_value, done.exception) == (code, None), done.output
    return done.output
