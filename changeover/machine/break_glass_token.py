"""The token that opens a gateway node's break glass to other machines: read, and never kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

from changeover.errors import EnvironmentProblem, InvalidInput

TOKEN_VARIABLE = "CHANGEOVER_BREAK_GLASS_TOKEN"  # noqa: S105  a name
FILE_VARIABLE = "CHANGEOVER_BREAK_GLASS_TOKEN_FILE"
NONE = f"no token is set (${TOKEN_VARIABLE}, or ${FILE_VARIABLE} with the path of a file)"
_FORM = re.compile(r"[!-~]{32,500}")
_HOW = "Make one with `openssl rand -hex 32`, the same for all nodes and for who may break glass"


def read() -> str:
    """Return the token; empty when none is set.

    It is taken out of this process's environment, so that no program that is started later
    inherits it.

    Raises:
        InvalidInput: It is too short to be one, or is given twice.
        EnvironmentProblem: Its file cannot be read.
    """
    given, path = os.environ.pop(TOKEN_VARIABLE, "").strip(), os.environ.get(FILE_VARIABLE, "")
    if given and path:
        raise InvalidInput("the token for break glass is given twice",
                           where=f"${TOKEN_VARIABLE} and ${FILE_VARIABLE}", allowed="one of them")
    where = f"${TOKEN_VARIABLE}"
    if path:
        where = path
        try:
            given = Path(path).read_text("utf-8", "replace").strip()
        except OSError as error:
            raise EnvironmentProblem(
                f"the token for break glass cannot be read: {error.strerror or error}",
                where=path, next_step=f"Correct ${FILE_VARIABLE}, or unset it") from None
    if not given and not path:
        return ""
    if not _FORM.fullmatch(given):
        # its length tells what is wrong, the text itself nobody may see
        raise InvalidInput(
            f"this is no token for break glass ({len(given)} characters)", where=where,
            allowed="32 to 500 letters, digits and signs without spaces", next_step=_HOW)
    return given
