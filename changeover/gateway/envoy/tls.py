"""TLS towards systems and users, with files that Envoy reads again when they change. Pure.

Envoy reads the files of a plan's `tls` by its secrets: small documents of ours that name the files.
It watches the files' folders, and reads them again when something is renamed there, which is how
cert-manager, Kubernetes and `mv` replace them. A certificate and a key that do not fit each other
are not taken: the old ones stay.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]

MACHINES = "/etc/ssl/certs/ca-certificates.crt"
USERS = "users-certificate"
_TYPE = "type.googleapis.com/envoy."
_SECRET = _TYPE + "extensions.transport_sockets.tls.v3.Secret"


def upstream(name: str, system: SystemSpec, files: GatewayFiles) -> Json:
    """Return the transport of a system over TLS; its certificate is verified.

    Args:
        name: `baseline` or `candidate`.
        system: The system.
        files: Where its secrets are.
    """
    spec = system.tls
    # Without it Envoy accepts any certificate.
    names = {"match_typed_subject_alt_names": [_name(system.server_name)]}
    context: Json = {"alpn_protocols": ["h2"]} if system.protocol == "http2" else {}
    if spec is not None and spec.certificate is not None:
        context["tls_certificate_sds_secret_configs"] = [_reference(f"{name}-certificate", files)]
    if spec is not None and spec.ca is not None:
        context["combined_validation_context"] = {
            "default_validation_context": names,
            "validation_context_sds_secret_config": _reference(f"{name}-ca", files)}
    else:
        context["validation_context"] = {"trusted_ca": {"filename": MACHINES}, **names}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": system.server_name,
            "common_tls_context": context,
        },
    }


def downstream(plan: Plan, files: GatewayFiles) -> Json:
    """Return what a filter chain has so that users come over TLS; nothing when they do not."""
    if plan.routing.tls is None:
        return {}
    return {"transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [_reference(USERS, files)],
            },
        },
    }}


def secrets(plan: Plan, *, is_respelled: bool = False) -> dict[str, Json]:
    """Return the secrets of a plan by name, as discovery responses; they name files only.

    Args:
        plan: The plan.
        is_respelled: Name the same files in another spelling, so that Envoy reads them again.
    """
    found = _secrets(plan)
    for secret in found.values() if is_respelled else ():
        for source in _sources(secret):
            folder, _, file = source["filename"].rpartition("/")
            source["filename"] = f"{folder}/./{file}"
    return found


def parts_of(secret: Json) -> tuple[str | None, str | None, str | None]:
    """Return the files of a secret: authorities, certificate, key."""
    files: list[str] = [source["filename"] for source in _sources(secret)]
    return (files[0], None, None) if len(files) == 1 else (None, files[0], files[1])


def _sources(secret: Json) -> list[Json]:
    (content,) = secret["resources"]
    if "tls_certificate" in content:
        return [content["tls_certificate"][each] for each in ("certificate_chain", "private_key")]
    return [content["validation_context"]["trusted_ca"]]


def _secrets(plan: Plan) -> dict[str, Json]:
    found: dict[str, Json] = {}
    if (users := plan.routing.tls) is not None:
        found |= _certificate(USERS, users.certificate, users.key)
    for name in ("baseline", "candidate"):
        spec = plan.system(name).tls
        if spec is None:
            continue
        if spec.certificate is not None and spec.key is not None:
            found |= _certificate(f"{name}-certificate", spec.certificate, spec.key)
        if spec.ca is not None:
            found |= _secret(
                f"{name}-ca", {"validation_context": {"trusted_ca": {"filename": spec.ca}}})
    return found


def _certificate(name: str, certificate: str, key: str) -> dict[str, Json]:
    return _secret(name, {"tls_certificate": {
        "certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}})


def _secret(name: str, content: Json) -> dict[str, Json]:
    return {name: {"version_info": "1", "resources": [
        {"@type": _SECRET, "name": name, **content}]}}


def _reference(name: str, files: GatewayFiles) -> Json:
    return {"name": name, "sds_config": {
        "path_config_source": {"path": str(files.secret(name))}, "resource_api_version": "V3"}}


def _name(server_name: str) -> Json:
    kind = "DNS"
    try:
        ipaddress.ip_address(server_name)
        kind = "IP_ADDRESS"
    except ValueError:
        pass
    return {"san_type": kind, "matcher": {"exact": server_name}}
