"""The suite `pipeline`: pages go the whole way, from a picture over HTTP to text that is right.

    python -m examples.ocr.pipeline --url http://127.0.0.1:8202

Exit code 1 when a kind of page is read with too many wrong characters, or too unsure.
"""

from __future__ import annotations

import argparse
import sys
from statistics import mean

import httpx

from examples.ocr import pages

OF_EACH = 3
MOST_WRONG = 0.05
LEAST_CONFIDENCE = 0.80


def examine(client: httpx.Client, seed: int) -> list[str]:
    """Have pages of every style read; return what is wrong, and print the figures.

    Args:
        client: Talks to the service.
        seed: Which pages.
    """
    problems = []
    known = pages.load(seed).values()
    for style in pages.STYLES:
        found = [_read(client, page) for page in list(
            page for page in known if page.style == style)[:OF_EACH]]
        wrong, confidence = (mean(each) for each in zip(*found, strict=True))
        print(f"{style:<8} wrong characters {wrong:.2%}  confidence {confidence:.3f}")
        if wrong > MOST_WRONG:
            problems.append(f"{style}: {wrong:.2%} of the characters are wrong, more than "
                            f"{MOST_WRONG:.0%}")
        if confidence < LEAST_CONFIDENCE:
            problems.append(f"{style}: confidence {confidence:.3f} is below {LEAST_CONFIDENCE}")
    return problems


def _read(client: httpx.Client, page: pages.Page) -> tuple[float, float]:
    answer = client.post(
        "/ocr", content=pages.picture(page), headers={"content-type": "image/png"})
    read = answer.raise_for_status().json()
    return pages.character_error_rate(read["text"], page.text), read["confidence"]


def main() -> int:
    """Read the arguments and examine; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="Address of the service.")
    parser.add_argument("--seed", type=int, default=pages.STAGING_SEED, help="Which pages.")
    arguments = parser.parse_args()
    with httpx.Client(base_url=arguments.url, timeout=60, trust_env=False) as client:
        problems = examine(client, arguments.seed)
    print("\n".join(problems) or "every kind of page is read well")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
