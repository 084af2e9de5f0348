"""A provider that says too little, or speaks of somebody else: nobody is signed in, with a reason.

It answers over real connections, and signs with a real key; what it says is each test's choice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from changeover import clock
from changeover.console.sign_in import Provider
from changeover.errors import ChangeoverError, EnvironmentProblem, Refused
from changeover.plan.oidc import OidcSpec

pytestmark = pytest.mark.integration

KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class Says:
    """What a provider says; `address` is where it listens."""

    address: str = ""
    left_out: str = ""
    changed: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: KEY)
    keys: Any = None

    def answer(self, path: str) -> Any:
        if path == "/keys":
            public = {"keys": [KEY.as_dict(private=False)]}
            return public if self.keys is None else self.keys
        if path == "/token":
            text = jwt.encode({"alg": "RS256", "kid": "one"}, self.claims, self.key)
            return {"access_token": "x", "token_type": "Bearer", "id_token": text}
        found = {
            "issuer": self.address, "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token", "jwks_uri": f"{self.address}/keys"}
        found |= self.changed
        found.pop(self.left_out, None)
        return found


@pytest.fixture
def says() -> Iterator[Says]:
    """A provider that listens."""
    found = Says()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.dumps(found.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815  the library's names

        def log_message(self, *_: object) -> None:
            """Nothing is written to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def signed_in(says: Says, monkeypatch: pytest.MonkeyPatch, **claims: Any) -> str:
    """Sign somebody in at the provider, and return their name."""
    monkeypatch.setenv("OIDC_SECRET", "secret")
    spec = OidcSpec(issuer=says.address, client_id="changeover", env="OIDC_SECRET")
    provider, now = Provider(spec), clock.now()
    url, keeps = provider.begin("http://127.0.0.1:8190", "former", now=now)
    asked = parse_qs(urlsplit(url).query)
    says.claims = {
        "iss": says.address, "aud": "changeover", "sub": "1", "nonce": asked["nonce"][0],
        "exp": int((now + timedelta(minutes=5)).timestamp()), "email": "ann@example.com",
        "email_verified": True, **claims}
    says.claims = {name: value for name, value in says.claims.items() if value is not None}
    name, former = provider.end(asked["state"][0], "code", keeps, now=now)
    assert former == "former"
    return name


@pytest.mark.parametrize("claims", [
    {}, {"azp": "changeover"}, {"aud": ["changeover"]},
    {"aud": ["changeover", "other"], "azp": "changeover"}], ids=str)
def test_who_the_provider_names_for_this_client_is_signed_in(
    says: Says, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    """With or without the party that the token was made for, where only one could be meant."""
    assert signed_in(says, monkeypatch, **claims) == "ann@example.com"


@pytest.mark.parametrize("claims", [
    {"azp": "other"}, {"aud": ["changeover", "other"]}, {"azp": 7},
    {"aud": ["changeover", "other"], "azp": "other"}, {"aud": "other"}, {"aud": None},
    {"iss": "https://other.example"}, {"iss": None}, {"exp": 1_000_000_000}, {"exp": None},
    {"nonce": "another"}, {"nonce": None}, {"sub": None}, {"email_verified": "true"},
    {"email": ["ann@example.com"]}, {"email": "a" * 101}, {"email": "bob\u202e"},
    {"email": None}], ids=str)
def test_a_token_of_another_client_time_or_sign_in_signs_nobody_in(
    says: Says, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    """Each claim is looked at alone."""
    with pytest.raises(Refused, match="nobody was signed in"):
        signed_in(says, monkeypatch, **claims)


def test_a_token_that_another_key_signed_signs_nobody_in(
    says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it names the right one."""
    says.key = OTHER
    with pytest.raises(Refused, match="does not hold"):
        signed_in(says, monkeypatch)


@pytest.mark.parametrize("keys", [{}, {"keys": "none"}, {"keys": [{}]}, {"keys": [{"kty": "x"}]}])
def test_keys_that_are_none_sign_nobody_in(
    says: Says, monkeypatch: pytest.MonkeyPatch, keys: Any
) -> None:
    """With a sentence, not with a traceback."""
    says.keys = keys
    with pytest.raises(ChangeoverError, match="nobody was signed in"):
        signed_in(says, monkeypatch)


@pytest.mark.parametrize(("left_out", "changed"), [
    ("authorization_endpoint", {}), ("token_endpoint", {}), ("jwks_uri", {}),
    ("", {"authorization_endpoint": "javascript:alert(1)"}), ("", {"token_endpoint": 7}),
    ("", {"jwks_uri": "file:///etc/passwd"})], ids=str)
def test_a_configuration_that_lacks_something_says_what(
    says: Says, monkeypatch: pytest.MonkeyPatch, left_out: str, changed: dict[str, Any]
) -> None:
    """Before anybody is sent anywhere."""
    says.left_out, says.changed = left_out, changed
    name = left_out or next(iter(changed))
    with pytest.raises(EnvironmentProblem, match=f"has no {name}"):
        signed_in(says, monkeypatch)
