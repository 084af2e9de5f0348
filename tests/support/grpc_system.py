"""A small real gRPC system on a thread of the test; messages are plain bytes.

`One` answers with the system's name and the call's metadata as JSON, `Fail` with the status that
the message names, `Hang` never; `Many` streams as many answers as the message says; `Both` and
`Talk` return each message as soon as it came. Every answer has the trailer `x-served-by`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

SERVICE = "test.Shop"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


class GrpcSystem:
    """A server of the service above, and of gRPC's health service.

    Args:
        name: What it calls itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_serving = True
        self.open = 0
        """Streams of `Both` that are open now."""
        self._over = threading.Event()

    def _trailers(self, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("x-served-by", self.name),))

    def _one(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._trailers(context)
        seen = {each.key: str(each.value) for each in context.invocation_metadata()}
        return json.dumps({"served_by": self.name, "message": message.decode(), **seen}).encode()

    def _fail(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._trailers(context)
        context.abort(grpc.StatusCode[message.decode()], "as asked")
        raise AssertionError

    def _hang(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active() and not self._over.wait(0.05):
            pass
        return b""

    def _many(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._trailers(context)
        for number in range(int(message)):
            yield b"%d of %s" % (number, self.name.encode())

    def _both(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._trailers(context)
        self.open += 1
        try:
            for message in messages:
                yield message + b" by " + self.name.encode()
        finally:
            self.open -= 1

    def _health(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        return SERVING if self.is_serving else NOT_SERVING

    @contextlib.contextmanager
    def serving(self, address: str, credentials: Any = None) -> Iterator[None]:
        """Serve at an address (`127.0.0.1:1234`, `unix:/path`) until the block ends."""
        server = grpc.server(ThreadPoolExecutor(80))
        handlers = {
            "One": grpc.unary_unary_rpc_method_handler(self._one),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Hang": grpc.unary_unary_rpc_method_handler(self._hang),
            "Many": grpc.unary_stream_rpc_method_handler(self._many),
            "Both": grpc.stream_stream_rpc_method_handler(self._both),
            "Talk": grpc.stream_stream_rpc_method_handler(self._both),
        }
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._health)}
        server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler(SERVICE, handlers),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", health)))
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
        server.start()
        try:
            yield
        finally:
            self._over.set()
            server.stop(None).wait()


Call = Callable[..., Any]


class GrpcUser:
    """A user's client of the service.

    Args:
        address: Host and port of the gateway, or of a system.
        key: The user's key.
        credentials: For TLS.
    """

    def __init__(self, address: str, key: str = "", credentials: Any = None) -> None:
        options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.enable_http_proxy", 0))
        self.channel = (grpc.insecure_channel(address, options=options) if credentials is None
                        else grpc.secure_channel(address, credentials, options=options))
        self._metadata = (("x-user-id", key),) if key else ()

    def one(self, message: bytes = b"", **options: Any) -> dict[str, str]:
        """Call `One`."""
        found: dict[str, str] = json.loads(self.call("One", message, **options)[0])
        return found

    def call(
        self, name: str, message: bytes = b"", *, timeout: float = 30, metadata: Any = (),
    ) -> tuple[bytes, dict[str, str]]:
        """Call a method with one answer; return it with the trailers.

        Raises:
            grpc.RpcError: It failed; it has the status.
        """
        method = self.channel.unary_unary(f"/{SERVICE}/{name}")
        answer, call = method.with_call(
            message, timeout=timeout, metadata=(*self._metadata, *metadata))
        return answer, {each.key: each.value for each in call.trailing_metadata()}

    def many(self, number: int) -> list[bytes]:
        """Call `Many`."""
        method = self.channel.unary_stream(f"/{SERVICE}/Many")
        return list(method(b"%d" % number, timeout=30, metadata=self._metadata))

    def both(self, messages: Iterator[bytes], name: str = "Both", metadata: Any = ()) -> Any:
        """Call `Both` or `Talk`; iterating over what it returns has the answers."""
        method = self.channel.stream_stream(f"/{SERVICE}/{name}")
        return method(messages, metadata=(*self._metadata, *metadata))

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()
