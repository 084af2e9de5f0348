"""What is on disk beside Envoy: the routes it watches, and the locks under which they change.

Publishing, break glass and back-pressure are three ways to replace the routes. What each of them
must know about the others (a journal, users who are withheld) is a file here, because they run in
different processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from changeover import clock
from changeover.domain.routing import RoutingState
from changeover.domain.storable import storable_in
from changeover.errors import EnvironmentProblem, PublishFailed
from changeover.gateway.envoy import streams, time_limits
from changeover.gateway.envoy.config import Json, parse_version, render_routes
from changeover.gateway.envoy.synthetic import marked
from changeover.gateway.envoy.withheld import is_withheld, withheld
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import write_atomically
from changeover.plan.hook_rules import has_marked_load
from changeover.plan.model import Plan

# Envoy has new routes within 2 ms; a rollback is not to wait longer than that for us.
POLL_SECONDS = 0.003
LOCK_SECONDS = 5.0
_INSISTING_SECONDS = 0.3
"""Files are written under the lock, which takes milliseconds."""


class RoutesOnDisk:
    """The routes that Envoy watches, as files.

    Args:
        files: Where they are.
    """

    def __init__(self, files: GatewayFiles) -> None:
        self.files = files

    def on_disk(self) -> tuple[int, int] | None:
        """Return (epoch, version) of the routes in place, None before the first."""
        try:
            return parse_version(json.loads(self.files.routes.read_bytes())["version_info"])
        except (FileNotFoundError, ValueError, KeyError):
            # A person broke the file: whatever is published next replaces it.
            return None

    def is_withheld_on_disk(self) -> bool:
        """Whether the routes in place leave the candidate out because of back-pressure."""
        try:
            found = json.loads(self.files.routes.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return any(is_withheld(resource) for resource in found.get("resources", []))

    def journal(self) -> dict[str, Any] | None:
        """Return what was done without the store and is not recorded in it yet; None without."""
        try:
            # `rollback.sh` and older releases write one, too
            found: dict[str, Any] = storable_in(json.loads(self.files.journal.read_bytes()))
        # A broken journal is an error, not "none": users were moved, and nobody may publish.
        except FileNotFoundError:
            return None
        return found

    def back_pressure(self) -> dict[str, Any]:
        """Return what back-pressure does: `level`, `withheld`, `reason`, `since`; empty before."""
        try:
            found = json.loads(self.files.back_pressure.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def withholds(self) -> bool:
        """Whether back-pressure gives the candidate's users the baseline's answer for now."""
        return bool(self.back_pressure().get("withheld", False))

    def routes_of(self, plan: Plan, state: RoutingState) -> Json:
        """Return the routes of a state; under back-pressure they leave the candidate out."""
        routes = self.rendered(plan, state)
        return withheld(routes, time_limits.beginnings(plan)) if self.withholds() else routes

    def rendered(self, plan: Plan, state: RoutingState) -> Json:
        """Return the routes of a state; with those of synthetic load where the plan has any."""
        routes = render_routes(plan, state)
        return marked(routes, load_mark(self.files)) if has_marked_load(plan) else routes

    def write_safe(self, plan: Plan, state: RoutingState) -> None:
        """Write routes to the baseline in advance, so that break glass needs nothing else."""
        # Without a mode of its own a state is `baseline_only`.
        safe = RoutingState(plan.migration, version=state.version, epoch=state.epoch)
        replace_json(self.files.safe_routes, self.rendered(plan, safe))
        replace_json(self.files.safe_listeners, streams.template(plan, self.files))

    def hops(self) -> dict[str, streams.Hop]:
        """Return what is known of the second hops of long connections; nothing before the first."""
        try:
            return streams.known(json.loads(self.files.listeners.read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # A person broke the file: what is written next replaces it.
            return {}

    def write_hops(self, plan: Plan) -> None:
        """Write the second hops of a plan; no connection ends by it that was to go on."""
        replace_json(self.files.listeners, streams.render(plan, self.files, self.hops()))

    def end_streams(self, plan: Plan, state: RoutingState) -> None:
        """Have Envoy end the candidate's long connections whose users a state takes back.

        Envoy does so after `rollback.grace`. Doing this again changes nothing more.
        """
        wanted = self._wanted_hops(plan, state)
        response = streams.render(plan, self.files, wanted)
        if self._listeners() != response:
            replace_json(self.files.listeners, response)

    def has_streams_to_end(self, plan: Plan, state: RoutingState) -> bool:
        """Whether the routes of a state are there, and its long connections were not ended.

        Its publisher was killed in between.
        """
        return self.on_disk() == state.order and self.hops() != self._wanted_hops(plan, state)

    def _wanted_hops(self, plan: Plan, state: RoutingState) -> dict[str, streams.Hop]:
        return streams.next_hops(plan, state, self.hops(), clock.now().timestamp())

    def _listeners(self) -> Any:
        try:
            return json.loads(self.files.listeners.read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    @contextlib.contextmanager
    def locked(self, *, insists: bool = False) -> Iterator[None]:
        """Lock the routes; whoever `insists` goes on without the lock after an instant.

        Raises:
            PublishFailed: Another process has locked it and does not go on.
        """
        patience = _INSISTING_SECONDS if insists else LOCK_SECONDS
        with self.locking(self.files.lock, time.monotonic() + patience, insists=insists):
            yield

    @contextlib.contextmanager
    def locking(self, lock: Path, deadline: float, *, insists: bool = False) -> Iterator[None]:
        """Lock a file; whoever `insists` goes on without the lock after the deadline.

        Args:
            lock: The lock's file.
            deadline: How long to wait for it, in `time.monotonic()` seconds.
            insists: Go on without it then, instead of giving up.

        Raises:
            PublishFailed: Another process has locked it and does not go on.
        """
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise EnvironmentProblem(
                f"the gateway's directory cannot be written: {error.strerror}",
                where=str(self.files.root),
            ) from error
        try:
            # Asked for again and again: `flock` itself waits without a time limit.
            while not _flock(handle):
                if time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
                elif insists:
                    break
                else:
                    raise PublishFailed(
                        "not published because another process keeps the lock and does not go on",
                        where=str(lock), next_step=f"Find it with `fuser {lock}`, and end it if "
                        "it hangs; a rollback does not wait for it")
            yield
        finally:
            os.close(handle)


def _flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def load_mark(files: GatewayFiles) -> str:
    """Return the mark of synthetic load; whoever asks first makes it.

    Raises:
        EnvironmentProblem: The directory cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        if known := files.mark.read_text("ascii"):
            return known
    made = files.mark.with_name(f"{files.mark.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        files.root.mkdir(parents=True, exist_ok=True)
        write_atomically(made, secrets.token_hex(16))
        # two may make it at once: a link never replaces the one that is there
        with contextlib.suppress(FileExistsError):
            files.mark.hardlink_to(made)
        made.unlink()
    except OSError as error:
        raise EnvironmentProblem(
            f"the mark of synthetic load cannot be made: {error.strerror}",
            where=str(files.mark)) from error
    return files.mark.read_text("ascii")


def replace_json(path: Path, content: Json) -> None:
    """Replace a file as a whole."""
    write_atomically(path, json.dumps(content))
