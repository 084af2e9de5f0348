"""A question's Markdown on the page: words, tables, and no markup of its own."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from changeover.console.people import markdown

KNOWN = {"p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "ul", "ol", "li",
         "code", "pre", "blockquote", "hr", "br"}
PARTS = st.sampled_from([
    "**", "|", "\n", "- ", "# ", "`", "[x]", "(javascript:alert(1))", "<img src=x onerror=a>",
    "<script>", "![", "](//e)", "&lt;", "&#60;b&#62;", "---\n", "    ", "<https://e>", "[x]: //e",
    "\\<", "1. ", "> ", "|a|b|\n|---:|:--|\n", "\"'", "~~~\n", "style=x"])


def test_what_people_are_asked_is_read_as_prefect_shows_it() -> None:
    """Bold words and tables, and a link's words as they were written."""
    html = markdown("**Promote?**\n\n| gate | says |\n|---|---|\n| slo | pass |\n")
    assert "<strong>Promote?</strong>" in html
    assert "<td>slo</td>" in html
    assert "href" not in markdown("[x](javascript:alert(1))").replace("href=x", "")


@given(st.lists(PARTS, max_size=30))
def test_no_text_makes_another_element_or_attribute(parts: list[str]) -> None:
    """Whatever is put together: the elements are those of plain Markdown, without attributes."""
    for tag in re.findall(r"<(/?[^>]*)>", markdown("".join(parts))):
        name, _, attributes = tag.strip("/ ").partition(" ")
        assert name in KNOWN, tag
        plain = re.sub(r'(class="language-[^"<>]*"|start="\d+"|/)', "",
                       attributes)
        assert not plain.strip(), tag
