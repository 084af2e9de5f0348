"""Plain values of YAML that both of its versions read alike; ambiguous ones are refused. Pure.

YAML 1.1 reads `no` as false, `010` as eight and `12:30` as 750; YAML 1.2 reads text, ten and text.
The author of such a value meant one of the two, and nobody can know which: it must be written
differently. All other values mean the same to every reader. Source: YAML 1.2.2, section 10.3.2.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import yaml

from changeover.errors import InvalidInput

_PREFIX = "tag:yaml.org,2002:"
_CORE = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
                        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
_OCTAL_LOOK = re.compile(r"[-+]?0[0-9_]+")
_OLD = yaml.resolver.Resolver()
_SAME = {"timestamp", "value", "merge"}
"""What only 1.1 gives a type, and what is text here: dates, `=` and `<<` as values."""


# libyaml's reader is many times faster, but not part of every installation
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes documents whose plain values have the types of YAML 1.2's core schema."""

    # its own and empty, so that none of the rules of YAML 1.1 is inherited
    yaml_implicit_resolvers: dict[str | None, Any] = {}  # noqa: RUF012 - the library's own form


class _Dumper(yaml.SafeDumper):
    """Quotes every text that either version would read as something else."""

    # copies: a rule that is added must not change the library's own lists
    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own form
        first: list(rules) for first, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()}


for _name in ("null", "bool", "int", "float"):
    for _class in (Loader, _Dumper):
        _class.add_implicit_resolver(
            _PREFIX + _name, re.compile(f"^(?:{_CORE[_name].pattern})$"), None)


Loader.add_constructor(
    _PREFIX + "int", lambda loader, node: value(loader.construct_scalar(node)))


def doubt(text: str) -> str | None:
    """Return why a plain value is ambiguous, and what to write instead; None when it is clear.

    Args:
        text: The value as it stands in the document, without quotes.
    """
    new, old = kind(text), _kind_in_1_1(text)
    # the one form that both call a number, and read as different ones
    is_octal_once = new == old == "int" and _OCTAL_LOOK.fullmatch(text) is not None
    if old in _SAME or (new == old and not is_octal_once):
        return None
    then = _shown(yaml.safe_load, text, old)
    now = _shown(value, text, new)
    instead = " or ".join(sorted({then, now} - {"text"}))
    return (f"{text} is {then} in YAML 1.1 and {now} in 1.2; "
            f'write {instead}, or "{text}" with quotes for text')


def value(text: str) -> Any:
    """Return the value of a plain text by the core schema.

    Raises:
        ValueError: It is no finite number, or one with too many digits.
    """
    found = kind(text)
    if found == "null":
        return None
    if found == "bool":
        return text.lower() == "true"
    if found == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2])
        return int(text[2:], base) if base else int(text)
    if found == "float":
        # what ends in neither a digit nor a point is `.inf` or `.nan`
        number = float(text.lstrip("+") if text[-1].isdigit() or text[-1] == "." else "nan")
        if not math.isfinite(number):
            raise ValueError(not_finite(text))
        return number
    return text


def not_finite(text: str) -> str:
    """Return what is wrong with an infinite number, or with NaN."""
    return f"{text} is not a number that every language can read; allowed are finite numbers"


def argument(text: str, where: str) -> Any:
    """Return the value that a person typed for a command, read as a plan would read it.

    Raises:
        InvalidInput: It means one thing in YAML 1.1 and another in 1.2, or is no finite number.
    """
    try:
        node = yaml.compose(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError):
        return text
    if not isinstance(node, yaml.ScalarNode):
        return text
    if node.style not in (None, ""):
        return node.value
    if unclear := doubt(node.value):
        raise InvalidInput(unclear, where=where)
    try:
        return value(node.value)
    except ValueError as error:
        raise InvalidInput(str(error), where=where) from None


def dump(document: Any) -> str:
    """Return a document as YAML that both versions, and `changeover`, read back as it is."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def kind(text: str) -> str:
    """Return which type a plain text has by the core schema: null, bool, int, float or str."""
    return next((name for name, form in _CORE.items() if form.fullmatch(text)), "str")


def _shown(read: Callable[[str], Any], text: str, found: str) -> str:
    """Return what a version reads a plain text as, so that both would read it back."""
    if found == "str":
        return "text"
    try:
        return json.dumps(read(text))
    except (ValueError, yaml.YAMLError):
        return "a number"


def _kind_in_1_1(text: str) -> str:
    tag: str = _OLD.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag.removeprefix(_PREFIX)
