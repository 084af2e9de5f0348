"""Where a system is and how it is reached, as the gateway and everything else need it. Pure."""

from __future__ import annotations

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
SystemUrl = Annotated[str, Field(
    pattern=r"^(https?://[^/\s:]+(:\d{1,5})?/?|unix://(/[^/\s]+)+)$",
    examples=["http://127.0.0.1:8200", "https://shop.example", "unix:///run/shop.sock"])]
