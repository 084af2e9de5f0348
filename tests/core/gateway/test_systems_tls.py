"""How a system over TLS is trusted, in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from changeover.gateway.envoy import tls
from changeover.gateway.envoy.config import render_bootstrap
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.routing import RoutingSpec
from changeover.procedures import curling

FILES = GatewayFiles(Path("/gateway"))
OWN = {"ca": "/ca.pem", "certificate": "/a.crt", "key": "/a.key", "server_name": "shop.internal"}


def _plan(url: str, own: dict[str, str] | None) -> Plan:
    return Plan.model_validate({
        "migration": "shop",
        "systems": {"baseline": {"name": "old", "url": "http://127.0.0.1:1"},
                    "candidate": {"name": "new", "url": url, "tls": own}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}]})


def _context(plan: Plan) -> dict[str, Any]:
    config = tls.upstream("candidate", plan.systems.candidate, FILES)["typed_config"]
    context: dict[str, Any] = config["common_tls_context"]
    return context


def test_plan_without_tls_has_what_it_always_had() -> None:
    """Verified by the machine's authorities, by its name, without any further file."""
    plan = _plan("https://shop.example", None)
    assert _context(plan) == {"validation_context": {
        "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
        "match_typed_subject_alt_names": [
            {"san_type": "DNS", "matcher": {"exact": "shop.example"}}]}}
    assert tls.secrets(plan) == {}


def test_files_are_named_in_secrets_that_envoy_watches() -> None:
    """The configuration names our documents, and these name the plan's files."""
    plan = _plan("https://10.0.0.1:8443", OWN)
    context = _context(plan)
    (own,) = context["tls_certificate_sds_secret_configs"]
    assert own["sds_config"]["path_config_source"]["path"] == (
        "/gateway/tls-candidate-certificate.json")
    combined = context["combined_validation_context"]
    assert combined["default_validation_context"]["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "shop.internal"}}]
    secrets = tls.secrets(plan)
    assert set(secrets) == {"candidate-certificate", "candidate-ca"}
    assert secrets["candidate-certificate"]["resources"][0]["tls_certificate"] == {
        "certificate_chain": {"filename": "/a.crt"}, "private_key": {"filename": "/a.key"}}


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1"])
def test_address_is_verified_as_one(host: str) -> None:
    """A certificate names addresses in another way than hosts."""
    names = _context(_plan(f"https://{host}", {"ca": "/ca.pem"}))["combined_validation_context"]
    (name,) = names["default_validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "IP_ADDRESS", "matcher": {"exact": host}}


def test_curl_shows_and_verifies_the_same() -> None:
    """The rollback script asks whether the baseline is well."""
    system = _plan("https://10.0.0.1:8443", OWN).systems.candidate
    assert curling.health(system, "1.0") == (
        "curl -sf -m 1.0 --noproxy '*' --cacert /ca.pem --cert /a.crt --key /a.key --connect-to "
        "::10.0.0.1:8443 -H 'host: 10.0.0.1:8443' -o /dev/null "
        "https://shop.internal:8443/health")


@pytest.mark.parametrize("listen", ["127.0.0.1:443", "0.0.0.0:443"])
def test_users_come_over_tls_where_the_plan_says_so(listen: str) -> None:
    """In every chain of the listener: for private peers and for all others."""
    plain = _plan("http://127.0.0.1:2", None)
    for own, is_there in (({}, False), ({"tls": {"certificate": "/a", "key": "/b"}}, True)):
        routing = RoutingSpec.model_validate({"listen": listen, **own})
        plan = plain.model_copy(update={"routing": routing})
        listener = render_bootstrap(plan, FILES)["static_resources"]["listeners"][0]
        assert all(("transport_socket" in chain) is is_there for chain in listener["filter_chains"])
        assert ("users-certificate" in tls.secrets(plan)) is is_there
