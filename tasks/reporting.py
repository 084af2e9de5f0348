"""What people see: artifacts in the Prefect UI, questions, rendered reports, notifications."""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.logging import get_run_logger

from changeover import clock
from changeover.backup.items import Progress
from changeover.domain.messages import Severity
from changeover.domain.report_files import Report
from changeover.domain.rollout import Approval, StageStatus
from changeover.store import audit, cutovers, messages, report_files, verdicts
from tasks.runtime import Runtime, runtime_of
from tasks.steps import step

_BAR_SECONDS = 2.0


@step(name="show progress")
async def update_progress(migration: str, cutover_id: int) -> None:
    """Show where the cutover stands: a bar and the list of stages."""
    from reports.evidence import collect_progress
    from reports.tables import progress_markdown

    runtime = runtime_of(migration)
    progress = collect_progress(runtime.store, runtime.plan, cutover_id, now=clock.now())
    done = sum(record.status is StageStatus.PROMOTED for record in
               cutovers.stages(runtime.store, cutover_id))
    share = 100.0 * done / max(1, len(runtime.plan.stages()))
    key = _key(runtime)
    await acreate_progress_artifact(
        progress=share, key=f"{key}-bar", description=f"Stages promoted in cutover {cutover_id}"
    )
    await acreate_markdown_artifact(
        markdown=progress_markdown(progress, report_url=report_address(runtime, cutover_id)),
        key=f"{key}-progress",
        description=f"Where cutover {cutover_id} stands",
    )


@step(name="show gate", task_run_name="show gate: {stage}")
async def publish_gate_table(migration: str, cutover_id: int, stage: str) -> None:
    """Show the newest verdicts of a stage's gates with their evidence."""
    from reports.tables import gate_table_markdown

    runtime = runtime_of(migration)
    judged = verdicts.all_of(runtime.store, cutover_id, stage)
    await acreate_markdown_artifact(
        markdown=f"# Gate of {runtime.plan.stage(stage).title}\n\n{gate_table_markdown(judged)}",
        key=f"{_key(runtime)}-gate-{stage}",
        description=f"Gate of stage {stage} in cutover {cutover_id}",
    )


@step(name="render report")
async def publish_report(migration: str, cutover_id: int | None) -> str:
    """Render the report as HTML, Markdown and JSON, note it in the store and link it.

    Returns:
        Path of the HTML file.
    """
    from reports.evidence import collect
    from reports.render import render_markdown, write

    runtime = runtime_of(migration)
    data = collect(runtime.store, runtime.plan, cutover_id, now=clock.now())
    paths = write(data, runtime.home.reports, name=report_name(migration, cutover_id))
    report_files.save(runtime.store, Report(
        migration=migration, subject="cutover", cutover_id=cutover_id, at=clock.now(),
        html_path=str(paths["html"]), markdown_path=str(paths["markdown"]),
        json_path=str(paths["json"]),
    ))
    key = _key(runtime)
    what = f"Report of cutover {cutover_id}" if cutover_id else "Report of the newest cutover"
    if runtime.reports_url:
        await acreate_link_artifact(
            link=report_address(runtime, cutover_id), link_text="The report with charts",
            key=f"{key}-report-link", description=what,
        )
    await acreate_markdown_artifact(
        markdown=render_markdown(data), key=f"{key}-report",
        description=what,
    )
    return str(paths["html"])


class BackupBar:
    """Shows how far a backup is as a bar in the Prefect UI; it never stops the backup.

    Args:
        migration: Name of the migration.
        items: How many items the backup has; each is the same part of the bar.
    """

    def __init__(self, migration: str, items: int) -> None:
        self._key, self._items = f"{migration.replace('_', '-')}-backup", max(1, items)
        self._shares: dict[str, float] = {}
        self._artifact: UUID | None = None
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show it, at most every two seconds, and at the end."""
        self._shares[progress.item] = progress.share
        share = sum(self._shares.values()) / self._items
        if share < 1 and time.monotonic() - self._shown < _BAR_SECONDS:
            return
        self._shown = time.monotonic()
        text = f"{progress.item}: {progress.done} of {progress.total or '?'} {progress.unit}"
        try:
            self._show(100 * share, text)
        except (httpx.HTTPError, PrefectException) as error:
            get_run_logger().warning("backup %.0f %%, not shown because %s", 100 * share, error)

    def _show(self, percent: float, text: str) -> None:
        if self._artifact is None:
            self._artifact = cast(UUID, create_progress_artifact(
                progress=percent, key=self._key, description=text))
        else:
            update_progress_artifact(self._artifact, progress=percent, description=text)


def approval_question(
    migration: str, cutover_id: int, stage: str, reason: str, ordinal: int
) -> str:
    """Return the Markdown above the approval form: what is asked, and the evidence."""
    from reports.evidence import collect_question
    from reports.tables import stage_question_markdown

    runtime = runtime_of(migration)
    return stage_question_markdown(collect_question(
        runtime.store, runtime.plan, cutover_id, stage, reason=reason, ordinal=ordinal,
        now=clock.now(),
    ))


async def tell_once(runtime: Runtime, asked: Approval) -> None:
    """Tell people once that an approval is waited for, and show it in the progress."""
    tell(runtime.migration, f"{runtime.migration} waits for approval of {asked.stage}",
         "answer in the Prefect UI", Severity.WARNING, key=f"approval-{asked.id}")
    is_new = audit.record_once(
        runtime.store, runtime.migration, key=f"told-{asked.id}", actor="flow",
        kind="people.told", data={"approval": asked.id, "stage": asked.stage}, now=clock.now(),
    )
    if is_new:
        await update_progress(runtime.migration, asked.cutover_id)


def tell(
    migration: str, text: str, detail: str, severity: Severity = Severity.INFO, *, key: str = ""
) -> None:
    """Have everyone told whom the plan's `notify` names; the observer sends it, nobody waits.

    Args:
        migration: Name of the migration.
        text: The title, one line.
        detail: What there is to say about it.
        severity: How urgent it is.
        key: What it is about: told once for each. Empty: the same text is told again after a while.
    """
    runtime = runtime_of(migration)
    if runtime.plan.notify:
        messages.put(runtime.store, migration, key=key or text, severity=severity, title=text,
                     body=detail, now=clock.now(), is_once=bool(key))


def report_name(migration: str, cutover_id: int | None) -> str:
    """Return the name of a report's files, without ending."""
    return f"{migration}-cutover-{cutover_id}" if cutover_id else f"{migration}-status"


def report_address(runtime: Runtime, cutover_id: int | None) -> str:
    """Return where the report is served; empty when it is not."""
    name = report_name(runtime.migration, cutover_id)
    return f"{runtime.reports_url.rstrip('/')}/{name}.html" if runtime.reports_url else ""




def _key(runtime: Runtime) -> str:
    return runtime.migration.replace("_", "-")
