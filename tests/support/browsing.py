"""A person at the console with a plain HTTP client: signs in, fills in forms, reads answers."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx

from tests.support.processes import LONGEST_PAUSE

_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_FORM = re.compile(r'<form[^>]* method="post" action="([^"]+)">(.*?)</form>', re.DOTALL)


def opened(url: str, address: str = "127.0.0.1") -> httpx.Client:
    """Return a browser: it keeps cookies, and says where its forms come from.

    Args:
        url: Of the console.
        address: From which it asks, another one of loopback.
    """
    headers = {"origin": url, "sec-fetch-site": "same-origin"}
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(
        base_url=url, headers=headers, timeout=LONGEST_PAUSE, trust_env=False,
        transport=transport)


def hidden(page: httpx.Response, action: str) -> dict[str, str]:
    """Return what a page's form sends besides what a person fills in; nothing without such a form.
    """
    for place, form in _FORM.findall(page.text):
        if place == action:
            fields = _FIELD.findall(form)
            return {name: html.unescape(value) for name, value in fields}
    return {}


def sign_in(browser: httpx.Client, token: str, **more: str) -> httpx.Response:
    """Sign in with a token, and return where that leads."""
    form = hidden(browser.get("/sign-in"), "/sign-in")
    return browser.post("/sign-in", data={**form, "token": token, **more})


def filled(browser: httpx.Client, action: str, **fields: str) -> dict[str, str]:
    """Return the form of an action as its page has it, after what a person chose."""
    place = f"/actions/{action}"
    return hidden(browser.get(place, params=fields), place)


def act(browser: httpx.Client, action: str, **fields: str) -> httpx.Response:
    """Do what a person does: choose, read, give a reason, send, and read what came of it."""
    reason = fields.pop("reason", "it was agreed")
    form = filled(browser, action, **fields)
    return send(browser, action, {**form, "reason": reason})


def send(browser: httpx.Client, action: str, form: dict[str, Any]) -> httpx.Response:
    """Send a form and follow to what came of it."""
    return browser.post(f"/actions/{action}", data=form, follow_redirects=True)
