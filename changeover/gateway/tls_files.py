"""The files of a plan's `tls`: read before anything starts, so that what is wrong is said."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.domain.routing import System
from changeover.errors import EnvironmentProblem
from changeover.machine import trust
from changeover.plan.endpoint import TlsSpec, UsersTlsSpec
from changeover.plan.model import Plan


def require(plan: Plan) -> None:
    """Read every certificate and key that a plan names.

    Raises:
        EnvironmentProblem: One cannot be read, or a key does not fit its certificate.
    """
    for problem, where in _problems(plan):
        raise EnvironmentProblem(
            problem, where=where,
            next_step="PEM files are needed that this user may read, keys without a password")


def _problems(plan: Plan) -> Iterator[tuple[str, str]]:
    named: dict[str, TlsSpec | UsersTlsSpec | None] = {"routing.tls": plan.routing.tls}
    named |= {f"systems.{name}.tls": plan.system(name).tls for name in System}
    for where, spec in named.items():
        if spec is None:
            continue
        ca = spec.ca if isinstance(spec, TlsSpec) else None
        try:
            trust.context(ca, spec.certificate, spec.key)
        except (OSError, ValueError) as error:
            files = [each for each in (ca, spec.certificate, spec.key) if each is not None]
            yield f"{', '.join(files)} cannot be used for TLS: {error}", where
