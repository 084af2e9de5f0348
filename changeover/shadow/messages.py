"""The few messages of Envoy's external processing API that the tap needs.

They are described here and built by protobuf at import: the package of generated ones overwrites
files of Envoy's own wheel. Field numbers are the public API's (envoy.service.ext_proc.v3).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "changeover.tap"
_FIELD = descriptor_pb2.FieldDescriptorProto
_BYTES, _STRING, _BOOL, _MESSAGE = (
    _FIELD.TYPE_BYTES, _FIELD.TYPE_STRING, _FIELD.TYPE_BOOL, _FIELD.TYPE_MESSAGE
)
_MESSAGES: dict[str, list[tuple[str, int, int, str, bool]]] = {
    # name: (field, number, type, message, repeated)
    "HeaderValue": [("key", 1, _STRING, "", False), ("value", 2, _STRING, "", False),
                    ("raw_value", 3, _BYTES, "", False)],
    "HeaderMap": [("headers", 1, _MESSAGE, "HeaderValue", True)],
    "HttpHeaders": [("headers", 1, _MESSAGE, "HeaderMap", False),
                    ("end_of_stream", 3, _BOOL, "", False)],
    "HttpTrailers": [("trailers", 1, _MESSAGE, "HeaderMap", False)],
    "HttpBody": [("body", 1, _BYTES, "", False), ("end_of_stream", 2, _BOOL, "", False)],
    "ProcessingRequest": [("request_headers", 2, _MESSAGE, "HttpHeaders", False),
                          ("response_headers", 3, _MESSAGE, "HttpHeaders", False),
                          ("request_body", 4, _MESSAGE, "HttpBody", False),
                          ("response_body", 5, _MESSAGE, "HttpBody", False),
                          ("response_trailers", 7, _MESSAGE, "HttpTrailers", False)],
}


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="changeover/tap.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, parts in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, inner, is_repeated in parts:
            added = message.field.add(name=field, number=number, type=kind)
            added.label = _FIELD.LABEL_REPEATED if is_repeated else _FIELD.LABEL_OPTIONAL
            if inner:
                added.type_name = f".{_PACKAGE}.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"{_PACKAGE}.ProcessingRequest")
    return message_factory.GetMessageClass(found)


ProcessingRequest = _build()
"""One part of a tapped exchange; exactly one of its fields is set."""
