"""Health of the plan's webhooks: whether each takes the events that wait for it."""

from __future__ import annotations

from changeover.checks.health.result import Health
from changeover.domain.health import Status
from changeover.domain.relays import target_of
from changeover.notify.webhooks import problem_of
from changeover.plan.webhooks import WebhookSpec
from changeover.site import relay_status
from changeover.site.site import Site


def receives(site: Site, name: str, spec: WebhookSpec) -> Health:
    """Check that a webhook has its address and secret, and takes what it is sent.

    Never worse than a warning: no user notices, and nothing waits for it but its own events.
    """
    if problem := problem_of(spec):
        return Health(Status.WARNING, problem)
    for each in relay_status.collect(site.store, site.plan):
        is_it = each["target"] == target_of(name)
        if is_it and each["problem"]:
            since = each["failing_since"][:19]
            told = f"{each['waiting']} events wait since {since}: {each['problem']}"
            return Health(Status.WARNING, told, {"waiting": each["waiting"]})
    return Health(Status.HEALTHY, "it takes every event")
