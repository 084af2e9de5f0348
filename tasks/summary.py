"""The daily summary as a task: the report's files, its artifact, and one message a day."""

from __future__ import annotations

from prefect.artifacts import acreate_markdown_artifact

from changeover import clock
from changeover.domain.messages import Message
from changeover.site.site import Site
from changeover.store import messages
from tasks.report import save_forms
from tasks.steps import step


@step(name="send daily summary")
async def send_summary(site: Site) -> str:
    """Write the summary, show it in Prefect's page, and send it unless today's was sent.

    A run that is killed at any line is repeated: files are replaced, and the store takes the
    message of a day once.

    Returns:
        What was done, in a sentence.
    """
    # pandas and matplotlib take a second to import, and most tasks need none of them
    from reports.daily import KIND
    from reports.daily.page import message
    from reports.daily.rules import severity
    from reports.kind import Ask

    now = clock.now()
    found = KIND.build(site.store, site.plan, Ask(now))
    forms = {"html": found.html(), "md": found.markdown(), "json": found.json()}
    save_forms(site, found.name, forms, subject="daily")
    address = f"{site.reports_url.rstrip('/')}/{found.name}.html" if site.reports_url else ""
    title, body = message(found.data, url=address)
    await acreate_markdown_artifact(
        markdown=found.markdown(), key=f"{site.migration.replace('_', '-')}-daily",
        description=title)
    if not site.plan.notify:
        return f"{title}; nobody is notified, since the plan has no `notify`"
    is_new = messages.put(site.store, Message(
        site.migration, key=f"daily-summary-{found.data.day}",
        severity=severity(found.data), title=title, body=body, at=now), is_once=True)
    return title if is_new else f"{title}; it was sent before"
