"""The new system: package metadata by `packaging.metadata`, normalised by the standards."""

from __future__ import annotations

from typing import Any

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from examples.metadata.service import serve
from examples.metadata.structure import describe


def parse(text: str) -> dict[str, Any]:
    """Return a document as a record; a document without metadata is described as text."""
    # it never raises: what is malformed comes back unparsed
    raw, _unparsed = parse_email(text)
    name = raw.get("name")
    if not name:
        return {"kind": "text", "text": describe(text, _headings(text))}
    body = raw.get("description", "")
    return {
        "kind": "package",
        "name": canonicalize_name(name),
        "version": _version(raw.get("version")),
        "summary": raw.get("summary"),
        "author": raw.get("author") or raw.get("author_email"),
        "license": raw.get("license_expression") or raw.get("license"),
        "requires_python": raw.get("requires_python"),
        "requires": [_requirement(line) for line in raw.get("requires_dist", [])],
        "classifiers": raw.get("classifiers", []),
        "keywords": raw.get("keywords", []),
        "urls": raw.get("project_urls", {}),
        "description": describe(body, _headings(body)),
    }


def _version(text: str | None) -> str | None:
    try:
        return str(Version(text)) if text else None
    except InvalidVersion:
        return text


def _requirement(line: str) -> str:
    try:
        return str(Requirement(line))
    except InvalidRequirement:
        return line


def _headings(text: str) -> list[str]:
    """Return headings outside code fences: a `# comment` in a shell example is none."""
    found, is_code = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif line.startswith("#") and not is_code and line.lstrip("#").startswith(" "):
            found.append(line.strip("# \t"))
    return found


if __name__ == "__main__":
    serve("candidate", parse, "The new system: documents parsed with packaging.metadata.")
