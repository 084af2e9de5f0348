"""Sending what waits in the store: by the observer, in a thread that nothing waits for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from changeover.notify.channels import channels_of, moment, send
from changeover.plan.model import Plan
from changeover.store import audit, messages
from changeover.store.engine import Store
from changeover.store.messages import MOST_ATTEMPTS, Message


def deliver(store: Store, plan: Plan, clock: Callable[[], datetime]) -> int:
    """Send every message that is due to the channels of its severity; return how many were sent.

    1. A message is sent to each channel that takes its severity; one channel's failure keeps it
       for another attempt, so that a channel may get it twice rather than never.
    2. After the last attempt it is given up, and that is audited.
    """
    number = 0
    for message in messages.due(store, plan.migration, now=clock()):
        problem = _sent(plan, message)
        noted = messages.tried(store, message.id, problem=problem, now=clock())
        number += noted.is_sent
        if not noted.is_sent and noted.attempts >= MOST_ATTEMPTS:
            audit.record(store, plan.migration, actor="observer", kind="notify.failed",
                         data={"title": message.title, "problem": problem}, now=clock())
    return number


def _sent(plan: Plan, message: Message) -> str:
    channels, problems = channels_of(plan.notify)
    facts = {"migration": plan.migration, "at": moment(message.at)}
    problems += [
        problem for channel in channels if channel.takes(message.severity)
        if (problem := send(channel, title=message.title, body=message.body,
                            severity=message.severity, facts=facts))
    ]
    return "; ".join(problems)
