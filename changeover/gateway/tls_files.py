"""The files of a plan's `tls`: read before anything starts, so that what is wrong is said."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.domain.routing import System
from changeover.errors import EnvironmentProblem
from changeover.machine import trust
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
    for name in System:
        spec = plan.system(name).tls
        if spec is None:
            continue
        try:
            trust.context(spec.ca, spec.certificate, spec.key)
        except (OSError, ValueError) as error:
            what = ", ".join(spec.files)
            yield f"{what} cannot be used for TLS: {error}", f"systems.{name}.tls"
