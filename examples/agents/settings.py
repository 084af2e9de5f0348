"""What the receiver and the load are told by their environment. Secrets are never on command lines.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

SECRET_VARIABLE = "WEBHOOK_SECRET"  # noqa: S105  the variable's name, not a secret
HOME_VARIABLE = "CHANGEOVER_HOME"
SECRET_FILE = "webhook-secret"  # noqa: S105  the file's name


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is, for the receiver."""

    baseline: str
    candidate: str
    console_url: str
    console_token: str
    webhook_secret: str


def webhook_secret() -> str:
    """Return what deliveries are signed with: the variable's, or that of a demo's folder.

    Raises:
        KeyError: There is neither.
    """
    if secret := os.environ.get(SECRET_VARIABLE):
        return secret
    path = Path(os.environ[HOME_VARIABLE]) / SECRET_FILE
    # whoever comes first makes it: receiver and load find the same one
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(24)
        file.write(secret)
    return secret
