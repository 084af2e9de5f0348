"""`changeover rollback --break-glass`: at this gateway and all nodes, without the store."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click

from changeover import clock
from changeover.cli.common import Session
from changeover.cli.printable import printable
from changeover.domain.break_glass import BreakGlassCall
from changeover.errors import (
    EXIT_OK,
    ChangeoverError,
    EnvironmentProblem,
    InvalidInput,
    Unreachable,
)
from changeover.gateway.publish import Gateway
from changeover.procedures import breaking_glass, retirement_note
from changeover.procedures.breaking_glass import Told
from changeover.site import node_addresses
from changeover.site.home import Home
from changeover.site.node_addresses import NodeAddress, break_glass_url

LATER = "the observer records it in the store"


def everyone_back(session: Session, reason: str, named: Sequence[str]) -> int:
    """Send everyone to the baseline by files and the nodes' own addresses alone.

    Args:
        session: The call of the command.
        reason: What happened.
        named: Addresses of nodes beside those that are known here.

    Returns:
        The exit code: that of `Unreachable` when a node was not reached or did not do it.

    Raises:
        InvalidInput: No gateway was ever started with this home, and no node is known; or it is
            not known whose nodes are named.
        Refused: The baseline was retired and is not well.
        EnvironmentProblem: The files cannot be written; the nodes were asked all the same.
    """
    home = Home.resolve(session.home)
    gateway = Gateway(home.gateway_files)
    nodes = _nodes(gateway, named, _migration(session, home, gateway))
    # by the file alone: the store, which knows the migrations, may be gone
    is_here = gateway.files.safe_routes.exists()
    if not is_here and not nodes:
        raise InvalidInput(
            "no gateway was ever started with this home directory",
            where=str(gateway.files.root),
            next_step="Give it with --home DIR, or the nodes with --node URL")
    retirement_note.refuse(gateway.files)
    entry, problem = _at_this_gateway(session, gateway, reason) if is_here else ({}, None)
    is_done = is_here and problem is None
    if is_done and nodes:
        _say(session, "this machine's gateway: its users are at the baseline")
    told = _at_nodes(session, nodes, BreakGlassCall(
        reason, session.actor, knows_baseline=retirement_note.is_known(gateway.files)))
    if is_done or told:
        data = {**entry, "nodes": [each.as_data() for each in told]} if nodes else entry
        session.show(_summary(is_done, told, reason), data)
    if problem is not None:
        raise problem
    return EXIT_OK if all(each.is_good for each in told) else Unreachable.exit_code


def _at_nodes(session: Session, nodes: list[NodeAddress], call: BreakGlassCall) -> list[Told]:
    """Ask nodes, and say of each what came of it as soon as it is known."""
    told = []
    for each in breaking_glass.everywhere(nodes, call):
        _say(session, each.text)
        told.append(each)
    return told


def _migration(session: Session, home: Home, gateway: Gateway) -> str:
    """Return whose users are meant; empty when nobody knows.

    Raises:
        InvalidInput: This home has the users of another migration than the one that is named.
    """
    kept = {each.migration for each in node_addresses.read(gateway.files)}
    try:
        own = str(home.settings().get("migration") or "")
    # of no use in an emergency: the rest must go on without it
    except EnvironmentProblem:
        own = ""
    known = own or next(iter(kept), "")
    if session.migration and known and session.migration != known:
        raise InvalidInput(
            f"this home has the users of {known}, not of {session.migration}",
            where=str(home.root), next_step=f"Give the home of {session.migration} with --home DIR")
    return session.migration or known


def _say(session: Session, text: str) -> None:
    """Print a line at once; programs get all of it in one document."""
    if session.output != "json":
        click.echo(printable(text))


def _nodes(gateway: Gateway, named: Sequence[str], migration: str) -> list[NodeAddress]:
    known = [each for each in node_addresses.read(gateway.files) if each.migration == migration]
    urls = {each.url for each in known}
    more = dict.fromkeys(break_glass_url(text, "--node") for text in named)
    if more and not migration:
        # what answers there may have another migration's users
        raise InvalidInput("it is not known whose node this is", where=f"--node {named[0]}",
                           next_step="Name the migration with --migration NAME")
    return [*known, *(NodeAddress("", url, migration) for url in more if url not in urls)]


def _at_this_gateway(
    session: Session, gateway: Gateway, reason: str
) -> tuple[dict[str, Any], ChangeoverError | None]:
    """Send this gateway's users back; what goes wrong must not keep the nodes from being asked."""
    try:
        return gateway.break_glass(reason=reason, actor=session.actor, now=clock.now()), None
    except ChangeoverError as error:
        return {}, error


def _summary(is_here: bool, told: list[Told], reason: str) -> str:
    bad = [each.node for each in told if not each.is_good]
    good = len(told) - len(bad)
    places = ["this machine's gateway"] if is_here and told else []
    if good:
        places.append(f"{good} of {len(told)} nodes")
    where = f" of {' and '.join(places)}" if places else ""
    if not bad:
        return f"everyone{where} is at the baseline (break glass); {LATER}"
    text = f"users{where} are at the baseline (break glass); {LATER}" if places else \
        f"nobody is certainly at the baseline, of {len(told)} nodes"
    return printable(
        f"{text}\nnot certain: {', '.join(bad)}. Until a node follows, its users stay where they "
        f"are. Where its program is dead its Envoy serves on: type there\n  {by_hand(reason)}\n"
        "with the home of its `changeover gateway`, or take it out of the load balancer. Once the "
        "store answers it is told of this rollback and follows by itself")


def by_hand(reason: str) -> str:
    """Return what sends a node's users back on its own machine; its agent is not needed."""
    # as one word of a shell, whatever people wrote
    return f"changeover rollback --break-glass --home HOME --reason {shlex.quote(reason)}"
