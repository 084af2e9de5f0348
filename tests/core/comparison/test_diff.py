"""What holds for every pair of documents, and what single rules do."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from changeover.comparison import align
from changeover.comparison.diff import MOST_DIVERGENCES, _Walk, compare
from changeover.comparison.documents import parse_json
from changeover.comparison.rules import NO_RULES, ArrayMode, Rule, RuleSet
from changeover.comparison.sameness import is_same
from changeover.comparison.similarity import Divergence, Kind, similarity_of
from tests.support.examples import MANY

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.sampled_from(["", "a", "A "]),
    st.text(max_size=5), st.floats(allow_nan=False, width=32),
)
keys = st.sampled_from(["a", "b", "id", "Ä b"])
documents = st.recursive(
    scalars,
    lambda below: st.one_of(
        st.lists(below, max_size=5), st.dictionaries(keys, below, max_size=4)
    ),
    max_leaves=12,
)
patterns = st.sampled_from(["$", "$.a", "$..id", "$..*", "$[*]", "$.a[*].b", "$..b"])
tolerances = st.sampled_from([
    Rule(ignore=True), Rule(absolute=1.0), Rule(relative=0.5), Rule(digits=2), Rule(decimals=1),
    Rule(is_type_tolerant=True), Rule(null_equals_missing=True), Rule(ignore_case=True),
    Rule(ignore_whitespace=True), Rule(unicode="NFC"), Rule(cer=0.3), Rule(wer=0.5),
    Rule(replace=(("a", "b"),)),
])
arrays = st.builds(Rule, array=st.sampled_from(ArrayMode), key=st.just("id"))


@given(documents, st.lists(st.tuples(patterns, st.one_of(tolerances, arrays)), max_size=3))
@example([-(2**63) - 1], [("$", Rule(ignore=True))])  # nothing differs, so nothing is let pass
def test_document_equals_itself_under_any_rules(
    document: Any, rules: list[tuple[str, Rule]]
) -> None:
    """Reflexive."""
    found = compare(document, _copy(document), RuleSet(rules))
    assert (found.similarity, found.is_match, found.ignored) == (1, True, ())


@MANY
@given(documents, documents, st.lists(st.tuples(patterns, tolerances), max_size=2))
def test_similarity_does_not_depend_on_which_is_the_baseline(
    a: Any, b: Any, rules: list[tuple[str, Rule]]
) -> None:
    """Symmetric."""
    chosen = RuleSet(rules)
    assert compare(a, b, chosen).similarity == compare(b, a, chosen).similarity


@given(documents, documents, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_matter(a: Any, b: Any, chance: random.Random) -> None:
    """The same similarity and the same places, however the objects are written."""
    first, second = compare(a, b), compare(_shuffled(a, chance), _shuffled(b, chance))
    assert first.similarity == second.similarity
    assert sorted(d.path for d in first.divergences) == sorted(d.path for d in second.divergences)


@MANY
@given(documents, documents, patterns, tolerances)
def test_rule_can_only_raise_similarity(a: Any, b: Any, pattern: str, rule: Rule) -> None:
    """Allowing something never makes two documents less alike."""
    assert compare(a, b, RuleSet([(pattern, rule)])).similarity >= compare(a, b).similarity


@MANY
@given(documents, documents, st.lists(st.tuples(patterns, st.one_of(tolerances, arrays))))
def test_no_pair_raises_and_similarity_agrees_with_the_divergences(
    a: Any, b: Any, rules: list[tuple[str, Rule]]
) -> None:
    """Total: 0 to 1, and 1 exactly when nothing diverges."""
    found = compare(a, b, RuleSet(rules))
    assert 0 <= found.similarity <= 1
    assert (found.similarity == 1) is found.is_match


confusable = st.sampled_from([0, 1, True, False, 0.0, 1.0, "1", None, [], [0], [False], {}, 2.5])
rows = st.fixed_dictionaries({"id": st.integers(0, 4), "a": confusable, "b": confusable})
tables = st.lists(rows, max_size=5)


names = st.one_of(st.integers(0, 9), st.sampled_from(["1", "2", 1.0, -0.0, True, None]))
KEYED_DOC = RuleSet([("$.doc", Rule(array=ArrayMode.KEYED, key="id"))])


@st.composite
def table_and_other(draw: st.DrawFn) -> tuple[Any, Any]:
    """Return rows with names of their own, and a copy with other values, keys, order and types."""
    table = [{"id": name, "a": draw(confusable), "b": draw(confusable)}
             for name in draw(st.lists(names, max_size=6, unique_by=repr))]
    chance = draw(st.randoms(use_true_random=False))
    other = []
    for row in table:
        copy = {key: draw(confusable) if chance.random() < 0.3 else value
                for key, value in row.items()}
        if chance.random() < 0.1:
            del copy["b"]
        other.append(_shuffled(copy, chance) if chance.random() < 0.1 else copy)
    if draw(st.booleans()):
        chance.shuffle(other)
    return table, other


@MANY
@given(st.one_of(st.tuples(tables, tables), table_and_other()),
       st.sampled_from([NO_RULES, KEYED_DOC]))
@example(([{"id": 1, "a": 1}], [{"id": True, "a": 1.0}]), NO_RULES)
@example(([{"id": 1, "a": 1}], [{"id": True, "a": 1}]), KEYED_DOC)
@example(([{"id": 1, "a": 1}] * 2, [{"id": 1, "a": 2}, {"id": 2, "a": 1}]), KEYED_DOC)
@example(([{"a": 1, "b": 1}, {"a": 2}, {"b": 3}], [{"a": 1}, {"b": 1, "a": 2}, {"b": 4}]), NO_RULES)
def test_fast_ways_find_what_the_careful_one_finds(both: tuple[Any, Any], rules: RuleSet) -> None:
    """An integer beyond 64 bits beside a document makes the walk take nothing for granted."""
    a, b = both
    fast = compare({"big": 1, "doc": a}, {"big": 1, "doc": b}, rules)
    careful = compare({"big": 10**30, "doc": a}, {"big": 10**30, "doc": b}, rules)
    assert fast.similarity == pytest.approx(careful.similarity, abs=2e-9)
    assert sorted((d.path, d.kind, repr(d.values)) for d in fast.divergences) == sorted(
        (d.path, d.kind, repr(d.values)) for d in careful.divergences)


@MANY
@given(documents, documents, st.lists(st.tuples(patterns, st.one_of(tolerances, arrays)),
                                      max_size=3))
def test_fast_walk_equals_the_careful_one_on_any_documents(
    a: Any, b: Any, rules: list[tuple[str, Rule]]
) -> None:
    """Any JSON, any rules: the same similarity, divergences, and differences let pass."""
    chosen = RuleSet(rules)
    fast = compare(a, b, chosen)
    careful = _Walk(MOST_DIVERGENCES, is_same)
    careful.run(a, b, chosen.root)
    assert fast.similarity == pytest.approx(similarity_of(careful.losses), abs=2e-9)
    assert _told(fast.divergences) == _told(careful.found)
    assert _told(fast.ignored) == _told(careful.ignored)


def _told(found: Iterable[Divergence]) -> list[tuple[str, str, str]]:
    return sorted((each.path, each.kind, repr(each.values)) for each in found)


@MANY
@given(tables, st.randoms(use_true_random=False))
def test_shuffled_keyed_list_is_the_same_even_with_a_key_twice(
    table: Any, chance: random.Random
) -> None:
    """Equal items belong together before their keys are asked."""
    shuffled = [_shuffled(item, chance) for item in chance.sample(table, len(table))]
    rules = RuleSet([("$", Rule(array=ArrayMode.KEYED, key="id"))])
    assert compare(table, shuffled, rules).similarity == 1


def test_nothing_in_common_is_zero() -> None:
    """The other end of the scale."""
    assert compare({"a": 1, "b": [2]}, {"c": 3, "d": {"e": 4}}).similarity == 0
    assert compare([1, 2, 3], {"a": 1}).similarity == 0


def test_leaf_weighs_the_product_of_its_containers_shares() -> None:
    """One of two keys, of which one of four items differs: an eighth is lost."""
    assert compare({"a": 1, "b": [1, 2, 3, 4]}, {"a": 1, "b": [1, 2, 3, 5]}).similarity == 0.875


@pytest.mark.parametrize("depth", [200, 300, 900])
def test_deep_nesting_is_compared(depth: int) -> None:
    """As deep as parsers go, whatever the interpreter's limit on recursion."""
    def nested(leaf: str) -> Any:
        return parse_json(b'{"a":[' * (depth // 2) + leaf.encode() + b"]}" * (depth // 2))

    assert compare(nested("1"), nested("1")).is_match
    (only,) = compare(nested("1"), nested("true")).divergences
    assert (only.kind, only.path.count("a")) == (Kind.TYPE, depth // 2)


@pytest.mark.parametrize("mode", [None, *ArrayMode], ids=str)
def test_deep_nesting_is_compared_under_rules(mode: ArrayMode | None) -> None:
    """A rule that might hold anywhere changes nothing about how deep documents may be."""
    def nested(leaf: str) -> Any:
        return parse_json(b'{"a":[' * 450 + leaf.encode() + b"]}" * 450)

    rules = RuleSet([("$..id", Rule(ignore=True)), ("$..a", Rule(array=mode, key="id"))])
    found = compare(nested("1"), nested("2"), rules)
    assert {d.path.count("a") for d in found.divergences} == {450}


def test_lists_in_lists_take_no_longer_the_deeper_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules make a list be paired in several ways; those inside it are not tried for each."""
    paired = _count_alignments(monkeypatch)
    rules = RuleSet([("$..id", Rule(ignore=True))])
    for depth in (4, 8):
        baseline, candidate = ("[0," * depth + v + ",3]" * depth for v in ("1", "2,4"))
        compare(parse_json(baseline.encode()), parse_json(candidate.encode()), rules)
    assert sum(paired) < 8 * 30


def test_comments_in_comments_are_paired_as_their_rules_see_them() -> None:
    """Deep below, too: an insertion is one divergence though every time stamp differs."""
    def tree(depth: int, at: int, *further: int) -> dict[str, Any]:
        replies = [tree(depth - 1, at, *further)] if depth else [
            {"text": n, "updated_at": at} for n in [*further, 1, 2, 3]]
        return {"text": depth, "updated_at": at, "replies": replies}

    rules = RuleSet([("$..updated_at", Rule(ignore=True))])
    (only,) = compare(tree(8, 1), tree(8, 2, 0), rules).divergences
    assert (only.path, only.kind) == ("$" + ".replies[0]" * 9, Kind.ADDED)


def test_keyed_list_with_one_change_is_one_divergence() -> None:
    """However the list is shuffled."""
    items = [{"id": n, "name": f"item {n}"} for n in range(200)]
    shuffled = random.Random(1).sample(items, len(items))
    shuffled[17] = {**shuffled[17], "name": "changed"}
    rules = RuleSet([("$.items", Rule(array=ArrayMode.KEYED, key="id"))])
    (only,) = compare({"items": items}, {"items": shuffled}, rules).divergences
    assert (only.field, only.candidate) == ("$.items[*].name", '"changed"')


def test_insertion_in_front_of_items_with_ignored_ids_is_one_divergence() -> None:
    """Alignment sees items as the rules see them."""
    old = [{"id": n, "name": f"item {n}"} for n in range(5)]
    new = [{"id": 99, "name": "first"}, *({**item, "id": item["id"] + 50} for item in old)]
    found = compare(old, new, RuleSet([("$[*].id", Rule(ignore=True))]))
    assert [(d.path, d.kind) for d in found.divergences] == [("$[0]", Kind.ADDED)]
    assert {d.field for d in found.ignored} == {"$[*].id"}


def test_what_is_ignored_is_told_apart_from_what_is_equal() -> None:
    """Rules hide differences; how many is known."""
    found = compare({"a": 1, "b": 2}, {"a": 9, "b": 2}, RuleSet([("$.a", Rule(ignore=True))]))
    assert (found.is_match, found.similarity, len(found.ignored)) == (True, 1, 1)


@pytest.mark.parametrize(("a", "b", "rule"), [
    (10.001, 10.0, Rule(absolute=0.01)), (1000, 1001, Rule(relative=0.001)),
    (1.2344, 1.2341, Rule(digits=4)), ("7", 7, Rule(is_type_tolerant=True)),
    (1, 1.0, Rule(is_type_tolerant=True)), ("Straße", "STRASSE", Rule(ignore_case=True)),
    (" a\n b", "a b ", Rule(ignore_whitespace=True)), ("fi", "ﬁ", Rule(unicode="NFKC")),
    ("2026-11-24T10:00:00Z", "2026-11-24T11:00:00.4+01:00", Rule(seconds=1)),
    ("took 12 ms", "took 9 ms", Rule(replace=((r"\d+", "#"),))),
    ("invoice total 1", "invoice tota1 1", Rule(cer=0.1)), ("a b c d", "a b c e", Rule(wer=0.25)),
    (0.3, 0.1 + 0.1, Rule(absolute=0.1)), (10**30, 10**30 + 1, Rule(relative=1e-20)),
], ids=str)
def test_rule_lets_pass_what_it_names(a: Any, b: Any, rule: Rule) -> None:
    """With the rule they match, and what it hides is told; without it they do not."""
    found = compare([a, 1], [b, 1], RuleSet([("$[0]", rule)]))
    assert (found.is_match, found.similarity) == (True, 1)
    assert [(d.path, d.values) for d in found.ignored] == [("$[0]", (a, b))]
    assert not compare([a], [b]).is_match


def test_null_that_equals_what_is_missing_is_told() -> None:
    """It is hidden by a rule, not equal."""
    rules = RuleSet([("$", Rule(null_equals_missing=True))])
    found = compare({"a": None, "b": 1}, {"b": 1, "c": None}, rules)
    assert (found.is_match, {d.field for d in found.ignored}) == (True, {"$.a", "$.c"})


@pytest.mark.parametrize("text", ["9." + "9" * 29 + "e999999", "-9e999999", "1e-999999", "1e401"])
@pytest.mark.parametrize("rule", [
    Rule(is_type_tolerant=True, absolute=1.0), Rule(is_type_tolerant=True, decimals=2),
    Rule(is_type_tolerant=True, relative=0.5), Rule(is_type_tolerant=True, digits=3),
], ids=["absolute", "decimals", "relative", "digits"])
def test_number_that_nobody_can_mean_is_a_text(text: str, rule: Rule) -> None:
    """It differs from every number, and nothing is computed with its million digits."""
    assert not compare({"a": text}, {"a": 1}, RuleSet([("$.a", rule)])).is_match


def test_long_lists_of_divergences_are_counted() -> None:
    """Never silently cut."""
    found = compare(list(range(100)), list(range(1000, 1100)), most_divergences=10)
    assert (len(found.divergences), found.omitted, found.similarity) == (10, 90, 0)


def test_comparison_leaves_nothing_to_the_garbage_collector() -> None:
    """Both documents are free at once: memory stays flat, and no time is spent on cycles."""
    rules = RuleSet([("$.items[*].id", Rule(ignore=True))])
    gc.collect()
    for chosen in (NO_RULES, rules):
        compare({"items": [{"id": 1, "n": [1]}]}, {"items": [{"id": 2, "n": [2]}]}, chosen)
    assert gc.collect() == 0


def test_values_are_shown_cut() -> None:
    """A divergence carries at most some hundred characters of each side."""
    (only,) = compare({"a": "x" * 5000}, {"a": "y"}).divergences
    assert len(only.baseline or "") < 250


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        order = sorted(value)
        chance.shuffle(order)
        return {key: _shuffled(value[key], chance) for key in order}
    return [_shuffled(item, chance) for item in value] if isinstance(value, list) else value


def _count_alignments(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one with each alignment of two lists."""
    done: list[int] = []
    true_way = align.in_sequence

    def counted(left: align.Hashes, right: align.Hashes) -> align.Alignment:
        done.append(1)
        return true_way(left, right)

    monkeypatch.setattr(align, "in_sequence", counted)
    return done
