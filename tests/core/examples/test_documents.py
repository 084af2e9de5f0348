"""The parts of the document pair that need no server: reading, nodes, slots, page, records."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.documents import corpus, models
from examples.documents.ai_client import AiUnavailable
from examples.documents.cache import WorkflowCache
from examples.documents.candidate import EngineService
from examples.documents.classic import Unreadable, kind_of
from examples.documents.engine import NodeEngine, Stopped
from examples.documents.gui import GuiLoop
from examples.documents.legacy import LegacyPipeline
from examples.documents.node import Node, Task
from examples.documents.records import Records
from examples.documents.scheduler import AiScheduler, LaterTasks, NoSlot
from examples.documents.switches import DEFAULTS
from examples.documents.trouble import Trouble
from tests.support.processes import wait_for

# the engine gives a reader's process so many seconds of the clock: on a busy machine too few
pytestmark = pytest.mark.integration

DOCUMENTS = corpus.load()


class Ai:
    """AI services without a process: the real models, or none."""

    def __init__(self) -> None:
        self.is_down, self.asked, self.unloads = False, 0, 0

    def read(self, content: bytes, *, twice: bool) -> str:
        self.asked += 1
        if self.is_down:
            raise AiUnavailable("it is down")
        return f"read by AI{' twice' if twice else ''}"

    def describe(self, text: bytes) -> dict[str, Any]:
        return models.Describing().describe(text.decode())

    def unload(self) -> None:
        self.unloads += 1


class Flags:
    """Flags that a test sets."""

    def __init__(self, **given: object) -> None:
        self.given = {**DEFAULTS, **given}

    def is_on(self, name: str, _user: str = "") -> bool:
        return bool(self.given[name])

    def value(self, name: str, _user: str = "") -> Any:
        return self.given[name]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Nothing changes but by a test."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[NodeEngine]:
    """A started engine with every flag off."""
    made = NodeEngine(tmp_path / "work", Ai(), Flags())  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


def turn_on(engine: NodeEngine, *flags: str) -> None:
    engine.switches.given |= dict.fromkeys(flags, True)  # type: ignore[attr-defined]


def test_there_are_texts_pdf_and_pages_whose_text_is_known() -> None:
    """The same ones at each start, with names that are safe in addresses."""
    kinds = {kind_of(each.content) for each in DOCUMENTS.values()}
    assert kinds == {"text", "pdf", "picture"}
    assert list(DOCUMENTS) == list(corpus.load())
    assert corpus.letter("u", 1, "pdf").content == corpus.letter("u", 1, "pdf").content
    assert all(each.truth.strip() for each in DOCUMENTS.values())


@pytest.mark.parametrize("key", ["httpx.txt", "prefect.pdf", "click.png"])
def test_both_systems_read_what_is_in_a_document(
    engine: NodeEngine, tmp_path: Path, key: str
) -> None:
    """Another reader each for PDF; the same words, pages and title."""
    document = DOCUMENTS[key]
    old = LegacyPipeline(tmp_path / "old").process(key, document.content)
    new = engine.process(key, document.content)
    assert old == new
    assert "".join(new["text"].split()) == "".join(document.truth.split())


def test_the_ai_service_reads_a_page_as_it_is() -> None:
    """RapidOCR with the weights of its wheel; reading twice is not worse."""
    page, reader = DOCUMENTS["requests.png"], models.Reading()
    for twice in (False, True):
        found = reader.read(page.content, twice=twice)
        assert "".join(found["text"].split()) == "".join(page.truth.split())
        assert found["confidence"] > 0.9
    assert reader.is_loaded
    reader.unload()
    assert not reader.is_loaded


def test_the_text_service_summarises_in_the_texts_own_sentences() -> None:
    """Key phrases by YAKE; at most two sentences, none of them made up."""
    text = DOCUMENTS["jinja2.txt"].truth
    found = models.Describing().describe(text)
    assert "jinja" in " ".join(found["keywords"]).lower()
    assert found["summary"]
    assert all(part in " ".join(text.split()) for part in found["summary"].split(". "))


@pytest.mark.parametrize("content", [b"%PDF-1.4 broken", b"\x89PNG broken"])
def test_what_is_no_document_is_said(
    engine: NodeEngine, tmp_path: Path, content: bytes
) -> None:
    """A broken PDF or picture is its sender's fault, in both systems."""
    for process in (LegacyPipeline(tmp_path / "old").process, engine.process):
        with pytest.raises(Unreadable):
            process("x", content)


def test_flags_decide_who_reads_pictures(engine: NodeEngine) -> None:
    """Without AI, by AI, by AI twice; each has a place of its own in the cache."""
    page = DOCUMENTS["rich.png"].content
    assert "Permission" in engine.process("p", page)["text"]
    turn_on(engine, "enable_ai_nodes")
    assert "Permission" in engine.process("p", page)["text"]
    turn_on(engine, "enable_umi_ocr")
    assert engine.process("p", page)["text"] == "read by AI"
    turn_on(engine, "enable_advanced_ocr")
    assert engine.process("p", page)["text"] == "read by AI twice"
    assert list((engine.folder / "ai_processing").iterdir())
    assert list((engine.folder / "workflow_cache").iterdir())


async def _asked(engine: NodeEngine) -> None:
    transport = httpx.ASGITransport(EngineService(engine).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        places = {"enable_workflow_editor": "/workflow", "enable_api_gateway": "/api/v1/documents",
                  "enable_external_integration": "/export/httpx.txt"}
        for flag, path in places.items():
            assert (await client.get(path)).status_code == 404
            turn_on(engine, flag)
            assert (await client.get(path)).status_code == 200
        exported = await client.get("/export/httpx.txt")
        assert exported.json()["@type"] == "DigitalDocument"
        changed = await client.put("/workflow", json={"pdf": ["pdf_spare"]})
        assert changed.json()["pdf"] == ["pdf_spare"]
        assert (await client.put("/workflow", json={"pdf": ["read"]})).status_code == 422
        found = await client.get("/api/v1/documents/httpx.pdf")
        assert found.json()["kind"] == "pdf"


def test_three_flags_open_their_addresses(engine: NodeEngine) -> None:
    """404 while a flag is off; then the editor, the API gateway, records for other systems."""
    asyncio.run(_asked(engine))
    assert engine.nodes["pdf"].executed == 0  # the editor took it out of the workflow


def test_a_summary_is_made_later_and_nobody_waits(engine: NodeEngine) -> None:
    """The first answer has none; a delayed engine makes none."""
    turn_on(engine, "enable_ai_nodes", "enable_llm_processing")
    text = DOCUMENTS["httpx.txt"].content
    engine.later.delay()
    assert engine.process("t", text)["ai"] is None
    assert engine.process("t", text)["ai"] is None
    engine.later.release()
    found = wait_for(lambda: engine.process("t", text)["ai"], what="the summary")
    assert found["keywords"] and found["summary"]


def test_without_ai_pictures_are_read_all_the_same(engine: NodeEngine) -> None:
    """The service is down, or AI work is paused: users get the classic reader's answer."""
    turn_on(engine, "enable_ai_nodes", "enable_umi_ocr")
    engine.ai.is_down = True  # type: ignore[attr-defined]
    assert "Permission" in engine.process("p", DOCUMENTS["rich.png"].content)["text"]
    engine.scheduler.pause()
    assert "Permission" in engine.process("q", DOCUMENTS["alembic.png"].content)["text"]
    assert engine.ai.asked == 1  # type: ignore[attr-defined]


def test_a_dead_node_costs_its_task_a_moment_and_is_restarted(engine: NodeEngine) -> None:
    """Another node does the task; figures show the death, a restart ends it."""
    engine.nodes["pdf"].die()
    assert engine.process("a", DOCUMENTS["httpx.pdf"].content)["pages"] == 1
    figures = engine.nodes["pdf"].figures()
    assert (figures["is_alive"], figures["queue_length"]) == (False, 1)
    assert engine.nodes["pdf_spare"].figures()["executed"] == 1
    assert engine.restart_nodes("pdf") == ["pdf"]
    assert engine.restart_nodes() == []
    wait_for(lambda: engine.nodes["pdf"].waiting == 0, what="the queue is empty")


def test_tasks_of_a_dead_node_are_given_to_another(engine: NodeEngine) -> None:
    """Also those that nobody retries; one without another node keeps its tasks."""
    node = engine.nodes["pdf"]
    node.die()
    tasks = [Task("a", DOCUMENTS["httpx.pdf"].content), Task("b", DOCUMENTS["rich.pdf"].content)]
    for task in tasks:
        node.submit(task)
    wait_for(lambda: not node.is_alive, what="the node dies")
    assert engine.reroute("pdf") == 2
    assert [task.result.result(10)[1] for task in tasks] == [1, 1]
    assert engine.waiting == 0


def test_a_stopped_engine_takes_nothing_and_a_killed_one_goes_on(engine: NodeEngine) -> None:
    """Stopping is remembered, running too."""
    again = NodeEngine(engine.folder, Ai(), Flags())  # type: ignore[arg-type]
    assert again.is_running
    again.stop()
    with pytest.raises(Stopped):
        again.process("x", b"text")
    assert not NodeEngine(engine.folder, Ai(), Flags()).is_running  # type: ignore[arg-type]


def test_ai_work_never_exceeds_its_limit() -> None:
    """Ten threads and one slot: one at once; two with a limit of two."""
    for limit in (1, 2):
        scheduler = AiScheduler()
        scheduler.allow(limit)
        inside, most, lock = [0], [0], threading.Lock()

        def work(scheduler: AiScheduler = scheduler, inside: list[int] = inside,
                 most: list[int] = most, lock: threading.Lock = lock) -> None:
            with scheduler.slot(30):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                threading.Event().wait(0.01)
                with lock:
                    inside[0] -= 1

        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert most[0] <= limit
        assert scheduler.peak == most[0]


def test_paused_ai_work_gives_up_and_withheld_waits() -> None:
    """Back-pressure: limit 0 and wait. An emergency: everybody who waits gives up at once."""
    scheduler = AiScheduler()
    scheduler.withhold()
    assert scheduler.limit == 0
    threading.Timer(0.1, scheduler.resume).start()
    with scheduler.slot(30):
        assert scheduler.active == 1
    scheduler.pause()
    with pytest.raises(NoSlot, match="paused"), scheduler.slot(30):
        pass


def test_later_tasks_wait_while_they_are_delayed() -> None:
    """One that fails does not keep the others."""
    later, done = LaterTasks(), threading.Event()
    later.delay()
    later.add(lambda: 1 / 0)
    later.add(done.set)
    assert later.is_delayed and not done.wait(0.1)
    later.release()
    assert done.wait(30)


def test_a_nodes_figures_count_failures() -> None:
    """Its success rate, its latency, its last execution, and nothing held at the end."""
    def work(task: Task) -> str:
        if task.name == "bad":
            raise ValueError("no")
        return task.name

    node = Node("n", work)
    node.start()
    tasks = [Task(name, b"12345") for name in ("a", "bad", "c", "d")]
    for task in tasks:
        node.submit(task)
    assert tasks[3].result.result(30) == "d"
    assert isinstance(tasks[1].result.exception(30), ValueError)
    found = wait_for(lambda: node.executed == 4 and node.figures(), what="the figures")
    assert found["success_rate"] == 0.75
    assert found["memory_usage_mb"] == 0
    assert found["avg_latency_ms"] >= 0
    node.end()


def test_a_locked_database_makes_nobody_wait_and_loses_nothing(tmp_path: Path) -> None:
    """Records wait; ending the stuck job's transaction writes them."""
    records = Records(tmp_path / "engine.db")
    records.begin_report()
    with closing(sqlite3.connect(records.path, timeout=0)) as other, \
            pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    records.save("d1", {"id": "a", "kind": "text", "words": 3})
    assert records.waiting == 1
    assert records.end_stuck(older_than=0) == ["report"]
    wait_for(lambda: records.count() == 1, what="the record is written")
    assert records.end_stuck(older_than=0) == []


def test_the_page_is_slow_and_frozen_by_ai_work_and_free_without(engine: NodeEngine) -> None:
    """The fault keeps its thread busy with results; withholding or pausing AI work frees it."""
    gui = GuiLoop(lambda: [node.figures() for node in engine.nodes.values()])
    trouble = Trouble(engine, gui)

    def milliseconds() -> float:
        return (gui.probe() or 5.0) * 1000

    wait_for(lambda: gui.board.startswith(b"\x89PNG"), what="the board")
    assert milliseconds() < 200
    trouble.begin("gui_slow")
    wait_for(lambda: milliseconds() > 200, what="the page is slow")
    engine.scheduler.withhold()
    wait_for(lambda: milliseconds() < 100, what="the page is free")
    trouble.begin("gui_frozen")
    engine.scheduler.resume()
    wait_for(lambda: gui.waiting == 0 and _is_frozen(gui), what="the page is frozen")
    engine.scheduler.pause()
    wait_for(lambda: milliseconds() < 100, what="the page is free again")
    trouble.begin("none")


def _is_frozen(gui: GuiLoop) -> bool:
    answered = threading.Event()
    gui.post(answered.set)
    return not answered.wait(0.5)


def test_the_caches_memory_is_given_back(tmp_path: Path) -> None:
    """A hoard of pages is memory until it is cleared; what was read is still known by its file."""
    cache = WorkflowCache(tmp_path / "cache")
    cache.put("k", {"id": "a"})
    cache.hoard(100 << 20)
    assert cache.held_bytes == 100 << 20
    assert cache.clear() == 100 << 20
    assert cache.held_bytes == 0
    assert cache.get("k") == {"id": "a"}


def test_the_legacy_configuration_is_restored(tmp_path: Path) -> None:
    """Stand-by and back, each safe to do again; both read documents."""
    pipeline = LegacyPipeline(tmp_path)
    before = pipeline.file.read_text()
    pipeline.restore()
    for _ in range(2):
        pipeline.stand_by()
    assert LegacyPipeline(tmp_path).settings["stand_by"] is True
    assert "Copyright" in pipeline.process("p", DOCUMENTS["click.png"].content)["text"]
    for _ in range(2):
        pipeline.restore()
    assert pipeline.file.read_text() == before
