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
    assert (safe.method, safe.path, skipped) == ("GET", "/a?b=c", {"skipped: not safe": 1})
    assert safe.request_headers == (("x-user-id", "ana"),)
    assert safe.request.host == "shop.example"
    everything, none = load(file, with_unsafe=True)
    # without such a header, as in recordings of HTTP/2
    assert everything[1].request.host == "shop.example"
    assert (everything[1].request_body, none) == (b"{}", {})


def test_json_lines_are_read(tmp_path: Path) -> None:
    """One request a line; empty lines do not matter, bodies may be bytes."""
    file = tmp_path / "requests.jsonl"
    file.write_text('{"path": "/a", "headers": {"Host": "shop.example"}}\n\n'
                    '{"method": "put", "path": "/b", "base64": "AAE="}\n')
    found, _ = load(file, with_unsafe=True)
    assert [each.request.host for each in found] == ["shop.example", ""]
    assert not any(each.request_headers for each in found)
    assert [(each.method, each.request_body) for each in found] == [("GET", b""), ("PUT", b"\0\1")]


@pytest.mark.parametrize(("content", "words"), [
    ("", "has no requests"), ("nonsense", "requests.jsonl:1"), ('{"log": {}}', "log.entries"),
    ('{"path": "/a"}\n{"path": "a"}', "requests.jsonl:2"), ("[1]", "is not a request"),
    ('{"path": "/a", "headers": []}\n{"path": "/a", "headers": [1]}', "headers must be an object"),
    ('{"path": "/a", "headers": {"a": null}}', "header 'a' must be text"),
    ('{"path": "/a", "base64": "a"}', "base64 cannot be decoded"),
    ('{"path": "/a", "base64": 5}', "base64 cannot be decoded"),
    ('{"path": "/a", "method": 5}', "method 5 is not a method"),
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
        "request": {"method": "POST", "url": "https://shop.example/b", "postData": upload}}]}}))
    assert load(file, with_unsafe=False)[1] == {"skipped: not safe": 2}


def recording(tmp_path: Path, *urls: str, **first: object) -> Path:
    """Write a HAR of GET requests; `first` is more of the first entry."""
    entries: list[dict[str, object]] = [
        {"request": {"method": "GET", "url": url, "headers": []}} for url in urls]
    entries[0] |= first
    file = tmp_path / "page.har"
    file.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return file


PAGE = ("https://shop.example/api/items", "https://stats.example/collect?v=1",
        "wss://shop.example/socket", "data:image/png;base64,AAAA", "blob:https://shop.example/1",
        "https://SHOP.example:443/b", "http://shop.example/c", "https://shop.example:8443/d",
        "https://shop.example.evil.example/e", "chrome-extension://abc/f.js", "about:blank",
        "https://user:secret@shop.example./g")


def test_only_what_went_to_the_recorded_system_is_replayed(tmp_path: Path) -> None:
    """Other hosts' requests, with their cookies, stay out; each is counted by its reason."""
    found, skipped = load(recording(tmp_path, *PAGE), with_unsafe=False)
    assert [each.path for each in found] == ["/api/items", "/b", "/c", "/g"]
    assert skipped == {
        "skipped: another host": 3, "skipped: websocket": 1,
        "skipped: data address, not of HTTP": 1, "skipped: blob address, not of HTTP": 1,
        "skipped: about address, not of HTTP": 1,
        "skipped: chrome-extension address, not of HTTP": 1}


def test_the_recorded_host_may_be_named(tmp_path: Path) -> None:
    """When the first request of a recording was to another one."""
    file = recording(tmp_path, "https://login.example/", *PAGE)
    assert [each.path for each in load(file, with_unsafe=False)[0]] == ["/"]
    found, _ = load(file, with_unsafe=False, hosts=["Shop.example", "shop.example:8443"])
    assert [each.path for each in found] == ["/api/items", "/b", "/c", "/d", "/g"]


def test_a_redirect_is_not_the_recorded_system(tmp_path: Path) -> None:
    """Who asks for shop.example and is sent to www.shop.example records the latter."""
    file = recording(tmp_path, "http://shop.example/", "https://www.shop.example/",
                     response={"status": 301})
    assert [each.path for each in load(file, with_unsafe=False)[0]] == ["/"]


def test_a_websocket_is_left_out_by_its_header_too(tmp_path: Path) -> None:
    """Some browsers record it with the scheme https."""
    upgrade = {"method": "GET", "url": "https://shop.example/socket",
               "headers": [{"name": "Upgrade", "value": "websocket"}]}
    file = recording(tmp_path, "https://shop.example/", "https://shop.example/a", request=upgrade)
    found, skipped = load(file, with_unsafe=False)
    assert ([each.path for each in found], skipped) == (["/a"], {"skipped: websocket": 1})


@pytest.mark.parametrize(("path", "target"), [
    ("/a b/é", "/a%20b/%C3%A9"), ("/q?", "/q?"), ("/a%20b", "/a%20b"), ("/%zz", "/%zz"),
    ("/a\tb\r\nc", "/a%09b%0D%0Ac"), ("/\x7f", "/%7F"),
    ("/a?b=ü&c=[1]|'\"<>", "/a?b=%C3%BC&c=[1]|'\"<>"),
    ("//a/../b;c", "//a/../b;c"), ("/\U0001f600", "/%F0%9F%98%80"), ("/a#b", "/a#b"),
])
def test_a_line_holds_what_a_request_line_can(tmp_path: Path, path: str, target: str) -> None:
    """The rest is percent-encoded as browsers do; nothing else is tidied up."""
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"path": path}))
    assert load(file, with_unsafe=False)[0][0].path == target


@pytest.mark.parametrize(("url", "target"), [
    ("https://a/q?", "/q?"), ("https://a", "/"), ("https://a?", "/?"), ("https://a/b?#c?", "/b?"),
    ("https://a/b#c?d", "/b"), ("https://a/b;c?d?e", "/b;c?d?e"),
])
def test_a_url_is_asked_for_as_it_was(tmp_path: Path, url: str, target: str) -> None:
    """An empty query is one, and what comes after `#` is never sent."""
    assert load(recording(tmp_path, url), with_unsafe=False)[0][0].path == target


@pytest.mark.parametrize("method", ["PROPFIND", "M-SEARCH", "purge", "FOO"])
def test_methods_are_as_they_were_recorded(tmp_path: Path, method: str) -> None:
    """They are words, with capital letters or without."""
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"path": "/", "method": method}))
    assert load(file, with_unsafe=True)[0][0].method == method


@pytest.mark.parametrize("header", [["a b", "c"], ["a", "b\r\nc: d"], ["", "a"], ["a:", "b"]])
def test_a_header_that_would_be_two_is_refused(tmp_path: Path, header: list[str]) -> None:
    """A recording must not smuggle a request into another."""
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"path": "/", "headers": [header]}))
    with pytest.raises(InvalidInput, match="is not a header"):
        load(file, with_unsafe=False)
