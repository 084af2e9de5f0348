"""The channels that a plan names: webhooks, and the services of Apprise by their URLs."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import httpx

from changeover.domain.messages import Severity
from changeover.machine.http import post
from changeover.plan.procedures import NotifySpec

if TYPE_CHECKING:
    import apprise

TIMEOUT_SECONDS = 5.0
_LONGEST = 3_500
"""Characters of a message: some of Apprise's services refuse longer ones."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where to send to, and from which severity on. The address is a secret: never shown."""

    address: str
    severity: Severity = Severity.INFO
    is_webhook: bool = True

    @property
    def id(self) -> str:
        """Name of the channel that does not show its address."""
        # of the address itself: another address is another channel, which has not had the message
        return hashlib.sha256(self.address.encode()).hexdigest()[:16]

    def accepts(self, severity: Severity) -> bool:
        """Whether a message of this severity goes here."""
        return severity.reaches(self.severity)


def channels_of(specs: Sequence[NotifySpec]) -> tuple[list[Channel], list[str]]:
    """Return a plan's channels, and a sentence for each whose variable is not set."""
    channels, problems = [], []
    for spec in specs:
        # a team gets decisions, one after the other (`notify.teams`), and no messages
        if spec.team is not None:
            continue
        channel = channel_of(spec)
        if channel is None:
            problems.append(f"the variable {spec.env} is not set")
        else:
            channels.append(channel)
    return channels, problems


def channel_of(spec: NotifySpec) -> Channel | None:
    """Return one channel of a plan; None when its variable is not set here."""
    address = spec.webhook or spec.apprise or os.environ.get(spec.env or "", "")
    if not address:
        return None
    # Apprise knows the native addresses of some services, as Slack's.
    is_webhook = spec.apprise is None and address.startswith(("http://", "https://"))
    return Channel(address, Severity(spec.severity), is_webhook)


def send(
    channel: Channel, *, title: str, body: str, severity: str, facts: dict[str, str],
) -> str:
    """Send a message and return why it could not be sent, without the address; empty when it was.

    A webhook gets a JSON object with `text`, `detail`, `severity` and the facts.
    """
    for chatty in ("httpx", "httpcore", "apprise", "urllib3", "requests"):  # they log addresses
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    if not channel.is_webhook:
        return _by_apprise(channel, title, body[:_LONGEST], severity)
    try:
        answer = post(
            channel.address,
            {**facts, "text": title, "detail": body, "severity": severity},
            timeout=TIMEOUT_SECONDS,
            through_proxy=True,
        )
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        return f"a webhook answered {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"a webhook was not reached: {type(error).__name__}"
    return ""


def _by_apprise(channel: Channel, title: str, body: str, severity: str) -> str:
    import apprise  # half a second to import: only where it is needed

    kind = {"info": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING,
            "critical": apprise.NotifyType.FAILURE}[severity]
    service: apprise.Apprise = apprise.Apprise()
    scheme = channel.address.partition("://")[0]
    if not service.add(channel.address):
        return f"{scheme}:// is not an address that Apprise understands"
    try:
        was_sent = service.notify(body=body or title, title=title, notify_type=kind)
    except Exception as error:  # noqa: BLE001  its hundred services raise what they like
        return f"{scheme}:// was not notified: {type(error).__name__}"
    return "" if was_sent else f"{scheme}:// was not notified"


def moment(at: datetime) -> str:
    """Return a time for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
