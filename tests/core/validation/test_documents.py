"""How documents of others are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.checks.openapi.compatibility import incompatibilities
from changeover.checks.openapi.documents import parse, read
from changeover.errors import InvalidInput

MAIN = """
openapi: 3.0.3
paths:
  /a: {post: {requestBody: {content: {application/json: {schema: {$ref: 'parts/a.yaml#/A'}}}}}}
"""


def test_json_is_read_as_json() -> None:
    """Tabs and a byte order mark are no problem in JSON."""
    assert parse(b'\xef\xbb\xbf{\n\t"paths": {}}', "api.json") == {"paths": {}}


def test_yaml_is_read_as_yaml_1_2() -> None:
    """`no` is a country, 010 is ten, and dates and 12:30 are text."""
    found = parse(b"{a: [no, 010, 12:30, 2020-01-01, 1e3, ~, true, 0x10], 200: b}", "api.yaml")
    assert found == {"a": ["no", 10, "12:30", "2020-01-01", 1000.0, None, True, 16], "200": "b"}


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"- a", b"a: &a [*a]", b"[" * 5000,
                                     b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    """Broken, endless and too deep documents get one message."""
    with pytest.raises(InvalidInput):
        parse(content, "api.yaml")


def test_files_beside_the_document_are_followed(tmp_path: Path) -> None:
    """A narrowed schema in another file is found, through references back and forth."""
    for name, required in (("old", ""), ("new", ", required: [x]")):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "api.yaml").write_text(MAIN)
        (tmp_path / name / "parts" / "a.yaml").write_text(
            "A: {type: object, properties: {next: {$ref: '#/B'}}}\n"
            f"B: {{type: object, properties: {{up: {{$ref: '#/A'}}}}{required}}}\n")
    old, new = (read(str(tmp_path / name / "api.yaml"), tmp_path / name) for name in ("old", "new"))
    assert incompatibilities(old, old) == []
    assert incompatibilities(old, new) == ["POST /a: body.next.x is required now"]


def test_files_outside_the_folder_are_not_opened(tmp_path: Path) -> None:
    """A reference that leads out of the folder leads nowhere, and that is told."""
    (tmp_path / "api").mkdir()
    (tmp_path / "secret.yaml").write_text("A: {type: string}")
    path = tmp_path / "api" / "api.yaml"
    path.write_text(MAIN.replace("parts/a.yaml", "../secret.yaml"))
    found = read(str(path), tmp_path / "api")
    assert "leads nowhere" in incompatibilities(found, found)[0]
