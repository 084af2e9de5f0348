"""Unit tests of the parts, as the suite `unit` of the plan runs them on the machine that deploys.

    python -m unittest examples.ocr.units
"""

from __future__ import annotations

import unittest

from examples.ocr import pages
from examples.ocr.engine import Piece, Unreadable, assemble
from examples.ocr.pixels import MOST_PIXELS, opened
from examples.ocr.rapid import Rapid
from examples.ocr.tesseract import Tesseract


class Pages(unittest.TestCase):
    """The pages and what is known of them."""

    def test_the_same_seed_gives_the_same_pages(self) -> None:
        """Everybody who names a seed means the same pages."""
        page = pages.load(7)["noisy-0004"]
        self.assertEqual(page, pages.load(7)["noisy-0004"])
        self.assertEqual(pages.picture(page), pages.picture(page))
        self.assertNotEqual(page.text, pages.load(8)["noisy-0004"].text)

    def test_wrong_characters_are_counted(self) -> None:
        """One wrong character of ten is a tenth; layout is no mistake."""
        self.assertEqual(pages.character_error_rate("0123 56789", "0123456789"), 0.1)
        self.assertEqual(pages.character_error_rate(" a  b\nc", "a b c"), 0.0)
        self.assertEqual(pages.character_error_rate("", "abc"), 1.0)


class Reading(unittest.TestCase):
    """From pieces of text to a page."""

    def test_pieces_stand_in_reading_order(self) -> None:
        """Whatever order an engine finds them in, and a long piece counts for more."""
        found = assemble([
            Piece("below", 1.0, 10, 60, 20), Piece("right", 0.5, 90, 21, 20),
            Piece("left", 1.0, 10, 19, 20)])
        self.assertEqual(found.text, "left right\nbelow")
        self.assertAlmostEqual(found.confidence, (4 + 2.5 + 5) / 14)

    def test_what_is_no_picture_is_refused(self) -> None:
        """Neither nonsense nor a picture that would fill the memory reaches an engine."""
        for wrong in (b"", b"nonsense", pages.picture(pages.load()["plain-0000"])[:100]):
            with self.assertRaises(Unreadable):
                opened(wrong)
        self.assertGreater(MOST_PIXELS, 1_000_000)

    def test_both_engines_read_a_plain_page(self) -> None:
        """Without a wrong character, and they are sure of it."""
        page = pages.load()["plain-0000"]
        for engine in (Tesseract(), Rapid()):
            found = engine.read(pages.picture(page))
            self.assertEqual(pages.character_error_rate(found.text, page.text), 0.0)
            self.assertGreater(found.confidence, 0.8)


if __name__ == "__main__":
    unittest.main()
