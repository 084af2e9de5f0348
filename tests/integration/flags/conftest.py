"""A store with flags, and a real console process that serves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest

from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.flags.by_hand import with_value
from changeover.flags.state import FlagEdit
from changeover.plan.flags import as_document
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.store import flags, plans, routing
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for
from tests.support.ready_store import ready_store

FLAGS = """\
flags:
  enable_ai: false
  log_level: WARNING
  memory_limit_mb: 6656
  threshold: 0.05
  ocr:
    variants: {cloud: {engine: cloud-ocr, retries: 2}, open: {engine: open-ocr, retries: 5}}
    default: cloud
    rules: [{segments: [beta], variant: open}, {percent: 25, variant: open}]
  useNewArchitecture: {mirrors: system, variants: {baseline: false, candidate: true}}
  paying: {rules: [{when: {plan: gold}, variant: enabled}]}
  of_age: {rules: [{when: {age: {at_least: 18}}, variant: enabled}]}
rollback: {safe_flags: {enable_ai: false, useNewArchitecture: false}}
"""


@dataclass
class Site:
    """A store, and how to start the console that reads it."""

    store: Store
    plan: Plan
    url: str
    serving: Callable[[], AbstractContextManager[Popen[bytes]]]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=LONGEST_PAUSE))

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request of the protocol."""
        content = {"json": body} if not isinstance(body, bytes) else {"content": body}
        return self.client.post(f"{self.url}/ofrep/v1/evaluate/flags{path}", **content, **more)

    def set(self, name: str, value: Any) -> None:
        """Change a flag by hand."""
        flags.change(
            self.store, "shop",
            FlagEdit(name, lambda flag: as_document(with_value(name, flag.entry, value))),
            Author("ana", "a test"), now=now())

    def move(self, mode: Mode, weight: int | None = None, **more: Any) -> None:
        """Change the routing state."""
        routing.change(
            self.store, "shop", Change(mode=mode, weight=weight, **more), Author("t", "t"),
            now=now())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A store with flags; the console is not started."""
    plan = parse_plan(GOOD + FLAGS, "test")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = ready_store(url)
    plans.register(store, plan, source="test", now=now())
    flags.follow_plan(store, plan, now=now())
    port = free_port()
    command = [sys.executable, "-m", "tests.support.console", url, "shop", str(port)]
    found = Site(store, plan, f"http://127.0.0.1:{port}",
                 lambda: running(command, tmp_path / "console.log"))
    yield found
    found.client.close()
    store.close()


@pytest.fixture
def console(site: Site) -> Iterator[Site]:
    """The site with its console."""
    with site.serving():
        is_up(site)
        yield site


def is_up(site: Site) -> None:
    """Wait until the console answers."""
    wait_for(lambda: httpx.get(f"{site.url}/v1/flags/snapshot").status_code == 200, seconds=60,
             what="console")
