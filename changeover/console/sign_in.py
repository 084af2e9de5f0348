"""Signing in with an OpenID Connect provider: authorization code with PKCE, state and nonce.

Authlib makes the addresses and fetches the token, joserfc checks the ID token's signature and
claims. A sign-in that began is bound to the browser that began it, and counts once.
"""

from __future__ import annotations

import os
import secrets
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwk, jwt
from joserfc.errors import JoseError
from requests import RequestException

from changeover.errors import EnvironmentProblem, Refused, Unreachable
from changeover.plan.oidc import CALLBACK, UNFINISHED, OidcSpec

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
"""Signatures by the provider's key pair; never `none`, never with the client's secret."""
MOST_UNFINISHED = 1000
LEEWAY_SECONDS = 60
SECONDS = 10.0
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
"""What the provider's configuration must have."""
_NOBODY, _AGAIN = "nobody was signed in", "Sign in again"


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that has not ended.

    `browser` is what the browser that began it keeps, `former` the session that it had until then.
    """

    browser: str
    nonce: str
    verifier: str
    address: str
    at: datetime
    former: str


class Provider:
    """The plan's OpenID Connect provider, as the console's process knows it."""

    def __init__(self, spec: OidcSpec) -> None:
        self.spec = spec
        self._begun: OrderedDict[str, Begun] = OrderedDict()

    def begin(self, address: str, former: str, *, now: datetime) -> tuple[str, str]:
        """Begin to sign somebody in.

        Args:
            address: The console's address in the browser.
            former: The session that the browser has until then; empty for none.
            now: The present moment.

        Returns:
            Where the browser goes, and what it keeps until it comes back.

        Raises:
            Unreachable: The provider does not answer.
            EnvironmentProblem: The secret is not in the environment, or the provider's own
                configuration lacks something.
        """
        found, keeps = self._configuration(), secrets.token_urlsafe(32)
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        place = found["authorization_endpoint"]
        with self._session(address) as session:
            url, state = session.create_authorization_url(
                place, code_verifier=verifier, nonce=nonce)
        self._begun[state] = Begun(
            keeps, nonce, verifier, address, now, former)
        # whoever begins without end pushes out the oldest, and fills no memory
        while len(self._begun) > MOST_UNFINISHED:
            self._begun.popitem(last=False)
        return url, keeps

    def end(
        self, state: str, code: str, browser: str, *, now: datetime
    ) -> tuple[str, str]:
        """Return who came back from the provider, and the session that their browser had before.

        Raises:
            Refused: This browser did not begin it, it took too long, or the provider's word about
                the person does not hold.
            Unreachable: The provider does not answer.
        """
        begun = self._begun.pop(state, None)
        if begun is None or not secrets.compare_digest(
                begun.browser.encode(), browser.encode()):
            raise Refused(
                f"{_NOBODY} because this browser did not begin it",
                next_step=_AGAIN)
        if now - begun.at > UNFINISHED:
            raise Refused(
                f"{_NOBODY} because it took too long", next_step=_AGAIN)
        found = self._configuration()
        try:
            with self._session(begun.address) as session:
                token = session.fetch_token(
                    found["token_endpoint"],
                    grant_type="authorization_code", code=code,
                    code_verifier=begun.verifier, timeout=SECONDS)
            id_token = str(token.get("id_token", ""))
            return self._name(id_token, found, begun.nonce), begun.former
        # keys and tokens are the provider's to write, in whatever form
        except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError) as error:
            # the kind alone: the text may hold the token
            why = f"the provider's answer does not hold: {type(error).__name__}"
            raise Refused(
                f"{_NOBODY} because {why}", next_step=_AGAIN) from error
        except RequestException as error:
            raise _unreachable(self.spec, error) from error

    def _name(self, id_token: str, found: dict[str, Any], nonce: str) -> str:
        """Return the name in an ID token that is signed, ours, fresh, and of this sign-in."""
        spec, keys = self.spec, self._keys(found)
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": found["issuer"]},
            aud={"essential": True, "value": spec.client_id},
            exp={"essential": True}, sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        self._refuse_other_party(claims)
        name = claims.get(spec.claim)
        # one that cannot be printed could look like another one in the audit
        is_name = isinstance(name, str) and name.isprintable()
        if not isinstance(name, str) or not is_name or not 2 <= len(name) <= 100:
            raise Refused(f"{_NOBODY} because the provider gave no {spec.claim}")
        # anybody may type an address that is not theirs into an account of their own
        is_verified = claims.get("email_verified") is True
        if spec.claim == "email" and not is_verified:
            why = "the provider has not verified the e-mail address"
            raise Refused(
                f"{_NOBODY} because {why}",
                next_step="Verify it there, and sign in again")
        return name

    def _refuse_other_party(self, claims: dict[str, Any]) -> None:
        """Refuse an ID token that was made for another client and only names this one as well.

        Source: OpenID Connect Core 1.0, 3.1.3.7, rules 4 and 5.
        """
        audience, party = claims.get("aud"), claims.get("azp")
        is_shared = isinstance(audience, list) and len(audience) > 1
        if party is None and not is_shared:
            return
        if party != self.spec.client_id:
            raise Refused(
                f"{_NOBODY} because the ID token was made for another client",
                next_step=_AGAIN)

    def _configuration(self) -> dict[str, Any]:
        """Return what the provider says about itself; its issuer must be the plan's."""
        address = f"{self.spec.issuer}/.well-known/openid-configuration"
        found = self._get(address)
        issuer = str(found.get("issuer", ""))
        if issuer.rstrip("/") != self.spec.issuer:
            raise Refused(
                f"{_NOBODY} because {address} is another issuer's",
                where="console.oidc.issuer", allowed=issuer[:200])
        for name in _ENDPOINTS:
            self._refuse_unsafe(name, found.get(name), address)
        return found

    def _refuse_unsafe(self, name: str, place: object, address: str) -> None:
        """Refuse a configuration without an address that is needed, or with one that is not safe.
        """
        start = "https://"
        # on this machine nobody is on the way
        if self.spec.issuer.startswith("http://"):
            start = "http"
        if isinstance(place, str) and place.startswith(start):
            return
        what = f"the provider's configuration has no {name} that begins with https://"
        raise EnvironmentProblem(
            f"{_NOBODY} because {what}", where=address,
            next_step="Look at `console.oidc.issuer`, or ask who runs the provider")

    def _keys(self, found: dict[str, Any]) -> Any:
        return jwk.KeySet.import_key_set(self._get(str(found["jwks_uri"])))  # type: ignore[arg-type]

    def _get(self, address: str) -> dict[str, Any]:
        try:
            with self._session("") as session:
                answer = session.get(
                    address, withhold_token=True, timeout=SECONDS)
                answer.raise_for_status()
                found = answer.json()
        except (RequestException, ValueError) as error:
            raise _unreachable(self.spec, error) from error
        if not isinstance(found, dict):
            raise _unreachable(self.spec, ValueError("no JSON object"))
        return found

    def _session(self, address: str) -> OAuth2Session:
        secret = os.environ.get(self.spec.env, "")
        if not secret:
            why = f"the variable {self.spec.env} is not set"
            raise EnvironmentProblem(
                f"nobody can sign in because {why}",
                where="console.oidc.env",
                next_step="Set it where `changeover up` is started")
        session = OAuth2Session(
            self.spec.client_id, secret, scope="openid email profile",
            redirect_uri=address + CALLBACK, code_challenge_method="S256")
        # the system's authorities, as for all other clients, without a proxy of the environment
        session.verify = ssl.get_default_verify_paths().cafile or True
        session.trust_env = False
        return session


def _unreachable(spec: OidcSpec, error: Exception) -> Unreachable:
    what = f"the provider {spec.issuer} does not answer"
    return Unreachable(
        f"{what}: {type(error).__name__}", next_step="Try again")
