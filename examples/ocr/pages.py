"""Pages whose text is known: small invoices, drawn in several fonts, sizes, angles and noises.

Everything follows from the page's number and the seed: both systems, the users and the tests know
the same pages, and how many characters of an answer are wrong is known exactly.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rapidfuzz.distance import Levenshtein

PRODUCTION_SEED = 1
STAGING_SEED = 4001
"""Test data of the staging deployment: other invoices than users send."""
COUNT = 60
WIDTH = 340
MARGIN = 14
FONTS = (
    "DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf",
    "DejaVuSans-Bold.ttf",
)
"""From matplotlib's wheel: the same on every machine."""
_GOODS = (
    "paper", "toner", "cartridge", "cable", "keyboard", "monitor", "delivery", "transport",
    "training", "licence", "repair", "printer", "folder", "stapler", "lamp", "desk",
)


@dataclass(frozen=True)
class Style:
    """How a page is drawn.

    Args:
        size: Height of the letters in pixels.
        angle: Rotation in degrees; every second page of the style is turned the other way.
        noise: Standard deviation of the noise, in grey levels (0..255).
        blur: Radius of the blur in pixels.
    """

    size: int = 18
    angle: float = 0.0
    noise: float = 0.0
    blur: float = 0.0


STYLES = {
    "plain": Style(), "large": Style(size=24), "small": Style(size=14),
    "rotated": Style(angle=2.5), "noisy": Style(noise=36), "blurred": Style(blur=1.2),
}


@dataclass(frozen=True)
class Page:
    """One page: what stands on it, and how it is drawn.

    Args:
        key: Its name in addresses, as `noisy-0011`.
        lines: Its true text.
        style: Name of its style.
        font: File of its font.
        seed: Seed of its noise.
    """

    key: str
    lines: tuple[str, ...]
    style: str
    font: str
    seed: int

    @property
    def text(self) -> str:
        """The true text, one line below the other."""
        return "\n".join(self.lines)


def load(seed: int = PRODUCTION_SEED, count: int = COUNT) -> dict[str, Page]:
    """Return pages by key, always the same ones for a seed.

    Args:
        seed: Which pages.
        count: How many; the styles come in turn.
    """
    names = list(STYLES)
    pages = [_page(seed, number, names[number % len(names)]) for number in range(count)]
    return {page.key: page for page in pages}


def _page(seed: int, number: int, style: str) -> Page:
    chance = random.Random(f"{seed} {number}")
    lines = (
        f"Invoice {chance.randrange(1000, 10_000)}/2026",
        f"{chance.randrange(2, 10)} {chance.choice(_GOODS)} {chance.choice(_GOODS)} "
        f"{chance.randrange(5, 100)}.{chance.randrange(10, 100)}",
        f"Total EUR {chance.randrange(100, 1000)}.{chance.randrange(10, 100)}",
    )
    return Page(
        f"{style}-{number:04d}", lines, style, chance.choice(FONTS), chance.randrange(1 << 30))


@lru_cache(maxsize=4 * COUNT)
def picture(page: Page) -> bytes:
    """Return a page as PNG, as a scanner would send it."""
    style = STYLES[page.style]
    drawn = _drawn(page, style)
    if style.angle:
        turned = style.angle if page.seed % 2 else -style.angle
        drawn = drawn.rotate(turned, fillcolor=255, resample=Image.Resampling.BICUBIC)
    if style.blur:
        drawn = drawn.filter(ImageFilter.GaussianBlur(style.blur))
    if style.noise:
        grey = np.asarray(drawn, dtype=float)
        grey = grey + np.random.default_rng(page.seed).normal(0, style.noise, grey.shape)
        drawn = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    written = io.BytesIO()
    drawn.save(written, "PNG")
    return written.getvalue()


def _drawn(page: Page, style: Style) -> Image.Image:
    step = round(style.size * 1.55)
    drawn = Image.new("L", (WIDTH, step * len(page.lines) + 2 * MARGIN), 255)
    font = ImageFont.truetype(_font_file(page.font), style.size)
    for number, line in enumerate(page.lines):
        ImageDraw.Draw(drawn).text((MARGIN, MARGIN + number * step), line, fill=20, font=font)
    return drawn


def _font_file(name: str) -> str:
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)


def character_error_rate(read: str, true: str) -> float:
    """Return the share of wrong characters: edits from `read` to `true` by the length of `true`.

    Line breaks and several blanks count as one blank: layout is no mistake. It is at most 1.
    """
    given, wanted = " ".join(read.split()), " ".join(true.split())
    return min(1.0, Levenshtein.distance(given, wanted) / max(1, len(wanted)))
