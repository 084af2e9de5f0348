"""Where a system is and how it is reached, as the gateway and everything else need it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from changeover.plan.fields import Address, Part
from changeover.plan.units import parse_address

HttpVersion = Literal["http1", "http2"]
GRPC_HEALTH = "/grpc.health.v1.Health/Check"
"""The path of gRPC's health service: a system with this `health` is asked in gRPC."""


def _absolute(text: str) -> str:
    # The gateway, flows and commands each have a working directory of their own.
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"{text!r} is not an absolute path, such as /etc/changeover/ca.pem")
    return text


File = Annotated[str, AfterValidator(_absolute), Field(examples=["/etc/changeover/ca.pem"])]
ServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]


class TlsSpec(Part):
    """How a system is trusted, and what it is shown. Its certificate is always verified."""

    ca: File | None = Field(
        None, description="PEM file with the authorities to trust instead of the machine's.")
    certificate: File | None = Field(
        None, description="PEM file with the certificate that is shown to the system.")
    key: File | None = Field(None, description="PEM file with that certificate's key.")
    server_name: ServerName | None = Field(
        None, description="Name that the system's certificate must have; default: the url's host.")

    @model_validator(mode="after")
    def _has_both(self) -> TlsSpec:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` belong together")
        if not self.model_dump(exclude_none=True):
            raise ValueError("`tls` is empty; allowed are ca, certificate with key, and "
                             "server_name. A system with https:// needs none of them")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that it names."""
        return tuple(each for each in (self.ca, self.certificate, self.key) if each is not None)


class UsersTlsSpec(Part):
    """What users are shown who come over TLS."""

    certificate: File = Field(
        description="PEM file with the certificate, and behind it those up to its authority.")
    key: File = Field(description="PEM file with its key.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system listens: a host and a port, or a Unix socket's path."""

    host: str = ""
    port: int = 0
    socket: str = ""
    weight: int = 1

    @property
    def title(self) -> str:
        """Host and port, or the path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.socket or f"{host}:{self.port}"


class AddressSpec(Part):
    """One of a system's addresses."""

    address: Address = Field(description="HOST:PORT; a name may stand for many addresses.")
    weight: int = Field(1, ge=1, le=1000, description="Its part of the requests.")

    @property
    def place(self) -> Place:
        """The same for those who connect."""
        host, port = parse_address(self.address)
        return Place(host, port, weight=self.weight)


def _addressed(value: Any) -> Any:
    return {"address": value} if isinstance(value, str) else value


def _as_written(spec: AddressSpec) -> Any:
    return spec.address if spec.weight == 1 else spec.model_dump(mode="json")


Addresses = Annotated[
    list[Annotated[
        AddressSpec, BeforeValidator(_addressed), PlainSerializer(_as_written),
        Field(json_schema_extra={"type": ["string", "object"]})]],
    Field(min_length=1, max_length=100),
]
_PART = r"(?:/[\w.~!$&'()*+,;=:@%-]+)"
_URL = re.compile(
    rf"(?:https?://[^/\s:?#]+(?::\d{{1,5}})?(?P<path>{_PART}*)/?"
    rf"|unix://(?P<socket>(?:/[^/\s]*[^/\s:])+)(?::(?P<below>{_PART}+)/?)?)", re.ASCII)
_NAMED_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::\d{1,5})?")
KEEP = "keep"
"""As the host of a system: the one that users sent."""


def base_path(url: str) -> str:
    """Return what stands before each path that a system is asked for: `/v2`, or nothing."""
    found = _URL.fullmatch(url)
    return (found["path"] or found["below"] or "") if found else ""


def socket_path(url: str) -> str:
    """Return the path of the Unix socket that an address names; empty for all others."""
    found = _URL.fullmatch(url)
    return (found["socket"] or "") if found else ""


def _system_url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError(
            f"{text!r} is no address of a system: http://HOST:PORT or https://HOST:PORT, perhaps "
            "with a path that stands before each request's (http://10.0.0.7:8080/v2, without ? "
            "and #), or unix:///path/of/a/socket (below a path: unix:///run/shop.sock:/v2)")
    return without_dots(text, base_path(text))


def without_dots(text: str, path: str) -> str:
    """Return a text whose path has no part that is `.` or `..`, escaped or not.

    Raises:
        ValueError: It has one.
    """
    parts = re.sub("%2e", ".", path, flags=re.IGNORECASE).split("/")
    if "." in parts or ".." in parts:
        raise ValueError(f"{text!r} has a path with . or .., which systems read differently; "
                         "write the path without them")
    return text


def _host(text: str) -> str:
    if not _NAMED_HOST.fullmatch(text):
        raise ValueError(f"{text!r} is no host: a name, perhaps with a port, as shop.internal or "
                         "shop.internal:8443; a system's `host: keep` is the one that users sent")
    return text


SystemUrl = Annotated[str, AfterValidator(_system_url), Field(
    json_schema_extra={"pattern": "^(https?://[^/]|unix:///)"},
    examples=["http://127.0.0.1:8200", "https://shop.example/v2", "unix:///run/shop.sock",
              "unix:///run/shop.sock:/v2"])]
HostName = Annotated[str, AfterValidator(_host), Field(examples=["shop.internal:8443"])]
HostOrKeep = Annotated[
    str, AfterValidator(lambda text: text if text == KEEP else _host(text)),
    Field(examples=[KEEP, "shop.internal"])]
