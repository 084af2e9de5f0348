"""XML and HTML: what differs, what does not, which rules hold where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.answers import compare_bodies
from changeover.comparison.rules import NO_RULES, ArrayMode, Rule, RuleSet
from changeover.comparison.similarity import Comparison, Kind
from tests.support.examples import MANY

XML, HTML = "application/xml", "text/html"
SOAP = ('<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body>'
        "</s:Envelope>")
BODY = "/{http://schemas.xmlsoap.org/soap/envelope/}Envelope/Body"


def compared(one: str | bytes, other: str | bytes, rules: RuleSet = NO_RULES,
             kind: str = XML) -> Comparison:
    bodies = [text.encode() if isinstance(text, str) else text for text in (one, other)]
    return compare_bodies(*bodies, (kind, kind), rules)


def rules_for(**patterns: Rule) -> RuleSet:
    return RuleSet(patterns.items())


def places(found: Comparison) -> list[tuple[str, str]]:
    return sorted((each.path, str(each.kind)) for each in found.divergences)


DIFFERENT = [
    ("<order><paid/></order>", "<order/>", [("/order/paid", "removed")]),
    ("<o><box><sku>A</sku></box><box><sku>B</sku></box></o>",
     "<o><box><sku>A</sku><sku>B</sku></box></o>",
     [("/o/box[1]/sku[2]", "added"), ("/o/box[2]", "removed")]),
    ("<a><b/><c/></a>", "<a><c/><b/></a>", [("/a/*", "order")]),
    ("<a><b>1</b><b>2</b></a>", "<a><b>2</b><b>1</b></a>", [("/a/b", "order")]),
    ("<a><b><c/></b></a>", "<a><b/><c/></a>", [("/a/b/c", "removed"), ("/a/c", "added")]),
    ("<a/>", "<b/>", [("/a", "removed"), ("/b", "added")]),
    ("<a>1</a>", "<a>2</a>", [("/a", "changed")]), ("<a> 1</a>", "<a>1</a>", [("/a", "changed")]),
    ("<a>1</a>", "<a/>", [("/a", "changed")]), ("<a> </a>", "<a/>", [("/a", "changed")]),
    ("<a>x<b/>y</a>", "<a>x<b/>z</a>", [("/a/text()[2]", "changed")]),
    ("<a>x<b/></a>", "<a><b/>x</a>", [("/a/*", "order")]),
    ("<a>x<b/></a>", "<a><b/></a>", [("/a/text()", "removed")]),
    ("<a>x<b/>y</a>", "<a>xy<b/></a>",
     [("/a/text()[1]", "changed"), ("/a/text()[2]", "removed")]),
    ('<a b="1"/>', '<a b="2"/>', [("/a/@b", "changed")]),
    ('<a b=""/>', "<a/>", [("/a/@b", "removed")]),
    ('<a b="1"/>', '<a c="1"/>', [("/a/@b", "removed"), ("/a/@c", "added")]),
    ('<a xmlns="u"/>', '<a xmlns="v"/>', [("/{u}a", "removed"), ("/{v}a", "added")]),
    ('<a xmlns="u"><b/></a>', '<a xmlns="u"><b xmlns=""/></a>',
     [("/{u}a/b", "removed"), ("/{u}a/{}b", "added")]),
    ('<a xmlns:x="u" x:b="1"/>', '<a xmlns:x="v" x:b="1"/>',
     [("/a/@{u}b", "removed"), ("/a/@{v}b", "added")]),
    ('<a xmlns:x="u" x:b="1"/>', '<a b="1"/>', [("/a/@b", "added"), ("/a/@{u}b", "removed")]),
    ("<a><i>1</i><i>2</i><i>3</i></a>", "<a><i>1</i><i>3</i></a>", [("/a/i[2]", "removed")]),
    ("<a><i><n>1</n></i><i><n>2</n></i></a>", "<a><i><n>1</n></i><i><n>3</n></i></a>",
     [("/a/i[2]/n", "changed")]),
    ('<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', '<!DOCTYPE a [<!ENTITY e "y">]><a>&e;</a>',
     [("/a", "changed")]),
    ('<a xml:space="preserve"><b/> </a>', '<a xml:space="preserve"><b/></a>',
     [("/a/text()", "removed")]),
    ("<x:a/>", "<y:a/>", [("/x:a", "removed"), ("/y:a", "added")]),  # nobody declares x or y
    (SOAP % '<o xmlns="urn:o"><n>1</n></o>', SOAP % '<o xmlns="urn:o"><n>2</n></o>',
     [(BODY + "/{urn:o}o/n", "changed")]),
]


@pytest.mark.parametrize(("one", "other", "expected"), DIFFERENT, ids=lambda value: str(value)[:40])
def test_difference_is_found_at_its_place(one: str, other: str, expected: Any) -> None:
    """Whatever it is: names, namespaces, parents, order, attributes, texts."""
    found = compared(one, other)
    assert places(found) == expected
    assert 0 <= found.similarity < 1
    assert compared(other, one).similarity == found.similarity


@pytest.mark.parametrize(("one", "other"), [
    ('<a b="1" c="2"/>', "<a c='2' b='1'></a>"),
    ('<x:a xmlns:x="u" x:b="1"><x:c/></x:a>', '<y:a xmlns:y="u" y:b="1"><y:c/></y:a>'),
    ('<x:a xmlns:x="u"><x:c/></x:a>', '<a xmlns="u"><c/></a>'),
    ("<a>x&lt;y</a>", "<a><![CDATA[x<y]]></a>"), ("<a>&#233;</a>", "<a>é</a>"),
    ("<a>x<!-- c -->y</a>", "<a>xy</a>"), ("<a><?pi x?><b/></a>", "<a><b/></a>"),
    ("<a><b>1</b><c/></a>", "<a>\n  <b>1</b>\n  <c/>\n</a>\n"),
    ('<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE a><a/>', "<a/>"),
    ("<a>é</a>", "<a>é</a>".encode("utf-16")), ("<a>é</a>", "\ufeff<a>é</a>"),
    ("<a>é</a>", '<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>'.encode("latin-1")),
    ("<a>漢</a>", '<?xml version="1.0" encoding="Shift_JIS"?><a>漢</a>'.encode("shift_jis")),
    ("<a>é</a>", '<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16-be")),
    ('<!DOCTYPE a [<!ENTITY e "x">]><a b="&e;">&e;</a>', '<a b="x">x</a>'),
    ('<!DOCTYPE html PUBLIC "x" "http://example.org/x.dtd"><html xmlns="http://www.w3.org/1999/xhtml">'
     '<p title="&nbsp;">&eacute;</p></html>',
     '<html xmlns="http://www.w3.org/1999/xhtml"><p title="&#160;">é</p></html>'),
], ids=lambda value: str(value)[:40])
def test_what_only_looks_different_is_the_same(one: str | bytes, other: str | bytes) -> None:
    """Prefixes, order of attributes, escapes, comments, blanks between elements, encodings."""
    assert compared(one, other).is_match


def test_charset_of_the_header_counts_before_the_declaration() -> None:
    """RFC 7303."""
    body = '<?xml version="1.0" encoding="utf-8"?><a>é</a>'.encode("latin-1")
    kinds = "text/xml; charset=iso-8859-1", "application/soap+xml"
    assert compare_bodies(body, "<a>é</a>".encode(), kinds).is_match


@pytest.mark.parametrize("kind", [
    "text/xml", "image/svg+xml", "application/soap+xml; charset=utf-8", "application/rss+xml",
    "application/atom+xml;type=entry", "application/vnd.x+XML", "application/xhtml+xml",
])
def test_every_type_of_xml_is_a_tree(kind: str) -> None:
    """Feeds, drawings, envelopes, pages."""
    (only,) = compared("<a><b/></a>", "<a/>", kind=kind).divergences
    assert (only.path, only.baseline) == ("/a/b", "<b>")


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("body", "words"), [
    ('<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
     + "]><a>&m;</a>", "an entity of more than"),
    (f'<!DOCTYPE a [<!ENTITY e "{"x" * 90_000}">]><a>{"&e;" * 50_000}</a>', "characters"),
    ('<!DOCTYPE a [<!ENTITY e "&f;"><!ENTITY f "&e;">]><a>&e;</a>', "XML"),
    ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "external entity"),
    ('<!DOCTYPE a [<!ENTITY % e SYSTEM "http://127.0.0.1:1/x"> %e; %e;]><a/>', "external entity"),
    ('<!DOCTYPE a SYSTEM "a.dtd"><a>&foo;</a>', "not declared: &foo;"),
    ("<a>&foo;</a>", "undefined entity"), ("<a>" * 1_001 + "</a>" * 1_001, "deeper than 1000"),
    ("<a><b></a>", "mismatched tag"), ("<a/><a/>", "junk after"), ('<a b="" b=""/>', "duplicate"),
], ids=lambda value: value[:40])
def test_document_that_cannot_be_read_is_told(body: str, words: str) -> None:
    """Bombs, what is fetched from elsewhere, what is too deep: never a match with a document."""
    (only,) = compared("<a/>", body).divergences
    assert (only.path, only.kind) == ("$", Kind.ERROR)
    assert words in str(only.candidate)
    assert not compared(body, body + " ").is_match


ITEMS = "<o><i id='{}' at='{}'><n>{}</n></i><i id='{}' at='{}'><n>{}</n></i></o>"


@pytest.mark.parametrize(("pattern", "rule", "one", "other"), [
    ("/o/i/@at", Rule(ignore=True), ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(1, 9, 3, 4, 9, 6)),
    ("/o/i[*]/@at", Rule(ignore=True), ITEMS.format(1, 2, 3, 4, 5, 6),
     ITEMS.format(1, 9, 3, 4, 9, 6)),
    ("//@at", Rule(ignore=True), ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(1, 9, 3, 4, 9, 6)),
    ("/o/i[2]/n", Rule(ignore=True), ITEMS.format(1, 2, 3, 4, 5, 6),
     ITEMS.format(1, 2, 3, 4, 5, 9)),
    ("/*/i/@*", Rule(ignore=True), ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(9, 9, 3, 9, 9, 6)),
    ("//n/text()", Rule(ignore=True), "<o><n>1</n></o>", "<o><n>2</n></o>"),
    ("//n", Rule(absolute=0.01), "<o><n>1.00</n></o>", "<o><n>1.01</n></o>"),
    ("//n", Rule(is_type_tolerant=True), "<o><n>1.0</n></o>", "<o><n>1</n></o>"),
    ("//n", Rule(cer=0.1), "<o><n>invoice total 1</n></o>", "<o><n>invoice tota1 1</n></o>"),
    ("//n", Rule(ignore_whitespace=True), "<o><n> a\n b</n></o>", "<o><n>a b</n></o>"),
    ("//n", Rule(seconds=2), "<o><n>2026-11-24T10:00:00Z</n></o>",
     "<o><n>2026-11-24T10:00:01Z</n></o>"),
    ("/o/@d", Rule(replace=((r"\d", "#"),)), "<o d='1'/>", "<o d='2'/>"),
    ("/o/x", Rule(ignore=True), "<o><x/><n/></o>", "<o><n/><x>1</x><x/></o>"),
    ("/o/x", Rule(ignore=True), "<o><x/></o>", "<o/>"),
    ("/o", Rule(ignore=True), "<o/>", "<o>1</o>"),
    ("//p", Rule(ignore_case=True), "<p>a<b/>c</p>", "<p>A<b/>c</p>"),
    ("/", Rule(ignore=True), "<o/>", "<a/>"), ("$", Rule(ignore=True), "<o/>", "<a/>"),
    ("/o/i", Rule(array=ArrayMode.SET), ITEMS.format(1, 2, 3, 4, 5, 6),
     ITEMS.format(4, 5, 6, 1, 2, 3)),
    ("/o/*", Rule(array=ArrayMode.SET), "<o><a/><b/><a>1</a></o>", "<o><b/><a>1</a><a/></o>"),
    ("/o/i", Rule(array=ArrayMode.UNIQUE), "<o><i/><i/><i>1</i></o>", "<o><i>1</i><i/></o>"),
    ("/o/i", Rule(array=ArrayMode.KEYED, key="@id"), ITEMS.format(1, 2, 3, 4, 5, 6),
     ITEMS.format(4, 5, 6, 1, 2, 3)),
    ("/{urn:x}o/n", Rule(ignore=True), "<o xmlns='urn:x'><n/></o>", "<o xmlns='urn:x'/>"),
    ("/{urn:x}o/{urn:x}n", Rule(ignore=True), "<o xmlns='urn:x'><n/></o>", "<o xmlns='urn:x'/>"),
    ("//{}n", Rule(ignore=True), "<o><n/></o>", "<o/>"),
    ("//@{urn:x}b", Rule(ignore=True), "<o xmlns:x='urn:x' x:b='1'/>", "<o/>"),
    ("//b", Rule(ignore=True), "<o xmlns='urn:x'><b/></o>", "<o xmlns='urn:x'/>"),
], ids=str)
def test_rule_holds_where_its_path_says(pattern: str, rule: Rule, one: str, other: str) -> None:
    """With it the answers match, and what it hides is told unless it says what belongs together."""
    assert not compared(one, other).is_match
    found = compared(one, other, RuleSet([(pattern, rule)]))
    assert (places(found), found.similarity) == ([], 1)
    assert found.ignored or rule.array
    assert compared(one, one + " ", RuleSet([(pattern, rule)])).is_match


@pytest.mark.parametrize(("pattern", "one", "other"), [
    ("/o/i[1]/n", ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(1, 2, 3, 4, 5, 9)),
    ("/o/i/*", ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(1, 2, 3, 4, 9, 6)),
    ("/o/@*", "<o><n/></o>", "<o/>"), ("/o/n/text()", "<o><n/></o>", "<o/>"),
    ("/{urn:y}o", "<o xmlns='urn:x'/>", "<o xmlns='urn:x'>1</o>"),
    ("//{}n", "<o xmlns='u'><n/></o>", "<o xmlns='u'/>"),
    ("$..n", "<o><n/></o>", "<o/>"), ("$.*", "<o><n/></o>", "<o/>"), ("$.o", "<o><n/></o>", "<o/>"),
    ("//o/i/@idx", ITEMS.format(1, 2, 3, 4, 5, 6), ITEMS.format(2, 2, 3, 4, 5, 6)),
], ids=str)
def test_rule_holds_nowhere_else(pattern: str, one: str, other: str) -> None:
    """`*` are elements, `@*` attributes, indexes begin at 1; rules for JSON are for JSON."""
    assert not compared(one, other, RuleSet([(pattern, Rule(ignore=True))])).is_match


def test_rules_for_trees_do_not_hold_in_json() -> None:
    """Both may stand in one plan."""
    rules = rules_for(**{"//id": Rule(ignore=True), "/a/b": Rule(ignore=True)})
    kind = "application/json"
    for ours, theirs in ((b'{"id":1}', b'{"id":2}'), (b'{"a":{"b":1}}', b'{"a":{"b":2}}')):
        assert not compare_bodies(ours, theirs, (kind, kind), rules).is_match


def test_elements_with_a_key_are_paired_by_it() -> None:
    """One change in a shuffled list is one divergence, at its place."""
    names = [f"<i><sku>{n}</sku><n>{n}</n></i>" for n in range(20)]
    other = [*names[10:], *names[:10]]
    other[3] = "<i><sku>13</sku><n>changed</n></i>"
    rules = RuleSet([("/o/i", Rule(array=ArrayMode.KEYED, key="sku"))])
    (only,) = compared(f"<o>{''.join(names)}</o>", f"<o>{''.join(other)}</o>", rules).divergences
    assert (only.path, only.field, only.candidate) == ("/o/i[14]/n", "/o/i/n", '"changed"')


def test_insertion_beside_ignored_ids_is_one_divergence() -> None:
    """Elements are paired as rules see them."""
    old = "".join(f"<i id='{n}'>{n}</i>" for n in range(5))
    new = "<i id='99'>first</i>" + "".join(f"<i id='{n + 50}'>{n}</i>" for n in range(5))
    found = compared(f"<o>{old}</o>", f"<o>{new}</o>", RuleSet([("//@id", Rule(ignore=True))]))
    assert places(found) == [("/o/i[1]", "added")]


SAME_PAGES = [
    ("<p CLASS=a>x", "<html><head></head><body><p class='a'>x</p></body></html>"),
    ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"), ("<br>", "<br/>"),
    ("<input disabled>", '<input DISABLED="">'), ("<p a=1 b=2>", "<p b=2 a=1>"),
    ("<table><tr><td>1</table>", "<table><tbody><tr><td>1</td></tr></tbody></table>"),
    ("<div>\n <p> x </p>\n</div>", "<div><p>x</p></div>"), ("<p>a\n  b", "<p>a b"),
    ("<p>&eacute;&nbsp;", "<p>é\u00a0"), ("<p>x<!-- c -->y", "<p>xy"),
    ("<!DOCTYPE html><p>x", "<p>x"), 
    ("<script> a() </script>", "<script>a()</script>"),
]


@pytest.mark.parametrize(("one", "other"), SAME_PAGES, ids=lambda value: value[:30])
def test_pages_that_a_browser_shows_alike_are_the_same(one: str, other: str) -> None:
    """Tags that nobody closes, case, blanks, escapes."""
    assert compared(one, other, kind=HTML).is_match


@pytest.mark.parametrize(("one", "other", "expected"), [
    ("<p><b></b>", "<p>", [("/html/body/p/b", "removed")]),
    ("<div><p>a</div><p>b", "<div><p>a<p>b</div>",
     [("/html/body/div/p[2]", "added"), ("/html/body/p", "removed")]),
    ("<p class='a b'>", "<p class='b a'>", [("/html/body/p/@class", "changed")]),
    ("<input disabled>", "<input>", [("/html/body/input/@disabled", "removed")]),
    ("<p>a <b>x</b>", "<p>a<b>x</b>", [("/html/body/p/text()", "changed")]),
    ("<b>x</b> <i>y</i>", "<b>x</b><i>y</i>", [("/html/body/text()", "removed")]),
    ("<pre>a  b</pre>", "<pre>a b</pre>", [("/html/body/pre", "changed")]),
    ("<script>a()</script>", "<script>b()</script>", [("/html/head/script", "changed")]),
    ("<template><i>a</i></template>", "<template><i>b</i></template>",
     [("/html/head/template/i", "changed")]),
    ("<svg><path d='1'/></svg>", "<svg><path d='2'/></svg>",
     [("/html/body/svg/path/@d", "changed")]),
    ("<p @click='a'>", "<p @click='b'>", [("/html/body/p/@@click", "changed")]),
], ids=lambda value: str(value)[:30])
def test_difference_in_a_page_is_found_at_its_place(one: str, other: str, expected: Any) -> None:
    """Elements, their parents, attributes, blanks that are shown, scripts."""
    assert places(compared(one, other, kind=HTML)) == expected


@pytest.mark.parametrize("body", [
    "<p>é".encode("latin-1"), "<meta charset='iso-8859-1'><p>é".encode("latin-1")])
def test_page_is_read_in_its_charset(body: bytes) -> None:
    """The header's, else the one that the page names, else UTF-8."""
    kind = HTML if b"meta" in body else f"{HTML}; charset=ISO-8859-1"
    (only,) = compare_bodies(body, body.replace(b"p>", b"p>x"), (kind, kind)).divergences
    assert (only.baseline, only.candidate) == ('"é"', '"xé"')


names = st.sampled_from(["a", "b", "x:c"])
trees = st.recursive(
    st.one_of(st.sampled_from(["", " ", "t", "1"]), st.just("<a/>")),
    lambda below: st.builds(
        lambda name, number, parts: f"<{name} n='{number}'>{''.join(parts)}</{name}>",
        names, st.integers(0, 2), st.lists(below, max_size=4)),
    max_leaves=12,
).map(lambda inner: f"<r xmlns:x='u'>{inner}</r>")
tree_rules = st.lists(st.tuples(
    st.sampled_from(["//a", "//@n", "/r/*", "//b/text()", "//c", "/r/a[2]", "//*"]),
    st.one_of(st.sampled_from([Rule(ignore=True), Rule(absolute=1.0), Rule(ignore_case=True)]),
              st.builds(Rule, array=st.sampled_from(ArrayMode), key=st.just("@n")))), max_size=3)


@MANY
@given(trees, trees, tree_rules)
def test_no_pair_raises_and_similarity_agrees_with_the_divergences(
    one: str, other: str, rules: list[tuple[str, Rule]]
) -> None:
    """0 to 1, and 1 exactly when nothing diverges; a tree equals itself under any rules."""
    found = compared(one, other, RuleSet(rules))
    assert 0 <= found.similarity <= 1
    assert (found.similarity == 1) is found.is_match
    again = compared(one, one + " ", RuleSet(rules))
    assert (again.similarity, again.divergences, again.ignored) == (1, (), ())


@MANY
@given(trees, trees)
def test_similarity_does_not_depend_on_which_is_the_baseline(one: str, other: str) -> None:
    """Symmetric."""
    assert compared(one, other).similarity == compared(other, one).similarity
