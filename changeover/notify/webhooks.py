"""A webhook for each decision: CloudEvents 1.0, signed as Standard Webhooks say.

The signature is `v1,` and base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, with what follows
`whsec_` in the secret, decoded from base64, as the key (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx

from changeover.domain.audit import AuditEvent
from changeover.domain.decisions import data_of, event_id, name_of, subject_of
from changeover.domain.relays import target_of
from changeover.machine.http import tls
from changeover.plan.webhooks import WebhookSpec

LONGEST_SECONDS = 10.0
"""For a whole delivery: also a receiver that sends its answer byte by byte."""
CONTENT_TYPE = "application/cloudevents+json"
_PREFIX = "whsec_"
_LEAST_BYTES, _MOST_BYTES = 24, 64


class Webhook:
    """One webhook of a plan, told of one event after the other.

    Args:
        name: Its name in the plan.
        spec: What the plan says of it.
    """

    most_at_once = 1

    def __init__(self, name: str, spec: WebhookSpec) -> None:
        self.target = target_of(name)
        self._spec = spec

    @property
    def kinds(self) -> Sequence[str]:
        """Which kinds of events it wants, as patterns."""
        return self._spec.kinds

    @property
    def give_up_after(self) -> timedelta:
        """How long it may fail before events of that age are given up."""
        return self._spec.give_up

    def deliver(self, events: Sequence[AuditEvent]) -> str:
        """Send an event; return why it was not taken, without address and secret."""
        if problem := problem_of(self._spec):
            return problem
        address = self._spec.url or os.environ[str(self._spec.env)]
        for event in events:
            body = json.dumps(cloud_event(event)).encode()
            headers = signed(key_of(self._spec.secret), str(event_id(event)), body)
            if problem := asyncio.run(_post(address, body, headers)):
                return problem
        return ""


def problem_of(spec: WebhookSpec) -> str:
    """Return why a webhook cannot be told of anything here; empty when it can."""
    if spec.env and not os.environ.get(spec.env, "").startswith(("http://", "https://")):
        return f"the variable {spec.env} is no address (http://…, https://…) here"
    if key_of(spec.secret) == b"":
        return (f"the variable {spec.secret} is no secret here: {_PREFIX} and base64 of "
                f"{_LEAST_BYTES} to {_MOST_BYTES} bytes")
    return ""


def key_of(variable: str) -> bytes:
    """Return the key that a variable has; empty when there is none that can be used."""
    text = os.environ.get(variable, "").strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
    is_good = text.startswith(_PREFIX) and _LEAST_BYTES <= len(key) <= _MOST_BYTES
    return key if is_good else b""


def cloud_event(event: AuditEvent) -> dict[str, Any]:
    """Return an event of the audit as a CloudEvent, in JSON's structured form."""
    found = {
        "specversion": "1.0",
        "id": str(event_id(event)),
        "source": f"/changeover/migrations/{event.migration}",
        "type": name_of(event),
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        # CloudEvents' extension for order: as text it sorts as the numbers do
        "sequence": f"{event.seq:010}",
        "data": data_of(event),
    }
    # CloudEvents allow no empty subject
    if subject := subject_of(event):
        found["subject"] = subject
    return found


def signed(key: bytes, message_id: str, body: bytes) -> dict[str, str]:
    """Return the headers of a message, with the signature of this very attempt."""
    # with the time: who receives it can refuse what somebody recorded long ago
    at = str(int(time.time()))
    content = b".".join((message_id.encode(), at.encode(), body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"content-type": CONTENT_TYPE, "webhook-id": message_id, "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}"}


async def _post(address: str, body: bytes, headers: dict[str, str]) -> str:
    for chatty in ("httpx", "httpcore"):  # they log addresses
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    try:
        # httpx's own limits are for each part of an answer: many parts take for ever
        async with asyncio.timeout(LONGEST_SECONDS):
            status = await _status(address, body, headers)
    except TimeoutError:
        return f"it did not answer within {LONGEST_SECONDS:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"it was not reached: {type(error).__name__}"
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return ""
    return f"it answered {status}"


async def _status(address: str, body: bytes, headers: dict[str, str]) -> int:
    async with (
        httpx.AsyncClient(verify=tls(), timeout=LONGEST_SECONDS) as client,
        # only the status counts: an answer of a gigabyte is not read
        client.stream("POST", address, content=body, headers=headers) as answer,
    ):
        return answer.status_code
