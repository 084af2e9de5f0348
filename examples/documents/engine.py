"""The node engine: nodes, each with a queue of its own, and the way of a document through them.

A text goes to `read`, a PDF to `pdf` or `pdf_spare`, a picture to the AI node `ocr` or `classic`.
What AI cannot do now (its service is down, AI work is paused) is done without it: users wait for
nobody. Summaries are made later, by the AI node `llm`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from examples.documents import classic
from examples.documents.ai_client import AiClient, AiUnavailable
from examples.documents.cache import WorkflowCache
from examples.documents.journal import Journal
from examples.documents.node import Node, Task
from examples.documents.pdfium import read_pdf
from examples.documents.record import record_of
from examples.documents.records import Records
from examples.documents.scheduler import AiScheduler, LaterTasks, NoSlot
from examples.documents.switches import Switches

LOG = logging.getLogger("examples.documents.engine")
PATIENCE_SECONDS = 2.0
"""A task that a node did not do within this time is given to another one."""
LONGEST_SECONDS = 10.0
SLOT_SECONDS = 1.0
POOLS = {"text": ("read",), "pdf": ("pdf", "pdf_spare"), "picture": ("classic",)}
"""Which nodes can do what without AI; the least busy one of them gets a task."""


class Stopped(Exception):
    """The engine was stopped."""


class NodeEngine:
    """Reads documents.

    Args:
        folder: Where its folders and its database are made.
        ai: The AI services.
        switches: Its flags.
    """

    def __init__(self, folder: Path, ai: AiClient, switches: Switches) -> None:
        self.folder, self.ai, self.switches = folder, ai, switches
        folder.mkdir(parents=True, exist_ok=True)
        self.cache = WorkflowCache(folder / "workflow_cache")
        self.journal = Journal(folder / "node_engine")
        self.pages = folder / "ai_processing"
        self.records = Records(folder / "engine.db")
        self.scheduler, self.later = AiScheduler(), LaterTasks()
        self._classic = classic.PageReader()
        self.pools, self.is_running = dict(POOLS), False
        self.nodes = {node.name: node for node in (
            Node("read", lambda task: (classic.read_text(task.content), 1)),
            Node("pdf", lambda task: read_pdf(task.content)),
            Node("pdf_spare", lambda task: read_pdf(task.content)),
            Node("classic", lambda task: (self._classic.read(task.content), 1)),
            Node("ocr", self._read_page),
            Node("llm", lambda task: self._describe(task)),
        )}
        self._summaries: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        # a process that was killed goes on as what it was
        self._marker = folder / "running"
        if self._marker.exists():
            self.start()

    def start(self) -> None:
        """Start every node; safe to do again."""
        for node in self.nodes.values():
            node.start()
        self.scheduler.resume()
        self.later.release()
        self._marker.touch()
        self.is_running = True

    def stop(self) -> None:
        """Take no more documents, and end every node after what it has; safe to do again."""
        if self.is_running:
            self.is_running = False
            self._marker.unlink(missing_ok=True)
            for node in self.nodes.values():
                node.end()

    @property
    def waiting(self) -> int:
        """Tasks and records that are not done."""
        return sum(node.waiting for node in self.nodes.values()) + self.records.waiting

    def process(self, name: str, content: bytes, user: str = "") -> dict[str, Any]:
        """Return the record of a document.

        Raises:
            Stopped: The engine was stopped.
            classic.Unreadable: Nobody can read it.
            TimeoutError: No node did it in time.
        """
        if not self.is_running:
            raise Stopped("the node engine is stopped")
        uses_ai = self.switches.is_on("enable_ai_nodes", user)
        is_read_by_ai = uses_ai and self.switches.is_on("enable_umi_ocr", user)
        twice = is_read_by_ai and self.switches.is_on("enable_advanced_ocr", user)
        key = hashlib.sha256(content).hexdigest()[:32] + f"-{is_read_by_ai:d}{twice:d}"
        record = self.cache.get(key)
        if record is None:
            record = self._read(Task(name, content, twice=twice), is_read_by_ai=is_read_by_ai)
            self.cache.put(key, record)
            self.records.save(key, record)
            self.journal.note("read", name)
        # the same content may have another name
        record = {**record, "id": name}
        if uses_ai and self.switches.is_on("enable_llm_processing", user):
            return {**record, "ai": self._summary_of(key, record)}
        return record

    def restart_nodes(self, name: str = "") -> list[str]:
        """Start the threads of dead nodes again, or of the one that is named."""
        chosen = [self.nodes[name]] if name in self.nodes else list(self.nodes.values())
        return [node.name for node in chosen if node.restart()]

    def reroute(self, name: str = "") -> int:
        """Give what waits at a node, or at every dead one, to the nodes that can do it as well."""
        moved = 0
        for pool in self.pools.values():
            for each in pool:
                node = self.nodes[each]
                if node.name != name and node.is_alive:
                    continue
                others = [self.nodes[other] for other in pool if other != each]
                target = next((other for other in others if other.is_alive), node)
                for task in node.take_all():
                    target.submit(task)
                    moved += 1
        return moved

    def _read(self, task: Task, *, is_read_by_ai: bool) -> dict[str, Any]:
        kind = classic.kind_of(task.content)
        pool = self.pools[kind]
        if kind == "picture" and is_read_by_ai:
            # AI first; what it does not do in time is read without it
            pool = ("ocr", *pool)
        text, pages = self._done_by(pool, task)
        return record_of(task.name, kind, text, pages)

    def _done_by(self, pool: tuple[str, ...], task: Task) -> Any:
        """Have a task done by a node of a pool; one that is not done is given to another node."""
        deadline = time.monotonic() + LONGEST_SECONDS
        tried: list[str] = []
        while (left := deadline - time.monotonic()) > 0:
            node = min((self.nodes[name] for name in pool), key=lambda each: (
                each.name in tried, each.name != "ocr", each.waiting))
            tried.append(node.name)
            attempt = Task(task.name, task.content, task.twice)
            node.submit(attempt)
            is_last = len(set(pool)) <= len(set(tried))
            with suppress(TimeoutError):
                return attempt.result.result(left if is_last else min(left, PATIENCE_SECONDS))
            attempt.result.cancel()
        raise TimeoutError(f"no node did {task.name} within {LONGEST_SECONDS:g} s")

    def _read_page(self, task: Task) -> tuple[str, int]:
        """Read a picture by AI; without AI when that cannot be had now."""
        self.pages.mkdir(parents=True, exist_ok=True)
        # kept for whoever wants to see what the reader saw; a rollback cleans them up
        (self.pages / f"{hashlib.sha256(task.content).hexdigest()[:16]}.png").write_bytes(
            task.content)
        try:
            with self.scheduler.slot(SLOT_SECONDS):
                return self.ai.read(task.content, twice=task.twice), 1
        except (NoSlot, AiUnavailable) as error:
            LOG.warning("%s is read without AI because %s", task.name, error)
            return self._classic.read(task.content), 1

    def _describe(self, task: Task) -> dict[str, Any]:
        with self.scheduler.slot(LONGEST_SECONDS):
            return self.ai.describe(task.content)

    def _summary_of(self, key: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return a document's summary; None until it was made, which nobody waits for."""
        with self._lock:
            if key in self._summaries:
                return self._summaries[key] or None
            # asked for once; an empty one stands for "not yet"
            self._summaries[key] = {}
        self.later.add(lambda: self._summarise(key, record))
        return None

    def _summarise(self, key: str, record: dict[str, Any]) -> None:
        task = Task(record["id"], record["text"].encode(), result=Future())
        self.nodes["llm"].submit(task)
        try:
            found = task.result.result(LONGEST_SECONDS)
        except Exception as error:  # noqa: BLE001  whatever it was, it is asked for again
            LOG.warning("no summary of %s: %r", record["id"], error)
            with self._lock:
                self._summaries.pop(key, None)
            return
        with self._lock:
            self._summaries[key] = found
