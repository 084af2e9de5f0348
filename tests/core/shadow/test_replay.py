"""Recorded traffic: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from changeover.errors import InvalidInput
from changeover.shadow.replay import load

HAR = {"log": {"version": "1.2", "entries": [
    {"request": {"method": "GET", "url": "https://shop.example/a?b=c",
                 "headers": [{"name": ":authority", "value": "x"},
                             {"name": "Host", "value": "shop.example"},
                             {"name": "X-User-Id", "value": "ana"}]}},
    {"request": {"method": "POST", "url": "https://shop.example/ocr",
                 "postData": {"text": "{}"}}},
]}}


def test_har_is_read(tmp_path: Path) -> None:
    """As browsers export it; the host is the system's own, unsafe requests only when asked for."""
    file = tmp_path / "traffic.har"
    file.write_text(json.dumps(HAR))
    (safe,), skipped = load(file, with_unsafe=False)
    assert (safe.method, safe.path, skipped) == ("GET", "/a?b=c", 1)
    assert safe.request_headers == (("x-user-id", "ana"),)
    everything, none = load(file, with_unsafe=True)
    assert (everything[1].request_body, none) == (b"{}", 0)


def test_json_lines_are_read(tmp_path: Path) -> None:
    """One request a line; empty lines do not matter, bodies may be bytes."""
    file = tmp_path / "requests.jsonl"
    file.write_text('{"path": "/a"}\n\n{"method": "put", "path": "/b", "base64": "AAE="}\n')
    found, _ = load(file, with_unsafe=True)
    assert [(each.method, each.request_body) for each in found] == [("GET", b""), ("PUT", b"\0\1")]


@pytest.mark.parametrize(("content", "words"), [
    ("", "has no requests"), ("nonsense", "requests.jsonl:1"), ('{"log": {}}', "log.entries"),
    ('{"path": "/a"}\n{"path": "a"}', "requests.jsonl:2"), ("[1]", "is not a request"),
    ('{"path": "/a", "headers": []}\n{"path": "/a", "headers": [1]}', "headers must be an object"),
    ('{"log": {"entries": [{"request": {}}]}}', "entry 0"),
])
def test_what_cannot_be_read_is_told(tmp_path: Path, content: str, words: str) -> None:
    """Which line or entry, and what is wrong with it."""
    file = tmp_path / "requests.jsonl"
    file.write_text(content)
    with pytest.raises(InvalidInput) as refused:
        load(file, with_unsafe=True)
    assert words in str(refused.value)


def test_missing_file_is_told(tmp_path: Path) -> None:
    """Instead of a traceback."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(tmp_path / "none.har", with_unsafe=False)
