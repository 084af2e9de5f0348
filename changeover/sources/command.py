"""Asking a program: without a shell, within a time, and nothing that it started stays."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from changeover.plan.sources import CommandMetric, CommandSource
from changeover.sources import filling
from changeover.sources.answer import Answer, NoAnswer
from changeover.sources.filling import Values
from changeover.sources.json_http import answer_in
from changeover.sources.secrets import read_variable

LARGEST_OUTPUT = 64 << 10
GIVEN = ("PATH", "HOME", "LANG", "TZ")
"""Variables that every program gets; all others only when the plan names them."""
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it printed."""

    code: int
    output: bytes
    errors: bytes


class Commands:
    """Programs on this machine.

    Args:
        source: As the plan has it.
        folder: The folder that the working directory is relative to.
    """

    def __init__(self, source: CommandSource, folder: Path) -> None:
        self._source = source
        self._folder = folder / source.directory if source.directory else folder

    def query(self, metric: CommandMetric, values: Values) -> str:
        """Return what is started."""
        return " ".join(filling.words(metric.command, values))

    def ask(self, metric: CommandMetric, values: Values) -> Answer:
        """Run the program, and return the number that it prints."""
        seconds = self._source.timeout.total_seconds()
        command = filling.words(metric.command, values)
        ended = run(command, self._folder, self._variables(), seconds)
        if ended.code != 0:
            last = ended.errors.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise NoAnswer(f"it ended with {ended.code}" + "".join(f": {_line(each)}"
                                                                   for each in last))
        if metric.value is not None:
            return answer_in(ended.output, metric)
        return Answer(ended.output.decode("utf-8", "replace").strip())

    def _variables(self) -> dict[str, str]:
        # not ours as a whole: it has the credentials of all other sources
        given = {name: os.environ[name] for name in GIVEN if name in os.environ}
        return given | {name: read_variable(name) for name in self._source.env}


def _line(text: str) -> str:
    return "".join(each for each in text if each.isprintable())[:200]


def run(command: list[str], folder: Path, variables: dict[str, str], seconds: float) -> Ended:
    """Run a program to its end; whatever it started ends with it.

    Args:
        command: Program and arguments, which no shell reads.
        folder: Its working directory.
        variables: Its whole environment.
        seconds: How long it may take.

    Raises:
        NoAnswer: It cannot be started, takes too long, or prints too much.
    """
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name or an argument has a zero byte"
        raise NoAnswer(f"{command[0]} cannot be started: {reason}") from None
    try:
        return _read(process, time.monotonic() + seconds, seconds)
    finally:
        _end(process)


def _read(process: subprocess.Popen[bytes], deadline: float, seconds: float) -> Ended:
    """Read what a program prints until it ends; its children may hold the pipes for longer."""
    printed: dict[str, bytearray] = {"output": bytearray(), "errors": bytearray()}
    with selectors.DefaultSelector() as waiting:
        for name, pipe in (("output", process.stdout), ("errors", process.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                waiting.register(pipe, selectors.EVENT_READ, name)
        while True:
            code = process.poll()
            is_quiet = not _drain(waiting, printed)
            if len(printed["output"]) > LARGEST_OUTPUT:
                raise NoAnswer(f"it printed more than {LARGEST_OUTPUT >> 10} kB")
            if code is not None and is_quiet:
                return Ended(code, bytes(printed["output"]), bytes(printed["errors"]))
            if time.monotonic() > deadline:
                raise NoAnswer(f"it did not end within {seconds:g} s and was killed",
                               is_passing=True)


def _drain(waiting: selectors.BaseSelector, printed: dict[str, bytearray]) -> bool:
    """Read what is there, waiting a moment for it; whether anything was."""
    if not waiting.get_map():
        time.sleep(PAUSE_SECONDS)
        return False
    has_read = False
    for key, _ in waiting.select(PAUSE_SECONDS):
        pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
        part = pipe.read(LARGEST_OUTPUT)
        if part:
            has_read = True
            known = printed[key.data]
            known += part
            if key.data == "errors":  # only its end is told
                del known[:-LARGEST_OUTPUT]
        else:
            waiting.unregister(pipe)
    return has_read


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with all that it started, also what made itself a session of its own."""
    try:
        started = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
