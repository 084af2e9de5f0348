"""`changeover flags` and `changeover explain`: what a flag is, for whom, since when, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from changeover import clock
from changeover.cli import completing
from changeover.cli.common import Command, Session, environment_option, site_command
from changeover.cli.saying import no_secret
from changeover.domain import user_keys
from changeover.domain.audit import Author
from changeover.domain.rewriting import routes_for, seen
from changeover.domain.route_matching import Request, route_of
from changeover.domain.routing import Key, System
from changeover.domain.segment_matching import texts_of
from changeover.errors import InvalidInput
from changeover.flags import explain as explaining
from changeover.flags.by_hand import with_percent, with_value
from changeover.flags.evaluate import Evaluator
from changeover.flags.snapshot import expired
from changeover.flags.state import FlagEdit, FlagState
from changeover.plan import yaml12
from changeover.plan.flags import as_document
from changeover.plan.model import Plan
from changeover.store import flags as stored


@click.command(epilog="\b\nExamples:\n  changeover explain user-7\n"
               "  changeover explain user-7 --attribute x-cohort=beta --flag use_open_ocr\n"
               "  changeover explain ''          a request without a key\n"
               "  changeover explain user-7 user-8   the key's header comes twice\n"
               "  changeover explain --header 'cookie=session=abc' --path '/cart?account=7'\n"
               "  changeover explain user-7 --path /orders/12 --method POST   by the plan's routes")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE",
              help="A header of a request, `host` among them; without KEY its key is found as the "
              "gateway does.")
@click.option("--path", help="The request's path with its query; says what each system sees of it.")
@click.option("--method", help="The request's method; default: GET.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE",
              help="An attribute of the user, read as JSON if it is; a segment's is named as its "
              "header, or cookie.NAME, or query.NAME.")
@click.option("--flag", shell_complete=completing.flags, help="Only this flag; default: all.")
@environment_option
@site_command
def explain(
    session: Session, keys: tuple[str, ...], attributes: tuple[str, ...], flag: str | None,
    **asked_of: Any
) -> None:
    """Say which system a user gets, what each flag is for them, and why."""
    site = session.site
    snapshot = stored.snapshot(site.store, site.migration, _environment(session))
    pairs = dict(_pair(text) for text in attributes)
    asked: Key = keys
    route, found_in, seen_by = None, {}, {}
    if any(value not in (None, ()) for value in asked_of.values()):
        request = _request(**asked_of)
        route = route_of(site.plan.routes, request)
        asked = _key_of(site.plan, keys, request)
        pairs = {**{name: values[-1] for name, values in request.headers.items()}, **pairs}
        found_in, seen_by = _found_in(site.plan, request), _seen_by(site.plan, request)
    elif not keys:
        raise InvalidInput("no KEY was given", next_step="For instance: changeover explain user-7")
    context = {**explaining.attributes(pairs, snapshot), **found_in}
    explanation = explaining.explain(
        Evaluator(snapshot), asked, context, flag=flag, today=clock.now().date(), route=route)
    explanation["seen"] = seen_by
    session.show(explaining.as_text(explanation), explanation)


def _found_in(plan: Plan, request: Request) -> dict[str, Any]:
    """Return a request's values that segments are about, as attributes of its user."""
    return {spec.attribute: texts_of(spec, *_parts(request))
            for spec in plan.routing.segments.values()}


def _seen_by(plan: Plan, request: Request) -> dict[str, dict[str, str]]:
    """Return what each system sees of a request whose path or host is another one for it."""
    found = {}
    for name in System:
        spec = plan.system(name)
        what = seen(spec, request, routes_for(plan, name))
        if (what.path, what.host) != (request.path, request.host):
            found[str(name)] = {
                "path": explaining.shown(what.path), "host": explaining.shown(what.host)}
    return found


def _parts(request: Request) -> tuple[Callable[[str], list[bytes]], bytes]:
    def values(name: str) -> list[bytes]:
        return [value.encode("utf-8", "surrogateescape")
                for value in request.headers.get(name, ())]

    return values, request.path.encode("utf-8", "surrogateescape")


def _request(headers: tuple[str, ...], path: str | None, method: str | None) -> Request:
    """Return the request that the options describe.

    Raises:
        InvalidInput: The path is none.
    """
    path = "/" if path is None else path
    if not path.startswith("/"):
        raise InvalidInput(f"--path {path!r} is no path", allowed="a path that begins with /")
    found: dict[str, list[str]] = {}
    for text in headers:
        name, value = _pair(text)
        found.setdefault(name.lower(), []).append(value)
    host = found.get("host", [""])[-1]
    return Request(path, (method or "GET").upper(), host, found)


def _key_of(plan: Plan, keys: tuple[str, ...], request: Request) -> tuple[str | bytes, ...]:
    """Return the key that the gateway finds in a request; a KEY counts as found.

    Raises:
        InvalidInput: A key is given, too, and no route of the plan asks for more.
    """
    if keys and not plan.routes:
        raise InvalidInput("KEY and a request are given", allowed="one of the two",
                           next_step="Leave KEY out: it is found in --header and --path")
    if keys:
        return keys

    return user_keys.key_of(plan.routing.sources, *_parts(request))


@click.group("flags")
def flags() -> None:
    """Show flags and change them by hand; what differs from the plan is marked as drift."""


@flags.command("list", epilog="\b\nExample:\n  changeover flags list --env testing")
@environment_option
@site_command
def list_command(session: Session) -> None:
    """Show every flag, what the plan says instead, and which have expired."""
    known = _read(session)
    entries = {name: flag.entry for name, flag in known.items()}
    notes = expired(entries, clock.now().date())
    lines = [_line(flag) for flag in known.values()]
    lines += [f"note: {note}" for note in notes]
    rows = [_as_data(flag) for flag in known.values()]
    text = "\n".join(lines) or "the plan has no flags"
    session.show(text, {"flags": rows, "notes": notes})


def _line(flag: FlagState) -> str:
    text = f"{flag.name}: {_short(flag.document)}"
    if not flag.has_drifted:
        return text
    says = f"the plan says {_short(flag.plan_document)}"
    who = f"{flag.changed_by} changed it"
    return f"{text}   (drift: {says}, {who})"


@flags.command("show", epilog="\b\nExample:\n  changeover flags show use_open_ocr")
@click.argument("name", shell_complete=completing.flags)
@environment_option
@site_command
def show_command(session: Session, name: str) -> None:
    """Show one flag with its variants, rules and version."""
    known = _read(session)
    if name not in known:
        allowed = ", ".join(known) or "none"
        raise InvalidInput(f"there is no flag {name!r}", allowed=allowed)
    flag = known[name]
    when = f"{flag.changed_at:%Y-%m-%d %H:%M:%S}"
    # as the plan writes it, so that it can be copied there
    lines = [yaml12.dump({name: flag.document}).rstrip()]
    lines.append(
        f"version {flag.version}, changed {when} by {flag.changed_by}")
    if flag.has_drifted:
        lines.append(f"the plan says {_short(flag.plan_document)}")
    session.show("\n".join(lines), _as_data(flag))


@flags.command("history", epilog="\b\nExample:\n  changeover flags history use_open_ocr")
@click.argument("name", shell_complete=completing.flags)
@site_command
def history_command(session: Session, name: str) -> None:
    """Show who changed a flag, when and why, from what to what."""
    site = session.site
    changes = stored.history(site.store, site.migration, name)
    lines = []
    for one in changes:
        change = f"{_short(one['old'])} -> {_short(one['new'])}"
        # what holds in all environments is saved under no name
        where = one["environment"] or "all"
        head = f"{one['at']:%Y-%m-%d %H:%M:%S} {where} {one['actor']}"
        lines.append(f"{head}: {change} ({one['reason']})")
    text = "\n".join(lines) or f"flag {name} was never changed"
    session.show(text, changes)


def _changing(command: Command) -> Command:
    """Hand a command its session and add the options of every command that changes a flag."""
    version = click.option(
        "--version", "expected", type=int, help="Refuse when it is another one now.")
    reason = click.option(
        "--reason", required=True, callback=no_secret, help="Why, for the history.")
    # decorators apply from the inside out; this is the order of the options in `--help`
    return reason(version(environment_option(site_command(command))))


@flags.command("set", epilog="\b\nExamples:\n  changeover flags set enable_ai true --reason 'go'\n"
               "  changeover flags set log_level DEBUG --env testing --version 3 --reason 'bug 42'")
@click.argument("name", shell_complete=completing.flags)
@click.argument("value")
@_changing
def set_command(session: Session, name: str, value: str, **asked: Any) -> None:
    """Give everyone a value; the flag's rules end. VALUE is read as YAML: true, 0.05, WARNING."""
    # as in the plan: `true` is a truth value and `1` a number, not texts
    wanted = yaml12.argument(value, "VALUE")

    def wish(flag: FlagState) -> Any:
        return as_document(with_value(name, flag.entry, wanted))

    _change(session, name, wish, **asked)


@flags.command("roll-out", epilog="\b\nExample:\n"
               "  changeover flags roll-out use_open_ocr 25 --reason 'stage 2'")
@click.argument("name", shell_complete=completing.flags)
@click.argument("percent")
@click.option("--variant", help="Which variant; default: the one besides the flag's default.")
@_changing
def roll_out(
    session: Session, name: str, percent: str, variant: str | None, **asked: Any
) -> None:
    """Give a percentage of users a variant; other rules stay."""
    def wish(flag: FlagState) -> Any:
        changed = with_percent(name, flag.entry, percent, variant)
        return as_document(changed)

    _change(session, name, wish, **asked)


@flags.command("reset", epilog="\b\nExample:\n"
               "  changeover flags reset use_open_ocr --reason 'the test is over'")
@click.argument("name", shell_complete=completing.flags)
@_changing
def reset(session: Session, name: str, **asked: Any) -> None:
    """Go back to what the plan says."""
    _change(session, name, stored.to_plan, **asked)


def _change(
    session: Session, name: str, wish: Callable[[FlagState], Any], *,
    reason: str, expected: int | None,
) -> None:
    site, environment = session.site, _environment(session)
    edit = FlagEdit(name, wish, environment, expected_version=expected)
    author = Author(session.actor, reason)
    flag = stored.change(
        site.store, site.migration, edit, author, now=clock.now())
    text = f"{name}: {_short(flag.document)} (version {flag.version})"
    session.show(text, _as_data(flag))


def _read(session: Session) -> dict[str, FlagState]:
    """Return the flags of the environment that the command is about, by name."""
    site, environment = session.site, _environment(session)
    return stored.read(site.store, site.migration, environment)


def _environment(session: Session) -> str:
    """Return the environment that a command is about: the plan's own by default.

    Raises:
        InvalidInput: The plan has no such environment.
    """
    plan, wanted = session.site.plan, session.environment
    if wanted is not None and wanted not in plan.environments:
        known = ", ".join(plan.environments)
        raise InvalidInput(
            f"environment {wanted!r} is unknown", where="--env",
            allowed=known or "none, the plan has no environments")
    return wanted or session.site.environment


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInput(
            f"{text!r} is no attribute",
            where="--attribute", allowed="NAME=VALUE")
    return name, value


def _short(document: Any) -> str:
    text = "nothing"
    if document is not None:
        text = json.dumps(document, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _as_data(flag: FlagState) -> dict[str, Any]:
    return {
        "name": flag.name, "environment": flag.environment,
        "holds": flag.document, "plan": flag.plan_document,
        "has_drifted": flag.has_drifted, "version": flag.version,
        "changed_at": flag.changed_at.isoformat(),
        "changed_by": flag.changed_by,
    }
