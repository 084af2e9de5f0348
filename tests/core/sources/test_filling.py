"""Placeholders become values, whatever the values are."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from changeover.plan.placeholders import Language, pieces
from changeover.sources import filling

VALUES = {"system": "candidate", "segment": "beta", "window": 300, "migration": "shop"}
TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=30)


def test_promql_gets_labels_and_durations() -> None:
    """A window is a duration, everything else a label's value."""
    query = 'sum(rate(x{system="{system}", m=\'{migration}\', s="{segment}"}[{window}]))'
    assert filling.promql(query, VALUES) == (
        'sum(rate(x{system="candidate", m=\'shop\', s="beta"}[300s]))')


@given(TEXTS)
def test_a_label_never_ends_its_quotes(name: str) -> None:
    """What stands between the quotes, read as the language reads it, is the name again."""
    found = filling.promql('x{a="{system}"}', {**VALUES, "system": name})
    inner = found.removeprefix("x{a=").removesuffix("}")
    assert json.loads(inner) == name
    single = filling.promql("x{a='{system}'}", {**VALUES, "system": name})
    assert len(re.findall(r"(?<!\\)(?:\\\\)*'", single)) == 2


@given(TEXTS)
def test_a_label_in_a_regular_expression_means_itself(name: str) -> None:
    """`shop.v2` must not fit `shopxv2`."""
    found = filling.promql('x{a=~"{system}-.*"}', {**VALUES, "system": name})
    pattern = json.loads(found.removeprefix("x{a=~").removesuffix("}"))
    assert re.fullmatch(pattern, f"{name}-1")
    assert not re.fullmatch(pattern, f"{name}x1")


@given(st.text(max_size=60))
def test_pieces_are_the_whole_text(text: str) -> None:
    """Nothing of a query is lost or doubled."""
    for language in Language:
        assert "".join(piece.text for piece in pieces(text, language)) == text


@given(TEXTS)
def test_sql_binds_values_and_changes_nothing_else(name: str) -> None:
    """A database says of the value what it says of any other; colons stay colons."""
    query = "SELECT {system} AS a, '12:30::x' AS b, '\\:' AS c, {window} AS d -- :system {system}"
    bound = filling.sql(query, {**VALUES, "system": name})
    assert bound.values == {"system": name, "window": 300}
    with sa.create_engine("sqlite://").connect() as connection:
        row = connection.execute(sa.text(bound.text), bound.values).one()
    assert tuple(row) == (name, "12:30::x", "\\:", 300)


@given(TEXTS)
def test_an_address_never_gets_another_part(name: str) -> None:
    """A name with `&` or `/` stays one value."""
    found = filling.address("/stats/{system}?s={system}&w={window}", {**VALUES, "system": name})
    path, _, rest = found.partition("?")
    assert unquote(path.removeprefix("/stats/")) == name
    assert path.count("/") == 2
    assert rest.count("&") == 1
    assert rest.endswith("&w=300")


@given(TEXTS)
def test_a_word_stays_one_word(name: str) -> None:
    """Spaces and semicolons of a value start no further argument."""
    command = ["rate", "--system={system}", "{print}"]
    assert filling.words(command, {**VALUES, "system": name}) == [
        "rate", f"--system={name}", "{print}"]
