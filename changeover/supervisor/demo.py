"""`changeover demo`: a real cutover of the example pair, from 0 to 100 %, in minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from changeover import clock
from changeover.domain.rollout import CutoverStatus
from changeover.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_ROLLED_BACK,
    ChangeoverError,
    InvalidInput,
    Refused,
    StoreError,
    Unreachable,
)
from changeover.machine.files import write_atomically
from changeover.machine.http import post
from changeover.plan.model import Plan
from changeover.site import status
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.supervisor.examples import Fault

FAULT_VARIABLE = "CHANGEOVER_FAULT_TOKEN"
FAULTS_FILE_VARIABLE = "CHANGEOVER_FAULTS_FILE"
EXIT_CODES = {"promoted": EXIT_OK, "rolled_back": EXIT_ROLLED_BACK, "failed": EXIT_FAILED}
REPORT_WAIT_SECONDS = 60.0
"""Longest wait for the report after the end; then the demo ends without it."""


@dataclass(frozen=True)
class WantedFault:
    """A fault of an example, and the stage in which it begins."""

    kind: str
    stage: str
    fault: Fault

    @classmethod
    def parse(cls, text: str, plan: Plan, faults: Mapping[str, Fault]) -> WantedFault:
        """Return the fault of `KIND@STAGE`, as `errors@gradual-50` or `crash@50`.

        Raises:
            InvalidInput: An unknown kind or stage; the message names those there are.
        """
        kind, _, wanted = text.partition("@")
        keys = [stage.key for stage in plan.stages()]
        # `50` stands for the stage whose name ends with it
        found = [key for key in keys if wanted in (key, key.rpartition("-")[2])]
        if kind not in faults or not found:
            raise InvalidInput(
                f"fault {text!r} is not KIND@STAGE",
                allowed=f"KIND one of {', '.join(faults)}; STAGE one of {', '.join(keys)}",
                next_step=f"For instance: changeover demo --fault {next(iter(faults))}@{keys[-1]}",
            )
        return cls(kind, found[0], faults[kind])


@dataclass(frozen=True)
class Faults:
    """Begins and ends faults of an example's processes.

    Args:
        addresses: Base URL of everyone who can misbehave, by name.
        token: What allows it.
        file: What the load reads.
    """

    addresses: Mapping[str, str]
    token: str
    file: Path

    def begin(self, kind: str, fault: Fault) -> bool:
        """Begin a fault; return whether it was answered, which a crash does not do."""
        if fault.to == "load":
            write_atomically(self.file, json.dumps({"kind": kind}))
            return True
        try:
            post(f"{self.addresses[fault.to].rstrip('/')}/fault", {"kind": kind}, timeout=2,
                 headers={"authorization": f"Bearer {self.token}"})
        except httpx.HTTPError:
            return False
        return True

    def end(self, fault: Fault) -> bool:
        """End whatever fault was begun there."""
        return self.begin("none", fault)


@dataclass
class Demo:
    """Runs one cutover on a started stack and shows how it goes.

    Args:
        site: The migration on this machine.
        show: Shows one line.
        approves: Whether the demo answers the approvals itself.
        fault: The misbehaviour to bring about, if any.
        faults: Begins faults.
        objection: Asked before the demo itself answers for a stage, by its key: why its users must
            go back; empty when nothing speaks against it.
    """

    site: Site
    show: Callable[[str], None]
    approves: bool
    fault: WantedFault | None
    faults: Faults
    objection: Callable[[str], str] = field(default=lambda stage: "")
    _shown: str = ""
    _shown_at: float = 0.0
    _answered: set[str] = field(default_factory=set)

    def run(self) -> int:
        """Run the cutover to its end and return the exit code."""
        run_id = self.site.prefect.start("cutover/main", parameters={})
        if run_id is None:
            raise Unreachable("cutover/main is not deployed", where=self.site.prefect.url)
        ui = self.site.home.settings()["ui_url"]
        self.show(f"cutover/main runs: {ui}/runs/flow-run/{run_id}")
        while True:
            now = self._status()
            if now is not None:
                self._show_progress(now)
                self._misbehave(now)
                self._approve(now)
                if now["cutover"] and now["cutover"]["status"] != CutoverStatus.RUNNING:
                    return self._end(now)
            self._fail_if_refused(run_id, now)
            time.sleep(0.5)

    def _status(self) -> dict[str, Any] | None:
        try:
            return status.collect(self.site, now=clock.now())
        except StoreError:  # busy: asked again in half a second
            return None

    def _show_progress(self, now: dict[str, Any]) -> None:
        """Show a line whenever something changed, and every five seconds."""
        stage = now["stages"][-1] if now["stages"] else {"key": "start", "status": ""}
        doing = "waits for approval" if now["waiting_for"] else stage["status"]
        change = f"{stage['key']} {doing} {now['routing']['version']}"
        if step := now["procedure"]:
            # during all other stages the newest step is an old one
            is_around = not now["stages"] or stage["key"] == self.site.plan.stages()[-1].key
            said = f", {step['step']}: {step['detail']}" if is_around else ""
            change += said
            # told once: a step's text is long, and the lines after it are of the same step
            doing += said if change != self._shown else ""
        if change == self._shown and time.monotonic() - self._shown_at < 5:
            return
        self._shown, self._shown_at = change, time.monotonic()
        systems = " | ".join(
            f"{name}: {status.numbers_text(numbers)}" for name, numbers in now["systems"].items()
        )
        self.show(f"[{status.percent_text(now):>5}] {stage['key']}: {doing} | {systems} | "
                  f"{self._users()}")

    def _users(self) -> str:
        """Return what users saw so far, from the load's own figures."""
        try:
            figures = json.loads(stats_file(self.site.home).read_text())
        except (OSError, ValueError):  # not there yet, or just being written
            return "users: none yet"
        counts = [number for key, number in figures.items() if key.startswith("failed_")]
        answered = figures.get("answered", 0)
        served = figures.get("served", {}).get("candidate")
        whose = "" if served is None else f" ({served} by the candidate)"
        return f"users: {answered} answered{whose}, {sum(counts)} failed"

    def _misbehave(self, now: dict[str, Any]) -> None:
        """Begin the fault once its stage soaks."""
        fault = self.fault
        if fault is None or not now["stages"] or now["stages"][-1]["key"] != fault.stage:
            return
        # once, whatever comes of it
        self.fault = None
        whose = {"candidate": "the candidate", "baseline": "the baseline"}.get(
            fault.fault.to, fault.fault.to)
        self.show(f"fault {fault.kind}: {whose}: {fault.fault.about}")
        if not self.faults.begin(fault.kind, fault.fault):
            self.show(f"{whose} did not answer the fault's request, as after a crash")

    def _approve(self, now: dict[str, Any]) -> None:
        """Answer an approval, or show once where a person does it."""
        waiting = now["waiting_for"]
        if waiting is None:
            return
        key = f"{waiting['stage']} {waiting['approver']}"
        if key in self._answered:
            return
        alarm = waiting["guardrails"]
        if not self.approves:
            self._answered.add(key)
            if alarm:
                self.show(f"ALARM {alarm}")
            home = self.site.home.root
            self.show(f"APPROVE stage {waiting['stage']}: open {waiting['url']}, press Resume "
                      f"(or: changeover approve promote --approver YOU --home {home})")
            return
        objection = f"guardrail {alarm}" if alarm else self.objection(waiting["stage"])
        decision = "rollback" if objection else "promote"  # nobody is there to know better
        try:
            self.site.prefect.resume(now["cutover"]["flow_run_id"], {
                "decision": decision, "approver": f"demo-{waiting['approver']}",
                "comment": objection or "approved by --approve"})
        except (Refused, Unreachable):
            return  # not suspended yet: asked again in half a second
        self._answered.add(key)
        self.show(f"answered {decision} for stage {waiting['stage']}"
                  + (f": {objection}" if objection else ""))

    def _fail_if_refused(self, run_id: str, now: dict[str, Any] | None) -> None:
        """Stop when the run ended without ever beginning a cutover."""
        if now is None or now["cutover"] is not None:
            return
        try:
            run = self.site.prefect.run(run_id)
        # a run that cannot be asked about goes on: the next look is in half a second
        except Unreachable:
            return
        if run is not None and run.state_type in ("FAILED", "CANCELLED"):
            raise ChangeoverError(f"the run ended as {run.state_name}", where=run_id)

    def _end(self, now: dict[str, Any]) -> int:
        """Wait for what follows the end, say how it ended, and return the exit code."""
        deadline = time.monotonic() + REPORT_WAIT_SECONDS
        is_back = now["cutover"]["status"] == "rolled_back"
        while time.monotonic() < deadline:
            now = self._status() or now
            # the report of a rollback is rendered anew when its last step is done
            if now["report"] and not (is_back and _is_open(now)):
                break
            time.sleep(0.5)
        outcome = now["cutover"]
        self.show(f"{outcome['status']}: {outcome['outcome']}")
        self.show(self._users())
        self.show(f"report: {now['report'] or 'not rendered'}")
        return EXIT_CODES[outcome["status"]]


def stats_file(home: Home) -> Path:
    """Return where the load writes its figures."""
    return home.root / "load.json"


def _is_open(now: dict[str, Any]) -> bool:
    """Whether a rollback's further steps, or the report that tells of them, are still to come."""
    ended = (now["rollback"] or {}).get("ended_at")
    return ended is None or datetime.fromisoformat(now["report_at"]) < datetime.fromisoformat(ended)
