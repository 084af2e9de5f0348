"""What people see: artifacts in the Prefect UI, questions, rendered reports, notifications."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
from changeover.domain.audit import NewEvent
from changeover.domain.report_files import Report
from changeover.domain.rollout import PASSED, Approval
from changeover.procedures import sharing
from changeover.procedures.announcing import announcement
from changeover.procedures.steps import CutoverRun
from changeover.site.site import Site
from changeover.store import audit, cutovers, messages, report_files, verdicts
from tasks.steps import step

_BAR_SECONDS = 2.0
"""Each bar is a request to Prefect's server, and people read no faster."""


@step(name="show progress")
async def update_progress(run: CutoverRun) -> None:
    """Show where the cutover stands: a bar and the list of stages."""
    # pandas and matplotlib take a second to import, and most tasks need none of them
    from reports.evidence import collect_progress
    from reports.tables import progress_markdown

    site = run.site
    progress = collect_progress(site.store, site.plan, run.id, now=clock.now())
    done = 0
    for stage in cutovers.stages(site.store, run.id):
        done += stage.status in PASSED
    known = len(site.plan.stages())
    percent = 100.0 * done / max(1, known)
    key, url = _key(site), report_address(site, run.id)
    name = f"cutover {run.id} of {site.migration}"
    await acreate_progress_artifact(
        progress=percent, key=f"{key}-bar",
        description=f"{done} of {known} stages of {name} are over; at 100 % every user is on the "
        "candidate",
    )
    await acreate_markdown_artifact(
        markdown=progress_markdown(progress, report_url=url),
        key=f"{key}-progress",
        description=f"Where {name} stands: its stages, and what it waits for; written at each step",
    )


@step(name="show gate", task_run_name="show gate: {stage}")
async def publish_gate_table(run: CutoverRun, stage: str) -> None:
    """Show the newest verdicts of a stage's gates with their evidence."""
    from reports.tables import gate_table_markdown

    judged = verdicts.all_of(run.site.store, run.id, stage)
    title = run.site.plan.stage(stage).title
    table = gate_table_markdown(judged)
    await acreate_markdown_artifact(
        markdown=f"# Gate of {title}\n\n{table}",
        key=f"{_key(run.site)}-gate-{stage}",
        description=f"Why {title} of cutover {run.id} may go on or not: each check, by what was "
        "measured until its soak ended",
    )


@step(name="render report")
async def publish_report(site: Site, cutover_id: int | None) -> str:
    """Render the report as HTML, Markdown and JSON, note it in the store and link it.

    Returns:
        Path of the HTML file.
    """
    from reports.evidence import collect
    from reports.render import forms_of

    data = collect(site.store, site.plan, cutover_id, now=clock.now())
    forms = forms_of(data)
    path = save_forms(
        site, report_name(site, cutover_id), forms, subject="cutover", cutover_id=cutover_id)
    await _show_report(site, cutover_id, forms["md"])
    return path


def save_forms(
    site: Site, name: str, forms: Mapping[str, str], *, subject: str,
    cutover_id: int | None = None,
) -> str:
    """Write a report's forms into the home, and share them; return the HTML file's path.

    A target that cannot be written is said in the log and told to people: it ends nothing.

    Args:
        site: The migration.
        name: The files' name, without ending.
        forms: Texts by ending, among them `html`, `md` and `json`.
        subject: What it is about, at most 20 characters.
        cutover_id: Of which cutover, if of one.
    """
    from reports.render import write_files

    paths = write_files(forms, site.home.reports, name=name)
    report_files.save(site.store, Report(
        site.migration, subject, cutover_id, clock.now(), str(paths["html"]), str(paths["md"]),
        str(paths["json"])))
    if problem := sharing.share(site, {f"{name}.{ending}": text for ending, text in forms.items()}):
        get_run_logger().warning(problem)
    return str(paths["html"])


async def _show_report(site: Site, cutover_id: int | None, markdown: str) -> None:
    """Show the report and its address in Prefect's page."""
    about, key = "the newest cutover", _key(site)
    if cutover_id:
        about = f"cutover {cutover_id}"
    what = f"Report of {about} of {site.migration}: what was decided, by whom, what was measured"
    # without an address nobody serves the file, and a link would lead nowhere
    if site.reports_url:
        await acreate_link_artifact(
            link=report_address(site, cutover_id),
            link_text="The report with charts",
            key=f"{key}-report-link", description=what)
    await acreate_markdown_artifact(
        markdown=markdown, key=f"{key}-report", description=what)


class BackupBar:
    """Shows how far a backup is as a bar in the Prefect UI; it never stops the backup.

    Args:
        migration: Name of the migration.
        items: How many items the backup has; each is the same part of the bar.
    """

    def __init__(self, migration: str, items: int) -> None:
        self._key = f"{migration.replace('_', '-')}-backup"
        self._items = max(1, items)
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
        # some tools do not say how much there is
        total = progress.total or "?"
        text = f"{progress.item}: {progress.done} of {total} {progress.unit}"
        percent = 100 * share
        try:
            self._show(percent, text)
        # a bar that is not shown is no reason to end a backup
        except (httpx.HTTPError, PrefectException) as error:
            said = "backup %.0f %%, not shown because %s"
            get_run_logger().warning(said, percent, error)

    def _show(self, percent: float, text: str) -> None:
        if self._artifact is not None:
            update_progress_artifact(
                self._artifact, progress=percent, description=text)
            return
        made = create_progress_artifact(
            progress=percent, key=self._key, description=text)
        self._artifact = cast(UUID, made)


def approval_question(run: CutoverRun, stage: str, reason: str, ordinal: int) -> str:
    """Return the Markdown above the approval form: what is asked, and the evidence."""
    from reports.evidence import collect_question
    from reports.model import Asked
    from reports.tables import stage_question_markdown

    asked = Asked(run.id, stage, reason, ordinal)
    site, now = run.site, clock.now()
    found = collect_question(site.store, site.plan, asked, now=now)
    return stage_question_markdown(found)


async def announce_once(run: CutoverRun, asked: Approval) -> None:
    """Notify people once that an approval is waited for, and show it in the progress."""
    site = run.site
    if site.plan.notify:
        messages.put(site.store, announcement(site, asked), is_once=True)
    data = {"approval": asked.id, "stage": asked.stage}
    # its old name stays: it is in the audits of cutovers that were carried out before
    event = NewEvent(
        actor="flow", kind="people.told", at=clock.now(),
        data=data, once_key=f"told-{asked.id}")
    is_new = audit.record(site.store, site.migration, event)
    if is_new:
        await update_progress(run)


def report_name(site: Site, cutover_id: int | None) -> str:
    """Return the name of a report's files, without ending."""
    if not cutover_id:
        return f"{site.migration}-status"
    return f"{site.migration}-cutover-{cutover_id}"


def report_address(site: Site, cutover_id: int | None) -> str:
    """Return where the report is served; empty when it is not."""
    if not site.reports_url:
        return ""
    name = report_name(site, cutover_id)
    return f"{site.reports_url.rstrip('/')}/{name}.html"


def _key(site: Site) -> str:
    return site.migration.replace("_", "-")
