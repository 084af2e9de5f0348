"""Percentages, durations, sizes and addresses as people write them. Pure.

Each `parse_*` accepts text or a number from YAML and raises ValueError with the allowed
forms; each `format_*` writes the shortest form that parses back to the same value.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation

_DURATION_SECONDS = {
    "us": Decimal("0.000001"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
_SIZE_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s\"'<>]+)")
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(us|ms|s|m|h|d|w)")
_SIZE = re.compile(rf"({_NUMBER})\s*([kKMGT]?i?B)")

LONGEST = timedelta(days=36_500)
"""Whatever is added to the present moment stays a date."""
DURATION_FORMS = "durations such as 500ms, 30s, 5m, 48h, 7d or 1h30m"
SIZE_FORMS = "sizes such as 512MB, 6.5GB or 2GiB"
PERCENT_FORMS = "percentages such as 5, 0.1% or 12.5"
SHARE_FORMS = "shares such as 0.1% or 0.001"


def _decimal(value: object, forms: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{value!r} is not a number; allowed are {forms}")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number; allowed are {forms}") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number; allowed are {forms}")
    return number


def parse_duration(value: object) -> timedelta:
    """Return the duration that `value` names, for instance `48h`, `500ms` or `1h30m`.

    Args:
        value: Text with units, or 0. Bare numbers other than 0 have no unit and are refused.

    Raises:
        ValueError: The text has no unit, an unknown unit, is negative, or longer than 100 years.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return timedelta(0)
    text = str(value).strip()
    parts = _DURATION_PART.findall(text)
    if not parts or _DURATION_PART.sub("", text).strip():
        raise ValueError(f"{value!r} is not a duration; allowed are {DURATION_FORMS}")
    # Decimal: with floats, 0.1 s would not be exactly 100 ms
    seconds = sum((Decimal(number) * _DURATION_SECONDS[unit] for number, unit in parts), Decimal(0))
    if seconds > LONGEST.days * _DURATION_SECONDS["d"]:
        raise ValueError(f"{value!r} is too long; the limit is {LONGEST.days}d")
    return timedelta(microseconds=int(seconds * 1_000_000))


def format_duration(duration: timedelta) -> str:
    """Return `duration` as `parse_duration` reads it: `7d`, `1h30m`, `250ms`, `0s`."""
    # rounded, for seconds are a float here
    left = round(duration.total_seconds() * 1_000_000)
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        size = int(_DURATION_SECONDS[unit] * 1_000_000)
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: object) -> int:
    """Return the bytes that `value` names, for instance `6.5GB` (10⁹) or `2GiB` (2³⁰).

    Raises:
        ValueError: The text has no unit or an unknown one.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or match[2] not in _SIZE_BYTES:
        raise ValueError(f"{value!r} is not a size; allowed are {SIZE_FORMS}")
    return int(Decimal(match[1]) * _SIZE_BYTES[match[2]])


def format_size(size: float) -> str:
    """Return a number of bytes for people, in decimal units: `6.5 GB`."""
    for unit in ("TB", "GB", "MB", "kB"):
        if size >= _SIZE_BYTES[unit]:
            return f"{size / _SIZE_BYTES[unit]:.3g} {unit}"
    return f"{size:.0f} B"


def format_number(value: float, digits: int = 4) -> str:
    """Return a number for people: `0.1234`, `12.3`, `15,000`; large ones never as `1.5e+04`.

    Args:
        value: The number.
        digits: Significant digits; a number with more before the point is given whole.
    """
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def parse_percent(value: object) -> Decimal:
    """Return a traffic percentage in 0..100, exact to 0.01: `5`, `5%`, `0.25%`.

    Raises:
        ValueError: Outside 0..100, or finer than a bucket (0.01 %).
    """
    percent = _decimal(str(value).removesuffix("%") if isinstance(value, str) else value,
                       PERCENT_FORMS)
    if not 0 <= percent <= 100:
        raise ValueError(f"{value!r} is outside 0 to 100; allowed are {PERCENT_FORMS}")
    if percent * 100 != int(percent * 100):
        raise ValueError(f"{value!r} is finer than 0.01 %, the size of one routing bucket")
    return percent


def format_percent(buckets: int) -> str:
    """Return a number of buckets (0..10_000) as a percentage: `2500` is `25 %`."""
    text = f"{Decimal(buckets) / 100:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def parse_share(value: object) -> float:
    """Return a share in 0..1 from `0.1%` (0.001) or `0.001`.

    Raises:
        ValueError: Outside 0..1.
    """
    is_percent = isinstance(value, str) and value.strip().endswith("%")
    number = _decimal(str(value).strip().removesuffix("%") if is_percent else value, SHARE_FORMS)
    share = number / 100 if is_percent else number
    if not 0 <= share <= 1:
        raise ValueError(f"{value!r} is outside 0 to 1 (0 to 100%); allowed are {SHARE_FORMS}")
    return float(share)


def parse_address(value: object) -> tuple[str, int]:
    """Return (host, port) from `127.0.0.1:8100` or `[::1]:8100`.

    Raises:
        ValueError: No port, or a port outside 0..65535 (0 lets the system choose).
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})", str(value).strip())
    if match is None or int(match[2]) > 65_535:
        raise ValueError(f"{value!r} is not an address; allowed is HOST:PORT, "
                         "such as 127.0.0.1:8100")
    return match[1].strip("[]"), int(match[2])


def normal_address(value: object) -> str:
    """Return an address as HOST:PORT, an IPv6 one in brackets; as `parse_address` otherwise."""
    host, port = parse_address(value)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def without_secrets(text: str) -> str:
    """Return a text whose addresses show scheme and host only.

    A webhook's path and a database's user are passwords; of other schemes (Apprise's) even the
    host may be one. A SQLite file stays as it is.
    """
    return _ADDRESS.sub(_bare, text)


def _bare(match: re.Match[str]) -> str:
    scheme, rest = match[1].lower(), match[2]
    if scheme.startswith("sqlite"):
        return match[0]
    if not scheme.startswith(("http", "postgres")):
        return f"{scheme}://***"
    # the last @: a password may contain one
    user, _, place = rest.rpartition("@")
    host = re.split(r"[/?#]", place, maxsplit=1)[0]
    hidden = "" if place.strip("/") == host else "/***"
    return f"{scheme}://{'***@' if user else ''}{host}{hidden}"
