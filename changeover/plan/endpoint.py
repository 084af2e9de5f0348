"""Where a system is and how it is reached, as the gateway and everything else need it. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from changeover.plan.fields import Part

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
