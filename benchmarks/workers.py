"""Running many simulated stages on all cores, each with chance of its own."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.stages import Kind

SEED = 20_261_129
Found = TypeVar("Found")


def random_of(kind: Kind, run: int, purpose: str = "") -> np.random.Generator:
    """Return the chance of one stage: always the same, and another for each."""
    what = (SEED, run, kind.users, int(kind.share * 1e6), kind.weight, kind.is_slow,
            zlib.crc32(purpose.encode()))
    return np.random.default_rng(what)


def many(work: Callable[[int], Found], stages: int) -> list[Found]:
    """Return the work's results for the stages 0, 1, …, on all cores that `taskset` leaves."""
    with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        return pool.map(work, range(stages), chunksize=max(1, stages // 40))
