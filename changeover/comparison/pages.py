"""HTML as trees, as browsers build them. Pure.

lexbor follows the HTML standard, so a page with `<li>` that nobody closed is the tree that it is in
a browser (docs/decisions/). The standard itself lets a page of a megabyte become gigabytes, or take
minutes: what such a page would cost is estimated before it is read.
"""

from __future__ import annotations

import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from changeover.comparison.markup import MOST_DEPTH, Element, collapsed
from changeover.comparison.texts import Unparsable, decode, mark_of
from changeover.plan.paths import Name

MOST_WORK = 2_000_000
"""Open elements that a browser may examine, or open again, for all tags together."""
MOST_NODES = 200_000
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|textarea|title|xmp|noscript)\b.*?(?:</\1|\Z)|"
    r"<(/?)([a-zA-Z][^\s/>]*)([^>]*)", re.DOTALL | re.IGNORECASE)
_SEPARATOR = re.compile(r"[\s/\"']")
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
})
_ENDED_BY_NEXT = frozenset({
    "a", "body", "caption", "colgroup", "dd", "dt", "head", "html", "li", "nobr", "optgroup",
    "option", "p", "rp", "rt", "tbody", "td", "tfoot", "th", "thead", "tr",
})
"""Elements that are ended by the next of their kind, whether they are closed or not."""
_DRAWN = frozenset({
    "circle", "ellipse", "g", "image", "line", "path", "polygon", "polyline", "rect", "stop", "use",
})
"""Elements of SVG that pages close at once: `<path d="…"/>`."""
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_LATIN = frozenset({"iso-8859-1", "latin1", "latin-1", "ascii", "us-ascii"})


def read_page(body: bytes, charset: str) -> Element:
    """Return a page's `html` element.

    Raises:
        Unparsable: Not text in its charset, or nested as no page is.
    """
    text = decode(body, _charset_of(body, charset))
    if _work(text) > MOST_WORK:
        raise Unparsable("HTML nested deeper than it can be read")
    return _tree(LexborHTMLParser(text).root)


def _charset_of(body: bytes, charset: str) -> str:
    """Return the encoding that a browser uses: of the mark, the header, the page itself, UTF-8."""
    if not charset and not mark_of(body)[0]:
        # As far as the standard looks.
        found = _META.search(body[:1024])
        charset = found.group(1).decode("ascii", "replace") if found else ""
        # It could not have been found, were it true.
        if charset.lower().startswith("utf-16"):
            charset = ""
    return "windows-1252" if charset.lower() in _LATIN else charset or "utf-8"


def _work(text: str) -> float:
    """Return an upper bound of what a page costs: the elements open at each tag, together."""
    work, is_open = 0.0, 0
    for found in _TAG.finditer(text):
        _, slash, name, rest = found.groups()
        if name is None:
            continue
        name = name.lower()
        work += is_open
        # Each attribute is compared with those before it: that grows with the square.
        if len(rest) > 1_000:
            work += len({*_SEPARATOR.split(rest)}) ** 2 / 500
        if name in _VOID or name in _ENDED_BY_NEXT or (name in _DRAWN and rest[-1:] == "/"):
            continue
        is_open = max(0, is_open - 1) if slash else is_open + 1
    return work


def _tree(root: Any) -> Element:
    """Return lexbor's tree as ours."""
    document = Element(Name("{}"), {})
    stack: list[tuple[Any, Element, int]] = [(root, document, 1)]
    elements: list[Element] = []
    while stack:
        node, above, depth = stack.pop()
        tag = node.tag
        if tag == "-text":
            above.items.append(node.text_content or "")
            continue
        if tag[:1] in "-!":  # comments and the document type
            continue
        if depth > MOST_DEPTH or len(elements) > MOST_NODES:
            raise Unparsable(f"HTML nested deeper than {MOST_DEPTH} elements, or with more than "
                             f"{MOST_NODES}")
        attributes: dict[str, str] = {}
        for key, value in node.attributes.items():
            attributes[Name("@" + key)] = value or ""
        found = Element(Name("{}" + tag), attributes)
        above.items.append(found)
        elements.append(found)
        stack += [(each, found, depth + 1) for each in reversed(_children(node))]
    # Inner ones first, and only now: a text's blanks depend on what stands beside it.
    for found in reversed(elements):
        found.items = collapsed(_joined(found.items), found.name.local)
    (page,) = document.items
    return page  # type: ignore[no-any-return]


def _children(node: Any) -> list[Any]:
    """Return what stands in an element; in a template, what it is made of."""
    if node.tag == "template":
        node = node.template_fragments()[0]
    found: list[Any] = []
    child = node.child
    while child is not None:
        found.append(child)
        child = child.next
    return found


def _joined(items: list[Any]) -> list[Any]:
    """Return items with neighbouring texts, between which a comment stood, as one."""
    found: list[Any] = []
    for item in items:
        if type(item) is str and found and type(found[-1]) is str:
            found[-1] += item
        else:
            found.append(item)
    return found
