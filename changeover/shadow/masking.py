"""What is never stored: secret parameters, credentials in headers, places under `shadow.mask`.

A masked value is stored as `***` and a digest. The digest's key is made for one pair of answers and
then forgotten: it stays known whether both sides had the same value, but not which value.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import orjson

from changeover.comparison.align import canonical
from changeover.comparison.answers import Answer
from changeover.comparison.documents import Unparsable, parse_json
from changeover.comparison.json_text import as_json, number_text
from changeover.comparison.rules import Node, Rule, RuleSet
from changeover.plan.paths import ROOT, TEXT, Name, Wild, format_path, is_in_body, parse_place

MASK = "***"
LONGEST_REQUEST = 500
_PARAMETER = re.compile(r"(^|[?&;#])([^=?&;#]*)=([^?&;#]*)")
_SECRET = re.compile(
    "token|key|secret|passw|passphrase|passcode|pwd|auth|sess|sig|jwt|cred|csrf|xsrf|saml|"
    "assertion|bearer|hmac", re.IGNORECASE
)
_SECRET_WORDS = frozenset({"sid", "pass", "pin", "pw", "otp", "totp", "cvv", "cvc"})
_SECRET_NAMES = frozenset({"code", "ticket"})
"""OAuth's and CAS's; `country_code` is no secret."""
_CREDENTIAL = re.compile(
    "cookie|auth|token|secret|sess|api-?key|passw|jwt|csrf|xsrf|cred|signature", re.IGNORECASE
)
"""Headers that are compared, when the plan says so, and whose values are masked."""


def is_credential(header: str) -> bool:
    """Whether a header's value is never stored."""
    return bool(_CREDENTIAL.search(header))


def masked_line(text: str) -> str:
    """Return a request's line, or a header with an address in it, without secret parameters."""
    return _PARAMETER.sub(_masked_parameter, text)


def _masked_parameter(found: re.Match[str]) -> str:
    before, name, _ = found.groups()
    return f"{before}{name}={MASK}" if _is_secret(name) else found[0]


def _is_secret(name: str) -> bool:
    plain = unquote_plus(name).strip().lower()
    if plain in _SECRET_NAMES or _SECRET.search(plain):
        return True
    # Short words only as words: `pin` is secret, `shipping` is not.
    words = re.split(r"[^a-z0-9]+", plain)
    return not _SECRET_WORDS.isdisjoint(words)


class Masks:
    """The places of a plan's `shadow.mask`.

    Args:
        patterns: Patterns of places; everything below them is masked, too.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._rules = RuleSet((pattern, Rule(ignore=True)) for pattern in patterns)
        # `[*]` may be any of these; -1 stands for all indexes that no pattern names.
        self._indexes = [-1, *(token for token in self._rules.named if type(token) is int)]

    def covers(self, place: str) -> bool:
        """Whether a place is masked; one with `[*]` is masked when any of its items is."""
        return self._steps_to_mask(place) is not None

    def shown(self, place: str) -> str:
        """Return a place as it may be stored.

        Everything below a masked place is shown as that place, because keys can be secrets, too.
        A key that only a wildcard masks is shown as the wildcard: `$.by_card.*`.
        """
        depth = self._steps_to_mask(place)
        if not depth:
            return place if depth is None else "$"
        tokens = parse_place(place)[:depth]
        is_key = isinstance(tokens[-1], str) and type(tokens[-1]) is not Name
        if is_key and tokens[-1] not in self._rules.named:
            return f"{format_path(tokens[:-1])}.*"
        return format_path(tokens)

    def all_shown(self, places: Iterable[str]) -> frozenset[str]:
        """Return places as they may be stored."""
        if self._rules.root.is_inert:
            return frozenset(places)
        return frozenset(map(self.shown, places))

    def _steps_to_mask(self, place: str) -> int | None:
        """Return after how many steps a place is masked; None when it is not."""
        nodes = [self._rules.root]
        if nodes[0].is_inert or not is_in_body(place):
            return None
        steps = parse_place(place)
        for depth, token in enumerate(steps):
            if any(node.rule.ignore for node in nodes):
                return depth
            tokens = self._indexes if token is Wild.ANY else (token,)
            nodes = _below(nodes, tokens)
        # The text of an element is at the element.
        if steps[:1] == (ROOT,):
            nodes += [node.child(TEXT) for node in nodes]
        return len(steps) if any(node.rule.ignore for node in nodes) else None

    def hide(self, answers: Sequence[Answer], headers: Sequence[str]) -> list[Answer]:
        """Return the answers to one request as they may be stored, each with these headers only.

        A body that is not JSON is left out, because the masked places cannot be found in it.
        """
        # One key for all answers of a pair: equal values stay equal, and no other pair has it.
        key = secrets.token_bytes(16)
        hidden = []
        for answer in answers:
            shown = {}
            for name in headers:
                if name in answer.headers:
                    shown[name] = _header(name, answer.headers[name], key)
            body = self._body(answer.body, key)
            hidden.append(replace(answer, body=body, headers=shown))
        return hidden

    def _body(self, body: bytes, key: bytes) -> bytes:
        if self._rules.root.is_inert or not body:
            return body
        # What cannot be searched for secrets is not saved at all.
        try:
            return _as_json(_hidden(parse_json(body), self._rules.root, key))
        except (Unparsable, RecursionError):
            return b""


def _below(nodes: list[Node], tokens: Iterable[Any]) -> list[Node]:
    """Return the nodes one step below, each once: they are shared, and would double each step."""
    found: dict[int, Node] = {}
    for node in nodes:
        for token in tokens:
            child = node.child(token)
            found[id(child)] = child
    return list(found.values())


def _header(name: str, value: str, key: bytes) -> str:
    return _token(value, key) if is_credential(name) else masked_line(value)


def _as_json(document: Any) -> bytes:
    try:
        return orjson.dumps(document, as_json)
    # Integers beyond 64 bits, or nested deeper than 254.
    except TypeError:
        # Python's own writes no Decimal: marked texts are made numbers afterwards. Nobody can
        # know the mark beforehand and put one into a document.
        mark = secrets.token_hex(16)
        text = json.dumps(document, default=lambda number: f"{mark}{number_text(number)}")
        return re.sub(f'"{mark}([^"]*)"', r"\1", text).encode()


def _hidden(value: Any, node: Node, key: bytes) -> Any:
    if node.rule.ignore:
        return _token(value, key)
    if node.is_inert:
        return value
    if type(value) is dict:
        return {name: _hidden(item, node.child(name), key) for name, item in value.items()}
    if type(value) is list:
        return [_hidden(item, node.child(index), key) for index, item in enumerate(value)]
    return value


def _token(value: Any, key: bytes) -> str:
    return MASK + hashlib.blake2b(canonical(value), key=key, digest_size=8).hexdigest()
