"""Recorded traffic: what is read, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from changeover.errors import InvalidInput
from changeover.shadow.replay import load
from changeover.shadow.tap import Exchange

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
    ('{"path": "/a", "headers": {"a": null}}', "header 'a' must be text"),
    ('{"path": "/a", "base64": "a"}', "base64 is none"),
    ('{"path": "/a", "base64": 5}', "base64 is none"),
    ('{"path": "/a", "method": 5}', "method 5 is none"),
    ('{"log": {"entries": [{"request": {"url": "http://[x/"}}]}}', "entry 0: url 'http://[x/'"),
    ('{"log": {"entries": [{"request": {"url": "http://a/", "headers": 5}}]}}', "entry 0: headers"),
    ('{"log": {"entries": [{"request": {"url": "http://a/", "headers": [{"name": "a"}]}}]}}',
     "entry 0: headers"),
    ('{"log": {"entries": [{"request": {"url": "http://a/", "postData": 5}}]}}', "postData"),
    ('{"log": {"entries": [{"request": {"url": "http://a/", "postData": {"params": [5]}}}]}}',
     "postData.params"),
    ('{"log": {"entries": [{"request": {"url": "http://a/", "postData": {"mimeType": '
     '"multipart/form-data", "params": [{"name": "a"}]}}}]}}', "parameters only"),
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


def one(tmp_path: Path, **request: object) -> Exchange:
    """Return the one request of a HAR file."""
    file = tmp_path / "one.har"
    entry = {"request": {"method": "POST", "url": "http://a/b", **request}}
    file.write_text(json.dumps({"log": {"entries": [entry]}}))
    return load(file, with_unsafe=True)[0][0]


def test_form_that_is_there_as_parameters_is_sent(tmp_path: Path) -> None:
    """Browsers export a form's fields, and not always its text."""
    found = one(tmp_path, postData={"params": [{"name": "a b", "value": "1&2"}, {"name": "c"}]})
    assert found.request_body == b"a+b=1%262&c="
    assert found.request_headers == (("content-type", "application/x-www-form-urlencoded"),)


def test_repeated_headers_are_kept(tmp_path: Path) -> None:
    """Cookies that came one by one are one header, as HTTP/1.1 has it."""
    pairs = [("Cookie", "a=1"), ("accept", "x"), ("accept", "y"), ("cookie", "b=2")]
    found = one(tmp_path, headers=[{"name": name, "value": value} for name, value in pairs])
    assert found.request_headers == (("accept", "x"), ("accept", "y"), ("cookie", "a=1; b=2"))


def test_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Windows programs write one."""
    file = tmp_path / "traffic.har"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(HAR).encode())
    assert len(load(file, with_unsafe=True)[0]) == 2


def test_bodies_may_be_json(tmp_path: Path) -> None:
    """An object is sent as JSON, not as Python prints it."""
    file = tmp_path / "requests.jsonl"
    file.write_text('{"method": "POST", "path": "/a", "body": {"a": null}}\n'
                    '{"path": "/a", "headers": [["a", "1"], ["a", "2"]]}\n')
    posted, got = load(file, with_unsafe=True)[0]
    assert posted.request_body == b'{"a":null}'
    assert got.request_headers == (("a", "1"), ("a", "2"))


def test_bodies_that_are_not_sent_need_not_be_readable(tmp_path: Path) -> None:
    """A browser's export with an upload among its pages can be replayed without it."""
    upload = {"mimeType": "multipart/form-data", "params": [{"name": "a"}]}
    file = tmp_path / "traffic.har"
    file.write_text(json.dumps({"log": {"entries": [*HAR["log"]["entries"], {  # type: ignore[misc]
        "request": {"method": "POST", "url": "http://a/b", "postData": upload}}]}}))
    assert load(file, with_unsafe=False)[1] == 2
