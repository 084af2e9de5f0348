"""Kinds of requests and answers, and the names of what a gateway in between changes of them.

Every name in `differs` is a line of a table in docs/gateway.md; a kind without one is equal byte
for byte. Added lines of a proxy (`ADDED`) are taken away before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HOST = b"host: shop.example\r\n"
MADE = b"date: Sun, 29 Nov 2026 00:00:00 GMT\r\nserver: mine\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + MADE + b"content-length: 2\r\n\r\nok"
ADDED = re.compile(rb"(?<=\r\n)(x-forwarded-for|x-forwarded-proto|x-request-id): [^\r]*\r\n")
PROXY = "proxy-headers"
"""The one difference that every request has."""
_HANDSHAKE = (b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: a\r\n"
              b"sec-websocket-version: 13\r\n")
_MANY = b"".join(b"x-%d: %d\r\n" % (number, number) for number in range(980))
_CHUNKED = b"transfer-encoding: chunked\r\n"
_BODY = b"3\r\nabc\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Kind:
    """One request and its answer.

    Args:
        name: What is special.
        sends: What the client sends.
        answer: What the system answers.
        differs: Names of what the gateway changes.
        system_gets: What the system gets through the gateway; None: what the client sends.
        client_gets: What the client gets through the gateway; None: what the system sends.
        refused: The status with which the gateway itself refuses.
        interim: What the system sends when it has the head of the request.
        closes: Whether the system ends the connection with its answer.
        answers: How many requests and answers these are.
    """

    name: str
    sends: bytes
    answer: bytes = OK
    differs: tuple[str, ...] = ()
    system_gets: bytes | None = None
    client_gets: bytes | None = None
    refused: int | None = None
    interim: bytes = b""
    closes: bool = False
    answers: int = 1


def asks(line: bytes = b"GET /x HTTP/1.1", headers: bytes = b"", body: bytes = b"") -> bytes:
    """Return a request."""
    return line + b"\r\n" + HOST + headers + b"\r\n" + body


def posts(headers: bytes, body: bytes = b"abc") -> bytes:
    """Return a request with a body."""
    return asks(b"POST /x HTTP/1.1", headers, body)


def says(status: bytes = b"200 OK", headers: bytes = b"content-length: 2\r\n",
         body: bytes = b"ok", version: bytes = b"1.1") -> bytes:
    """Return an answer."""
    return b"HTTP/" + version + b" " + status + b"\r\n" + MADE + headers + b"\r\n" + body


def _same(name: str, sends: bytes, answer: bytes = OK, **others: object) -> Kind:
    return Kind(name, sends, answer, **others)  # type: ignore[arg-type]


def _request(name: str, differs: str, sends: bytes, system_gets: bytes) -> Kind:
    return Kind(name, sends, differs=(differs,), system_gets=system_gets)


def _answer(name: str, differs: str, answer: bytes, client_gets: bytes,
            sends: bytes = b"", **others: object) -> Kind:
    return Kind(name, sends or asks(), answer, differs=(differs,),
                client_gets=client_gets, **others)  # type: ignore[arg-type]


def _refused(name: str, differs: str, status: int, sends: bytes) -> Kind:
    return Kind(name, sends, differs=(differs,), refused=status)


def _old(name: str, sends: bytes, system_gets: bytes, *differs: str, answer: bytes = OK,
         keeps: bytes = b"close") -> Kind:
    client_gets = (b"HTTP/1.0 200 OK\r\n" + MADE + b"content-length: 2\r\nconnection: " + keeps
                   + b"\r\n\r\nok")
    if b"content-length" not in answer:
        client_gets = client_gets.replace(b"content-length: 2\r\n", b"")
    return Kind(name, sends, answer, ("version", *differs), system_gets, client_gets)


SAME = [
    _same("plain", asks()),
    _same("names as written", asks(headers=b"X-MiXed: A\r\nDNT: 1\r\nx_under: 1\r\nX_B: 2\r\n")),
    _same("odd names", asks(headers=b"x!#$%&'*+.^`|~9: 1\r\n")),
    _same("values in Latin-1", asks(headers=b"x-a: caf\xe9 \xff\r\n")),
    _same("values in UTF-8", asks(headers="x-a: café\r\n".encode())),
    _same("unknown names twice", asks(headers=b"x-a: 1\r\nx-b: 2\r\nx-a: 3\r\n")),
    _same("cookies twice", asks(headers=b"cookie: a=1\r\ncookie: b=2\r\n")),
    _same("own request id", asks(headers=b"x-request-id: mine-1\r\n")),
    _same("other proxies' names",
          asks(headers=b"x-real-ip: 5\r\nforwarded: for=1\r\nvia: 1.1 a\r\n")),
    _same("tracing", asks(headers=b"traceparent: 00-0af7-b7ad-01\r\nx-b3-traceid: 1\r\n"
                                  b"grpc-timeout: 1S\r\n")),
    _same("conditions", asks(headers=b'if-none-match: "a"\r\nrange: bytes=0-3\r\n')),
    _same("te: trailers", asks(headers=b"te: trailers\r\n")),
    _same("host with port", b"GET / HTTP/1.1\r\nhost: Shop.Example:8080\r\n\r\n"),
    _same("110 headers", asks(headers=_MANY[:1700])),
    _same("980 headers", asks(headers=_MANY)),
    _same("cookie of 70 kB", asks(headers=b"cookie: " + b"a" * 70_000 + b"\r\n")),
    _same("header of 900 kB", asks(headers=b"x-a: " + b"a" * 900_000 + b"\r\n")),
    _same("path of 8 kB", asks(b"GET /" + b"a" * 8_000 + b" HTTP/1.1")),
    _same("query of 200 kB", asks(b"GET /x?" + b"a" * 200_000 + b" HTTP/1.1")),
    *(_same(f"path {path.decode()}", asks(b"GET " + path + b" HTTP/1.1")) for path in (
        b"//x//y/", b"/a/../b/./c", b"/a%2Fb%2e%2e", b"/a;v=1/b;c", b"/%zz%", b"/?", b"/x??a=b?c",
        b"/%00", b"/a\\b", b"/x?http://a/b", b"/:@!$&'()*+,;=~-._", b"/x?a[]=1&b={2}|3^`\"<>",
        b"/caf%C3%A9", b"/caf%E9/%ff%FE?%C3", b"/a/b", b"/a/b/", b"/a/b/?", b"/x?a=b+c&&=&d")),
    *(_same(f"method {method.decode()}", asks(method + b" /x HTTP/1.1")) for method in (
        b"DELETE", b"TRACE")),
    *(_same(f"method {method.decode()}, no body",
            asks(method + b" /x HTTP/1.1", b"content-length: 0\r\n")) for method in (
        b"POST", b"PUT", b"PATCH", b"PROPFIND", b"REPORT", b"MKCOL", b"PURGE", b"FOO", b"foo",
        b"get", b"VERSION-CONTROL", b"M-SEARCH", b"BREW_1")),
    _same("QUERY", asks(b"QUERY /x HTTP/1.1", b"content-type: a/b\r\ncontent-length: 3\r\n",
                        b"abc")),
    _same("GET with a body", asks(headers=b"content-length: 3\r\n", body=b"abc")),
    _same("DELETE with a body", asks(b"DELETE /x HTTP/1.1", b"content-length: 3\r\n", b"abc")),
    _same("large body", posts(b"content-length: 3000000\r\n", b"a" * 3_000_000)),
    _same("body in chunks", posts(_CHUNKED, _BODY)),
    _same("length with zeros", posts(b"content-length: 003\r\n")),
    _same("upload of a form", posts(
        b"content-type: multipart/form-data; boundary=b\r\ncontent-length: 73\r\n",
        b'--b\r\ncontent-disposition: form-data; name="a"; filename="\xe9"\r\n'
        b"\r\n\x00\r\n--b--\r\n")),
    _same("expect", posts(b"expect: 100-continue\r\ncontent-length: 3\r\n"),
          interim=b"HTTP/1.1 100 Continue\r\n\r\n"),
    _same("expect, no interim answer", posts(b"expect: 100-continue\r\ncontent-length: 3\r\n")),
    _same("expect of something else", posts(b"expect: 200-maybe\r\ncontent-length: 3\r\n")),
    _same("two at once", asks() + asks(b"GET /y HTTP/1.1"), answers=2),
    _same("websocket", asks(headers=_HANDSHAKE),
          says(b"101 Switching Protocols", b"upgrade: websocket\r\nconnection: upgrade\r\n", b"")),
    _same("WebSocket in a list", asks(
        headers=_HANDSHAKE.replace(b": websocket", b": WebSocket").replace(
            b": upgrade", b": keep-alive, Upgrade")),
          says(b"101 Switching Protocols", b"upgrade: websocket\r\nconnection: upgrade\r\n", b"")),
    _same("answer with names as written", asks(), says(headers=b"X-MiXed: a\r\nETag: b\r\n"
                                                       b"Content-Length: 2\r\n")),
    _same("answer with own reason", asks(), says(b"200 Fine by me")),
    _same("answer 299", asks(), says(b"299 Strange")),
    _same("answer 999", asks(), says(b"999 Refused")),
    _same("answer 404", asks(), says(b"404 Not Here")),
    _same("answer 205", asks(), says(b"205 Reset Content", b"content-length: 0\r\n", b"")),
    _same("answer with 110 cookies", asks(), says(headers=b"".join(
        b"set-cookie: c%d=1\r\n" % number for number in range(110)) + b"content-length: 2\r\n")),
    _same("answer with 900 kB of headers", asks(), says(
        headers=b"x-a: " + b"a" * 900_000 + b"\r\ncontent-length: 2\r\n")),
    _same("answer with Envoy's names", asks(), says(
        headers=b"x-envoy-upstream-service-time: 3\r\nx-envoy-a: 1\r\nvia: 1.1 a\r\nalt-svc: h3\r\n"
        b"x-request-id: r\r\ncontent-length: 2\r\n")),
    _same("answer in Latin-1", asks(), says(headers=b"x-a: caf\xe9\r\ncontent-length: 2\r\n")),
    _same("answer in chunks", asks(), says(headers=_CHUNKED, body=_BODY)),
    _same("answer 102 before", asks(), b"HTTP/1.1 102 Processing\r\n\r\n" + OK),
    _same("answer 103 before", asks(),
          b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n" + OK),
    _same("answer 100 unasked", asks(), b"HTTP/1.1 100 Continue\r\n\r\n" + OK),
    _same("HEAD", asks(b"HEAD /x HTTP/1.1"), says(headers=b"content-length: 1234\r\n", body=b"")),
    _same("HEAD in chunks", asks(b"HEAD /x HTTP/1.1"), says(headers=_CHUNKED, body=b"")),
    _same("204", asks(), says(b"204 No Content", b"", b"")),
    _same("206", asks(headers=b"range: bytes=1-2\r\n"),
          says(b"206 Partial Content", b"content-range: bytes 1-2/9\r\ncontent-length: 2\r\n")),
    _same("206 in two parts", asks(headers=b"range: bytes=0-0,-1\r\n"), says(
        b"206 Partial Content",
        b"content-type: multipart/byteranges; boundary=b\r\ncontent-length: 83\r\n",
        b"--b\r\ncontent-range: bytes 0-0/9\r\n\r\na\r\n"
        b"--b\r\ncontent-range: bytes 8-8/9\r\n\r\ni\r\n--b--\r\n")),
    _same("416", asks(headers=b"range: bytes=99-\r\n"), says(
        b"416 Range Not Satisfiable", b"content-range: bytes */9\r\ncontent-length: 0\r\n", b"")),
    _same("412 to a precondition", posts(b'if-match: "a"\r\ncontent-length: 3\r\n'), says(
        b"412 Precondition Failed", b"content-length: 2\r\n")),
    _same("answer with headers twice", asks(), says(
        headers=b"link: a\r\nwarning: 1\r\nlink: b\r\nwarning: 2\r\ncontent-length: 2\r\n")),
    _same("304", asks(), says(b"304 Not Modified", b'etag: "a"\r\n', b"")),
    _same("304 with a length", asks(),
          says(b"304 Not Modified", b"content-length: 1234\r\n", b"")),
]

REQUESTS = [
    _old("HTTP/1.0", asks(b"GET /x HTTP/1.0"), asks()),
    _old("HTTP/1.0 without host", b"GET /x HTTP/1.0\r\n\r\n",
         b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n", "host-added"),
    _old("HTTP/1.0, kept alive", asks(b"GET /x HTTP/1.0", b"connection: keep-alive\r\n"), asks(),
         "hop-by-hop", keeps=b"keep-alive"),
    _old("HTTP/1.0 with a body", asks(b"POST /x HTTP/1.0", b"content-length: 3\r\n", b"abc"),
         posts(b"content-length: 3\r\n")),
    _old("HTTP/1.0, answer in chunks", asks(b"GET /x HTTP/1.0"), asks(),
         answer=says(headers=_CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n")),
    _old("HTTP/1.0 with a body in chunks", asks(b"POST /x HTTP/1.0", _CHUNKED, _BODY),
         posts(_CHUNKED, _BODY)),
    *(_request(f"upgrade to {name.decode()}", "upgrade-ignored",
               asks(headers=b"upgrade: " + name + b"\r\nconnection: upgrade\r\n"), asks())
      for name in (b"TLS/1.2", b"h2c", b"foo/2", b"TLS/1.2, HTTP/2.0", b"websockets", b"web")),
    _request("upgrade to h2c with settings", "upgrade-ignored",
             asks(headers=b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
                          b"http2-settings: AAMAAABkAAQAAP__\r\n"), asks()),
    _request("upgrade with a body", "upgrade-ignored",
             posts(b"upgrade: TLS/1.2\r\nconnection: upgrade\r\ncontent-length: 3\r\n"),
             posts(b"content-length: 3\r\n")),
    _request("connection: keep-alive", "hop-by-hop",
             asks(headers=b"connection: keep-alive\r\nkeep-alive: 1\r\n"), asks()),
    _request("connection names headers", "hop-by-hop",
             asks(headers=b"connection: x-a\r\nx-a: 1\r\nx-b: 2\r\n"), asks(headers=b"x-b: 2\r\n")),
    _request("other encodings of transfer", "hop-by-hop",
             asks(headers=b"te: trailers, deflate;q=0.5\r\nconnection: TE\r\n"),
             asks(headers=b"te: trailers\r\n")),
    Kind("connection: close", asks(headers=b"connection: close\r\n"), differs=("hop-by-hop",),
         system_gets=asks(),
         client_gets=OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")),
    _request("x-envoy- and x-changeover-", "reserved-names",
             asks(headers=b"x-envoy-retry-on: 5xx\r\nx-envoy-a: 1\r\nx-changeover-key: a\r\n"
                          b"x-changeover-shadow: 1\r\n"), asks(headers=b"x-envoy-a: 1\r\n")),
    _request("absolute form", "target-form", asks(b"GET http://Other.example:81/x?a=1 HTTP/1.1"),
             b"GET /x?a=1 HTTP/1.1\r\nhost: Other.example:81\r\n\r\n"),
    _request("absolute form with https", "target-form",
             asks(b"GET https://shop.example/x HTTP/1.1"), asks()),
    _request("absolute form without a path", "target-form",
             asks(b"GET http://shop.example HTTP/1.1"), asks(b"GET / HTTP/1.1")),
    _request("fragment", "fragment", asks(b"GET /x?a=1#part HTTP/1.1"),
             asks(b"GET /x?a=1 HTTP/1.1")),
    _request("fragment of a path", "fragment", asks(b"GET /x#part?a=1 HTTP/1.1"), asks()),
    _request("blanks around values", "blanks", asks(headers=b"x-a:1\r\nx-b: \t 2 \t\r\nx-c:\r\n"),
             asks(headers=b"x-a: 1\r\nx-b: 2\r\nx-c: \r\n")),
    _request("folded value", "blanks", asks(headers=b"x-a: 1\r\n  2\r\n"),
             asks(headers=b"x-a: 1  2\r\n")),
    _request("blank line before", "blanks", b"\r\n" + asks(), asks()),
    _request("two blanks in the first line", "blanks", asks(b"GET  /x HTTP/1.1"), asks()),
    _request("known names twice", "repeated-names",
             asks(headers=b"accept: a\r\naccept: b\r\nvia: 1.1 a\r\nvia: 1.1 b\r\n"),
             asks(headers=b"accept: a,b\r\nvia: 1.1 a,1.1 b\r\n")),
    *(_request(f"{method.decode()} without a length", "length-added",
               asks(method + b" /x HTTP/1.1"),
               asks(method + b" /x HTTP/1.1", b"content-length: 0\r\n"))
      for method in (b"POST", b"PATCH", b"OPTIONS", b"PROPFIND", b"FOO")),
    _request("trailers", "chunks",
             posts(_CHUNKED + b"trailer: X-Sum\r\n", b"3\r\nabc\r\n0\r\nX-Sum: 5\r\n\r\n"),
             posts(b"trailer: X-Sum\r\n" + _CHUNKED, b"3\r\nabc\r\n0\r\nx-sum: 5\r\n\r\n")),
]

ANSWERS = [
    _answer("answer with names spelled in two ways", "repeated-names",
            says(headers=b"Set-Cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n"),
            says(headers=b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-length: 2\r\n")),
    _answer("answer with known names twice", "repeated-names",
            says(headers=b"vary: a\r\nx-a: 1\r\nvary: b\r\ncontent-length: 2\r\n"),
            says(headers=b"vary: a,b\r\nx-a: 1\r\ncontent-length: 2\r\n")),
    _answer("answer that names its connection", "hop-by-hop",
            says(headers=b"connection: keep-alive\r\nkeep-alive: timeout=5\r\n"
                         b"content-length: 2\r\n"), OK),
    _answer("answer that offers an upgrade", "hop-by-hop",
            says(headers=b"upgrade: h2,h2c\r\nconnection: Upgrade\r\ncontent-length: 2\r\n"), OK),
    _answer("answer with a folded value", "blanks",
            says(headers=b"x-a: 1\r\n  2\r\ncontent-length: 2\r\n"),
            says(headers=b"x-a: 1  2\r\ncontent-length: 2\r\n")),
    _answer("answer with trailers", "chunks",
            says(headers=_CHUNKED + b"trailer: X-Sum\r\n",
                 body=b"2\r\nok\r\n0\r\nX-Sum: 5\r\n\r\n"),
            says(headers=b"trailer: X-Sum\r\n" + _CHUNKED,
                 body=b"2\r\nok\r\n0\r\nx-sum: 5\r\n\r\n")),
    _answer("answer without date", "date-added",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: NOW\r\n\r\nok"),
    _answer("answer that ends with the connection", "length-of-answer",
            says(headers=b"connection: close\r\n"),
            says(headers=_CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"), closes=True),
    _answer("answer in HTTP/1.0", "version", says(version=b"1.0"), OK, closes=True),
    Kind("answer in HTTP/1.0 that ends with the connection", asks(),
         says(headers=b"", version=b"1.0"), ("version", "length-of-answer"),
         client_gets=says(headers=_CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"), closes=True),
    _answer("answer with both lengths", "length-of-answer",
            says(headers=b"content-length: 2\r\n" + _CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"),
            says(headers=_CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n")),
    _answer("HEAD without a length", "length-of-answer", says(headers=b"", body=b""),
            says(headers=_CHUNKED, body=b""), asks(b"HEAD /x HTTP/1.1")),
    _answer("204 with a length", "length-of-answer",
            says(b"204 No Content", b"content-length: 0\r\n", b""),
            says(b"204 No Content", b"", b"")),
    _answer("answer without a reason", "reason-added", says(b"200 "), OK),
    _answer("handshake answered 401", "handshake", says(b"401 Unauthorized"),
            says(b"401 Unauthorized", b"content-length: 2\r\nconnection: close\r\n"),
            asks(headers=_HANDSHAKE)),
    _answer("handshake answered 200", "handshake", OK,
            says(headers=b"connection: close\r\ncontent-length: 0\r\n", body=b""),
            asks(headers=_HANDSHAKE)),
]

REFUSED = [
    _refused("two lengths that differ", "two-lengths", 400,
             posts(b"content-length: 3\r\ncontent-length: 4\r\n", b"abcd")),
    _refused("two lengths that agree", "two-lengths", 400,
             posts(b"content-length: 3\r\ncontent-length: 3\r\n")),
    _refused("list of lengths", "two-lengths", 400, posts(b"content-length: 3, 3\r\n")),
    _refused("length and chunks", "two-lengths", 400,
             posts(b"content-length: 3\r\n" + _CHUNKED, _BODY)),
    _refused("length and chunks in HTTP/1.0", "two-lengths", 400,
             asks(b"POST /x HTTP/1.0", b"content-length: 3\r\n" + _CHUNKED, _BODY)),
    _refused("length with a sign", "two-lengths", 400, posts(b"content-length: +3\r\n")),
    _refused("length below zero", "two-lengths", 400, posts(b"content-length: -3\r\n")),
    _refused("length and identity", "two-lengths", 400,
             posts(b"content-length: 3\r\ntransfer-encoding: identity\r\n")),
    _refused("gzip and chunks", "other-encodings", 501,
             posts(b"transfer-encoding: gzip, chunked\r\n", _BODY)),
    _refused("chunks twice", "other-encodings", 501, posts(_CHUNKED + _CHUNKED, _BODY)),
    _refused("unknown encoding", "other-encodings", 501,
             posts(b"transfer-encoding: xchunked\r\n", _BODY)),
    _refused("blank in the path", "not-http", 400, asks(b"GET /a b HTTP/1.1")),
    _refused("control character in the path", "not-http", 400, asks(b"GET /a\x01b HTTP/1.1")),
    _refused("blank before the colon", "not-http", 400, asks(headers=b"x-a : 1\r\n")),
    _refused("name with brackets", "not-http", 400, asks(headers=b"x(a): 1\r\n")),
    _refused("name in Latin-1", "not-http", 400, asks(headers=b"x\xe9: 1\r\n")),
    _refused("line without a colon", "not-http", 400, asks(headers=b"nonsense\r\n")),
    _refused("zero byte in a value", "not-http", 400, asks(headers=b"x-a: a\x00b\r\n")),
    _refused("control character in a value", "not-http", 400, asks(headers=b"x-a: a\x01b\r\n")),
    _refused("version in lower case", "not-http", 400, asks(b"GET /x http/1.1")),
    _refused("TLS", "not-http", 400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"a" * 99),
    _refused("raw UTF-8 in the path", "raw-target", 400, asks("GET /café HTTP/1.1".encode())),
    _refused("raw Latin-1 in the query", "raw-target", 400, asks(b"GET /x?q=\xe9 HTTP/1.1")),
    _refused("OPTIONS *", "target-without-path", 404, asks(b"OPTIONS * HTTP/1.1")),
    _refused("CONNECT", "target-without-path", 404,
             b"CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443\r\n\r\n"),
    _refused("no path", "target-without-path", 400, asks(b"GET ?a=1 HTTP/1.1")),
    _refused("absolute form with ftp", "other-schemes", 400,
             asks(b"GET ftp://shop.example/x HTTP/1.1")),
    _refused("no host", "no-host", 400, b"GET /x HTTP/1.1\r\n\r\n"),
    _refused("QUERY without a type", "query-without-type", 400, asks(b"QUERY /x HTTP/1.1")),
    _refused("1,001 headers", "too-large", 431,
             asks(headers=b"".join(b"y-%d: 1\r\n" % number for number in range(1_001)))),
    _refused("2 MB of headers", "too-large", 431,
             asks(headers=b"x-a: " + b"a" * 2_000_000 + b"\r\n")),
]

def _large() -> bytes:
    """Return 50 MB in which no two places are alike, so that a piece lost or moved is seen."""
    return b"".join(b"%016x\r\n01234567 " % number for number in range(50_000_000 // 27))


def large(name: str) -> Kind:
    """Return a kind of 50 MB; made when it is asked for, since it is large."""
    body = _large()
    length = b"content-length: %d\r\n" % len(body)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return {
        "body": lambda: _same(name, posts(length, body)),
        "body in chunks": lambda: _same(name, posts(_CHUNKED, chunks)),
        "PUT, expect": lambda: _same(
            name, asks(b"PUT /x HTTP/1.1", b"expect: 100-continue\r\n" + length, body),
            interim=b"HTTP/1.1 100 Continue\r\n\r\n"),
        "answer": lambda: _same(name, asks(), says(headers=length, body=body)),
        "answer in chunks": lambda: _same(name, asks(), says(headers=_CHUNKED, body=chunks)),
        "answer without length": lambda: _answer(
            name, "length-of-answer", says(headers=b"connection: close\r\n", body=body),
            says(headers=_CHUNKED, body=chunks), closes=True),
        "both": lambda: _same(name, posts(length, body), says(headers=length, body=body)),
    }[name]()


LARGE = ("body", "body in chunks", "PUT, expect", "answer", "answer in chunks",
         "answer without length", "both")
KINDS = [*SAME, *REQUESTS, *ANSWERS, *REFUSED]
