"""What the OpenAPI document says of the flag routes, which read and write bytes themselves."""

from __future__ import annotations

from typing import Any

from changeover.console.asking import LARGEST_REQUEST
from changeover.console.ofrep import LONGEST_WAIT_SECONDS
from changeover.console.problems import MEDIA_TYPE
from changeover.flags.explain import LONGEST_KEY

Document = dict[str, Any]
_JSON = "application/json"


def _of(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Document, *required: str, **more: Any) -> Document:
    return {"type": "object", "properties": properties, "required": list(required), **more}


_CONTEXT = {"type": ["object", "null"], "additionalProperties": True, "properties": {
    "targetingKey": {"type": ["string", "null"], "description": "The user's key."}}}
_METADATA = {"type": "object",
             "additionalProperties": {"type": ["boolean", "string", "number"]}}
_REASONS = ["STATIC", "TARGETING_MATCH", "SPLIT", "UNKNOWN"]
SCHEMAS: Document = {
    "FlagsRequest": _object({"context": _CONTEXT}, additionalProperties=False),
    "ExplainRequest": _object(
        {"context": _CONTEXT, "flag": {"type": ["string", "null"]}}, additionalProperties=False),
    "FlagEvaluation": _object(
        {"key": {"type": "string"}, "value": {}, "variant": {"type": "string"},
         "reason": {"enum": _REASONS}, "metadata": _METADATA},
        "key", "value", "variant", "reason", "metadata"),
    "FlagFailure": _object(
        {"key": {"type": "string"}, "errorCode": {"type": "string"},
         "errorDetails": {"type": "string"}}, "errorDetails"),
    "FlagEvaluations": _object(
        {"flags": {"type": "array", "items": _of("FlagEvaluation")}, "metadata": _METADATA,
         "eventStreams": {"type": "array", "items": {"type": "object"}}}, "flags"),
    "FlagSnapshot": _object(
        {"format": {"type": "integer"}, "migration": {"type": "string"},
         "etag": {"type": "string"}, "flags": {"type": "object"}},
        "format", "migration", "etag", "flags"),
    "FlagExplanation": _object(
        {"key": {"type": "string"}, "system": {"enum": ["baseline", "candidate"]},
         "because": {"type": "string"}, "bucket": {"type": ["integer", "null"]},
         "mode": {"type": "string"}, "segments": {"type": "array", "items": {"type": "string"}},
         "flags": {"type": "object"}, "notes": {"type": "array", "items": {"type": "string"}},
         "is_stale": {"type": "boolean"}},
        "key", "system", "because", "mode", "flags", "notes", "is_stale"),
}


def _operation(
    summary: str, answer: str, failures: dict[int, str], *, parameters: tuple[Document, ...] = (),
    body: str = "",
) -> Document:
    """Return an operation; failures are the protocol's, others problems as everywhere else."""
    failing: Document = {
        str(status): {"description": text, "content": {
            _JSON: {"schema": _of("FlagFailure")}, MEDIA_TYPE: {"schema": _of("Problem")}}}
        for status, text in failures.items()}
    # what the route itself says of a status goes before what every route says of it
    refused: Document = {}
    for status, text in _REFUSED.items():
        if status not in failures:
            refused[str(status)] = {
                "description": text, "content": {MEDIA_TYPE: {"schema": _of("Problem")}}}
    found: Document = {
        "tags": ["flags"], "summary": summary,
        "responses": {"200": {"description": "The answer.", "content": {
            _JSON: {"schema": _of(answer)}}}, **failing, **refused}}
    if parameters:
        found["parameters"] = list(parameters)
    if body:
        found["requestBody"] = {"content": {_JSON: {"schema": _of(body)}}}
    return found


def _parameter(name: str, where: str, description: str, **schema: Any) -> Document:
    return {"name": name, "in": where, "required": where == "path", "description": description,
            "schema": {"type": "string", **schema}}


_REFUSED = {401: "No valid token.", 403: "The token may do less than this.",
            413: "The body is too large.", 421: "Not the console's host name."}
_BAD = {400: "The request is none.", 503: "There are no flags yet.",
        413: f"The body has more than {LARGEST_REQUEST} bytes."}
_KNOWN = _parameter("If-None-Match", "header", "ETag of what is known.")
_UNCHANGED: Document = {"304": {"description": "Nothing changed."}}


def _users() -> Document:
    found = _operation(
        "The users that a segment lists in a file", "FlagSnapshot",
        {404: "No segment has this list now.", 429: "Too many lists are being sent.",
         503: _BAD[503]},
        parameters=(_parameter("sha256", "path", "The list's digest, as the snapshot has it."),))
    found["responses"]["200"] = {"description": "The values, one a line.", "content": {
        "text/plain": {"schema": {"type": "string"}}}}
    return found


def paths() -> Document:
    """Return the paths of the flag routes, for the OpenAPI document."""
    bulk = _operation(
        "All flags for a user (OFREP)", "FlagEvaluations", _BAD, body="FlagsRequest",
        parameters=(_KNOWN, _parameter("flagConfigEtag", "query", "ETag that an event announced.")))
    snapshot = _operation(
        "Everything, for evaluation in the application", "FlagSnapshot",
        {400: "`wait` is no number of seconds.",
         503: "There are no flags yet, or what the client has may be old."},
        parameters=(_KNOWN, _parameter(
            "wait", "query", f"Seconds to wait for a change, {LONGEST_WAIT_SECONDS:g} at most.",
            type="number", minimum=0)))
    # both know what the client has: nothing new is an answer without a body
    for operation in (bulk, snapshot):
        operation["responses"] |= _UNCHANGED
    events = _operation("Says when to fetch again (OFREP)", "FlagEvaluation", {
        429: "Too many streams are open."})
    events["responses"]["200"] = {"description": "Events without end.", "content": {
        "text/event-stream": {"schema": {"type": "string"}}}}
    return {
        "/ofrep/v1/evaluate/flags": {"post": bulk},
        "/ofrep/v1/evaluate/flags/{key}": {"post": _operation(
            "One flag for a user (OFREP)", "FlagEvaluation", {**_BAD, 404: "No such flag."},
            body="FlagsRequest", parameters=(_parameter("key", "path", "The flag."),))},
        "/ofrep/v1/events": {"get": events},
        "/v1/flags/snapshot": {"get": snapshot},
        "/v1/flags/lists/{sha256}": {"get": _users()},
        "/v1/explain": {
            "get": _operation(
                "Which system a user gets, and why; further parameters are attributes",
                "FlagExplanation", {400: "No such flag, or no such key.", 503: _BAD[503]},
                parameters=(
                    _parameter("key", "query", "The user's key; more than once as the header is.",
                               maxLength=LONGEST_KEY),
                    _parameter("flag", "query", "Only this flag."))),
            "post": _operation("The same for a context", "FlagExplanation", _BAD,
                               body="ExplainRequest")},
    }
