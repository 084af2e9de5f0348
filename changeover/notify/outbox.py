"""Sending the messages that wait in the store: in a thread of the observer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from changeover.domain.audit import NewEvent
from changeover.domain.messages import Message
from changeover.notify.channels import channels_of, moment, send
from changeover.plan.model import Plan
from changeover.store import audit, messages
from changeover.store.engine import Store
from changeover.store.messages import MOST_ATTEMPTS


def deliver(store: Store, plan: Plan, clock: Callable[[], datetime]) -> int:
    """Send every message that is due to the channels of its severity; return how many were sent.

    1. A message is sent to each channel that accepts its severity and does not have it yet. When
       one channel fails, only that channel gets another attempt.
    2. After the last attempt it is given up, and that is audited.

    After a kill between a channel's answer and its record, that channel gets the message twice.
    """
    number = 0
    for message in messages.due(store, plan.migration, now=clock()):
        reached, problem = _sent(plan, message)
        noted = messages.tried(store, message.id, reached=reached, problem=problem, now=clock())
        number += noted.is_sent
        if not noted.is_sent and noted.attempts >= MOST_ATTEMPTS:
            audit.record(store, plan.migration, NewEvent(
                actor="observer", kind="notify.failed", at=clock(),
                data={"title": message.title, "problem": problem}))
    return number


def _sent(plan: Plan, message: Message) -> tuple[list[str], str]:
    """Send to the channels that lack it; return (channels that have it, why others do not)."""
    channels, problems = channels_of(plan.notify)
    facts = {"migration": plan.migration, "at": moment(message.at)}
    reached = list(message.reached)
    for channel in channels:
        if channel.accepts(message.severity) and channel.id not in reached:
            problem = send(channel, title=message.title, body=message.body,
                           severity=message.severity, facts=facts)
            if problem:
                problems.append(problem)
            else:
                reached.append(channel.id)
    return reached, "; ".join(problems)
