"""XML and HTML as trees: elements, and reading XML. Pure.

XML is read by expat, which expands the entities of a document within bounds of its own, and never
fetches anything. What is left out: comments, processing instructions, the document type, and
blanks that stand alone between elements (but for `xml:space="preserve"`). HTML: pages.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.entities import name2codepoint
from typing import Any
from xml.parsers import expat

from changeover.comparison.texts import Unparsable
from changeover.plan.paths import Name

MOST_DEPTH = 1_000
MOST_CHARACTERS = 8 * 1_048_576
"""Of all texts and attributes together, with their entities expanded."""
_XHTML = "{http://www.w3.org/1999/xhtml}"
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_ENTITIES = "".join(f'<!ENTITY {name} "&#38;#{code};">' for name, code in name2codepoint.items())
"""What pages in XHTML may expect of their document type; no document type is ever fetched."""
MOST_ENTITY = 100_000
_REFERENCE = re.compile(r"&([^\W\d][\w.:-]*);")
_CDATA = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL)
Item = Any  # an Element, or a text


@dataclass(slots=True, eq=False)
class Element:
    """An element: `items` are texts and elements in their order.

    `digest` is equal for elements that are equal; `seen` for those that rules see as equal.
    """

    name: Name
    attributes: dict[str, str]
    items: list[Item] = field(default_factory=list)
    digest: bytes = b""
    seen: bytes = b""

    @property
    def is_leaf(self) -> bool:
        """Whether there is no element in it."""
        return all(type(item) is str for item in self.items)

    @property
    def text(self) -> str:
        """The texts that stand in it directly."""
        return "".join(item for item in self.items if type(item) is str)

    def __repr__(self) -> str:
        """Return it for people; of one with elements only how many there are."""
        tag = " ".join([self.name.local, *self.attributes])
        if self.is_leaf:
            return f"<{tag}>{self.text}"
        return f"<{tag}> with {sum(type(item) is Element for item in self.items)} elements"


def read_xml(text: str) -> Element:
    """Return the root element of a document.

    Raises:
        Unparsable: Not well-formed, nested deeper than `MOST_DEPTH`, or larger than anybody means.
    """
    try:
        return _Reader("}").read(text)
    except expat.ExpatError as error:
        if error.code != expat.errors.codes[expat.errors.XML_ERROR_UNBOUND_PREFIX]:
            raise Unparsable(f"not XML: {error}") from error
    # Without namespaces: prefixes that mean nothing are parts of names.
    try:
        return _Reader(None).read(text)
    except expat.ExpatError as error:
        raise Unparsable(f"not XML: {error}") from error


class _Reader:
    """Builds the tree of one document."""

    def __init__(self, separator: str | None) -> None:
        self._parser = expat.ParserCreate("utf-8", separator)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._open
        self._parser.EndElementHandler = self._close
        self._parser.CharacterDataHandler = self._add
        self._parser.SetParamEntityParsing(
            expat.XML_PARAM_ENTITY_PARSING_UNLESS_STANDALONE)
        self._parser.ExternalEntityRefHandler = self._document_type
        self._parser.EntityDeclHandler = self._declare
        self._parser.EndDoctypeDeclHandler = self._end_document_type
        self._text = ""
        self._entities = dict.fromkeys(("amp", "lt", "gt", "quot", "apos"), 1)
        self._has_document_type = False
        self._size = 0
        self._parts: list[str] = []
        self._document = Element(Name("{}"), {})
        self._stack: list[tuple[Element, bool]] = [(self._document, False)]

    def read(self, text: str) -> Element:
        """Return the root element."""
        self._text = text
        try:
            self._parser.Parse(text, True)
        finally:
            # It holds this object, and nobody should have to collect both.
            del self._parser
        (root,) = self._document.items
        return root  # type: ignore[no-any-return]

    def _document_type(self, context: str | None, *_: str | None) -> int:
        """Stand in for the external document type, once; whatever else is external is refused."""
        if self._has_document_type or self._stack[1:]:
            return 0
        self._has_document_type = True
        self._parser.ExternalEntityParserCreate(context).Parse(_ENTITIES, True)
        return 1

    def _declare(self, name: str, is_parameter: bool, value: str | None, *_: str | None) -> None:
        """Note how long an entity is with those in it expanded; the first declaration counts."""
        if is_parameter or name in self._entities:
            return
        size = len(value or "")
        # Counted, not expanded: ten entities of ten others each would fill the memory.
        for inner in _REFERENCE.findall(value or ""):
            size += self._entities.get(inner, 0)
        if size > MOST_ENTITY:
            raise Unparsable(f"XML with an entity of more than {MOST_ENTITY} characters")
        self._entities[name] = size

    def _end_document_type(self) -> None:
        """Refuse entities that nobody declares: expat would read them as nothing."""
        # In sections of CDATA and in comments `&name;` is a text.
        used = {*_REFERENCE.findall(_CDATA.sub("", self._text))}
        for name in used - self._entities.keys():
            raise Unparsable(f"XML with an entity that is not declared: &{name};")

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._stack) > MOST_DEPTH:
            raise Unparsable(f"XML nested deeper than {MOST_DEPTH} elements")
        self._flush()
        above, keeps_blanks = self._stack[-1]
        space = attributes.get("http://www.w3.org/XML/1998/namespace}space")
        self._grow(sum(map(len, attributes.values())))
        named: dict[str, str] = {}
        for key, value in attributes.items():
            named[_attribute(key)] = value
        found = Element(_name(name), named)
        above.items.append(found)
        # What says nothing of blanks does as the element around it.
        if space is not None:
            keeps_blanks = space == "preserve"
        self._stack.append((found, keeps_blanks))

    def _close(self, _name: str) -> None:
        self._flush()
        found, keeps_blanks = self._stack.pop()
        if keeps_blanks or len(found.items) < 2:
            return
        if found.name.startswith(_XHTML):
            found.items = collapsed(found.items, found.name.local)
        elif not found.text.strip(" \t\r\n"):
            # Only blanks between its elements: how the document is indented says nothing.
            found.items = [item for item in found.items if type(item) is not str]

    def _add(self, text: str) -> None:
        self._grow(len(text))
        self._parts.append(text)

    def _flush(self) -> None:
        """End a text: comments and sections of CDATA do not."""
        if self._parts:
            self._stack[-1][0].items.append("".join(self._parts))
            self._parts.clear()

    def _grow(self, number: int) -> None:
        self._size += number
        if self._size > MOST_CHARACTERS:
            raise Unparsable(f"XML with more than {MOST_CHARACTERS} characters")


def _name(name: str) -> Name:
    return Name("{" + name if "}" in name else "{}" + name)


def _attribute(name: str) -> Name:
    return Name("@{" + name if "}" in name else "@" + name)


_AS_WRITTEN = frozenset({"pre", "textarea", "listing"})
_HIDDEN = frozenset({"script", "style"})
_INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "button", "canvas", "cite", "code",
    "data", "del", "dfn", "em", "font", "i", "iframe", "img", "input", "ins", "kbd", "label",
    "map", "mark", "math", "meter", "object", "output", "picture", "progress", "q", "rp", "rt",
    "ruby", "s", "samp", "select", "small", "span", "strike", "strong", "sub", "sup", "svg",
    "textarea", "time", "tt", "u", "var", "video", "audio", "wbr",
})


def collapsed(items: list[Item], name: str) -> list[Item]:
    """Return what stands in an element of a page with blanks as a browser shows them.

    Several are one. At the edge of a block, and between two blocks, they are none.
    """
    if name in _AS_WRITTEN:
        return items
    if name in _HIDDEN:
        return _stripped(items)
    found: list[Item] = []

    def is_edge(at: int) -> bool:
        if 0 <= at < len(items):
            return _is_block(items[at])
        return name not in _INLINE  # the end of the element itself

    for at, item in enumerate(items):
        if type(item) is str:
            item = _BLANKS.sub(" ", item)
            if is_edge(at - 1):
                item = item.removeprefix(" ")
            if is_edge(at + 1):
                item = item.removesuffix(" ")
        if item != "":
            found.append(item)
    return found


def _stripped(items: list[Item]) -> list[Item]:
    """Return what stands in an element that browsers do not show, without blanks around texts."""
    found = []
    for item in items:
        if type(item) is str:
            item = item.strip()
        if item != "":
            found.append(item)
    return found


def _is_block(item: Item) -> bool:
    local = item.name.local if type(item) is Element else ""
    # Elements with a hyphen are a page's own; browsers show them within the line.
    return bool(local) and local not in _INLINE and "-" not in local
