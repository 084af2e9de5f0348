"""Comparing two JSON answers, from bytes to every divergence: ours, deepdiff 9, deepdiff-rs.

    python -m benchmarks.comparison
    python -m benchmarks.comparison --sizes 2 20 --repeats 9

Same inputs, one process, one run. For each size (KB) and change: the CPU time of one comparison and
its ratio to the peers and to `orjson.loads` of both documents: medians over rounds in which the
sides take turns, so that a busy machine slows all of them. Every side parses the bytes itself and
must find the same number of changed leaves, or the benchmark stops. None of them writes values as
text: the peers return the values themselves, ours writes them when they are read.
"""

from __future__ import annotations

import argparse
import functools
import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import deepdiff_rs
import orjson
from deepdiff import DeepDiff

from changeover.comparison.answers import compare_bodies
from changeover.comparison.rules import ArrayMode, Rule, RuleSet

KEYED = RuleSet([("$.items", Rule(array=ArrayMode.KEYED, key="id"))])
ORDERED = RuleSet()
JSON = "application/json"
WORDS = ["red", "green", "blue", "steel", "oak", "long", "short"]


def document(kilobytes: int, chance: random.Random) -> dict[str, Any]:
    """Return an order-like document of about `kilobytes` KB: items of nine leaves each."""
    items: list[dict[str, Any]] = []
    size = 0
    while size < kilobytes * 1000:
        item = {
            "id": len(items), "sku": f"SKU-{chance.randrange(10**6):06d}",
            "name": " ".join(chance.choices(WORDS, k=4)),
            "price": chance.randrange(100, 99_999) / 100, "quantity": chance.randrange(1, 50),
            "in_stock": chance.random() < 0.8, "tags": chance.sample(["new", "sale", "eco"], 2),
            "size": {"width": chance.randrange(1000), "height": chance.randrange(1000)},
        }
        size += len(orjson.dumps(item))
        items.append(item)
    return {"order": "A-17", "customer": {"name": "Ana", "country": "PT"}, "items": items}


def changed(original: dict[str, Any], leaves: int, chance: random.Random) -> dict[str, Any]:
    """Return a copy in which `leaves` prices and quantities differ."""
    copy = orjson.loads(orjson.dumps(original))
    places = [(item, field) for item in copy["items"]
              for field in ("price", "quantity", "sku", "name")]
    for item, field in chance.sample(places, leaves):
        value = item[field]
        item[field] = value + "x" if isinstance(value, str) else value + 1
    return copy


def ours(a: bytes, b: bytes, rules: RuleSet) -> int:
    """Compare with ours; return how many leaves differ."""
    return len(compare_bodies(a, b, (JSON, JSON), rules).divergences)


def deepdiff(a: bytes, b: bytes, options: dict[str, Any]) -> int:
    """Compare with deepdiff; return how many leaves differ."""
    found = DeepDiff(orjson.loads(a), orjson.loads(b), **options)
    return sum(len(group) for group in found.values())


def deepdiff_in_rust(a: bytes, b: bytes, options: dict[str, Any]) -> int:
    """Compare with deepdiff-rs; return how many leaves differ."""
    found = deepdiff_rs.DeepDiff(orjson.loads(a), orjson.loads(b), **options).to_dict()
    return sum(len(group) for group in found.values())


def rounds(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Return the CPU seconds of one call of each side in each round.

    Short calls are timed in bundles of 5 ms; one that takes a second is timed once.
    """
    bundles, times = {}, {}
    for name, side in sides.items():
        side()
        began = time.process_time()
        side()
        once = time.process_time() - began
        bundles[name] = max(1, int(0.005 / max(once, 1e-6)))
        times[name] = [once] if once >= 1 else []
    for _ in range(repeats):
        for name, side in sides.items():
            if not times[name] or times[name][0] < 1:
                began = time.process_time()
                for _ in range(bundles[name]):
                    side()
                times[name].append((time.process_time() - began) / bundles[name])
    return times


def ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    """Return the median of the rounds' ratios; of the medians, when one was timed once."""
    if len(times[name]) != len(times[other]):
        return statistics.median(times[name]) / statistics.median(times[other])
    return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))


def measure(
    a: bytes, b: bytes, *, is_keyed: bool, leaves: int, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of each side for one pair, round by round."""
    rules = KEYED if is_keyed else ORDERED
    options: dict[str, Any] = {"ignore_order": True} if is_keyed else {}
    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(a, b, rules),
        "deepdiff": lambda: deepdiff(a, b, options),
        "deepdiff-rs": lambda: deepdiff_in_rust(a, b, options),
    }
    for name, side in sides.items():
        found = side()
        if found != leaves and (name == "ours" or not is_keyed):
            raise SystemExit(f"{name} found {found} of {leaves} changed leaves")
    return rounds({**sides, "loads": lambda: (orjson.loads(a), orjson.loads(b))}, repeats)


def main() -> None:
    """Measure every pair and print the ratios."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--sizes", type=int, nargs="+", default=[2, 20, 200], metavar="KB")
    options.add_argument("--repeats", type=int, default=7)
    given = options.parse_args()
    gc.freeze()  # for all sides alike, as the shadow service does
    gc.set_threshold(20_000, 20, 50)
    print(f"{'pair':28}{'ours':>10}{'/loads':>8}{'deepdiff/ours':>15}{'deepdiff-rs/ours':>18}")
    for kilobytes in given.sizes:
        chance = random.Random(7)
        original = document(kilobytes, chance)
        tenth = max(1, len(original["items"]) * 10 // 10)
        for what, leaves, is_keyed in (
            ("one leaf", 1, False), ("10 % of leaves", tenth, False),
            ("shuffled, one leaf", 1, True),
        ):
            other = changed(original, leaves, chance)
            if is_keyed:
                chance.shuffle(other["items"])
            a, b = orjson.dumps(original), orjson.dumps(other)
            t = measure(a, b, is_keyed=is_keyed, leaves=leaves, repeats=given.repeats)
            print(f"{f'{kilobytes} KB, {what}':28}{statistics.median(t['ours']) * 1e6:8.0f}µs"
                  f"{ratio(t, 'ours', 'loads'):8.2f}{ratio(t, 'deepdiff', 'ours'):15.0f}"
                  f"{ratio(t, 'deepdiff-rs', 'ours'):18.2f}", flush=True)
        body = orjson.dumps(original)
        same = rounds({"same": functools.partial(ours, body, body, ORDERED)}, given.repeats)
        print(f"{f'{kilobytes} KB, identical bytes':28}"
              f"{statistics.median(same['same']) * 1e6:8.1f}µs")


if __name__ == "__main__":
    main()
