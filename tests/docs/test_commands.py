"""Every example that is written of a command can be typed: in `--help`, in README and in docs/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from changeover.cli.common import Session
from changeover.cli.main import COMMANDS, cli
from changeover.errors import ChangeoverError
from tests.docs.test_docs import ROOT

PAGE = ROOT / "docs" / "commands.md"
ENDS = {"|", ">", "<", "&&", "&", ";", "||", "2>/dev/null)"}
"""Words after which something else than the command's arguments follows."""
PLACEHOLDERS = {"…", "..."}


def leaves(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with the names that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, *names, name)
        else:
            yield (*names, name), found


LEAVES = dict(leaves(cli))


def words_of(line: str) -> list[str]:
    """Return the words of a line that begins with `changeover`, without what belongs to the shell.
    """
    # two blanks: what follows says what the example does
    line = re.split(r"\s{2,}|\s#\s", line.strip())[0]
    words = []
    for word in shlex.split(line.rstrip(")&\"") if line.count('"') % 2 else line.rstrip("&")):
        if word in ENDS:
            break
        # `eval "$(changeover env)"; prefect …`
        words.append(word.rstrip(";") if word.endswith(";") else word)
        if word.endswith(";"):
            break
    return words[1:]


def parse(words: list[str]) -> None:
    """Parse a command line as the command itself does, and do nothing else."""
    group: click.Command = cli
    context = click.Context(cli, info_name="changeover", obj=Session())
    while isinstance(group, click.Group):
        name, *words = words
        found = group.get_command(context, name)
        assert found is not None, name
        group = found
        if isinstance(group, click.Group) and not words:
            return
    group.make_context(name, list(words), parent=context)


@pytest.mark.parametrize("names", LEAVES, ids=" ".join)
def test_every_command_has_examples_that_can_be_typed(names: tuple[str, ...]) -> None:
    """With the options that there are, and values that are taken."""
    epilog = LEAVES[names].epilog or ""
    examples = re.findall(r"^\s*(?:.*&& |eval \"\$\()?(changeover .*)$", epilog, re.M)
    own = [line for line in examples if line.startswith(" ".join(("changeover", *names)))]
    assert own, epilog
    for line in own:
        parse(words_of(line))


def written(page: Path) -> list[str]:
    """Return the command lines that a page shows in blocks for a shell."""
    found = []
    for block in re.findall(r"```(?:console|bash|sh)\n(.*?)```", page.read_text(), re.S):
        joined = block.replace("\\\n", " ")
        found += re.findall(r"^(?:\$ )?(changeover .*)$", joined, re.M)
    return found


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_every_command_on_a_page_can_be_typed(page: Path) -> None:
    """What is copied from a page works."""
    for line in written(page):
        if PLACEHOLDERS & set(line.split()):
            continue
        try:
            parse(words_of(line))
        except (click.ClickException, ChangeoverError, AssertionError) as error:
            pytest.fail(f"{line}: {error}")


def table() -> list[tuple[str, list[str]]]:
    """Return the rows of the table of counterparts: a verb, and what is typed here."""
    section = PAGE.read_text().partition("## Coming from")[2].partition("\n## ")[0]
    rows = []
    for line in section.splitlines():
        if line.startswith("| `"):
            verb, here, *_ = [part.strip() for part in line.strip("|").split(" | ")]
            rows.append((verb, re.findall(r"`(changeover [^`]*)`", here)))
    return rows


def test_each_verb_has_a_counterpart_that_can_be_typed() -> None:
    """Who knows the other tool finds each of its verbs."""
    rows = table()
    verbs = {re.sub(r"`|\s.*", "", verb) for verb, _ in rows}
    assert verbs >= {"status", "advance", "health", "report", "enable", "disable", "rollback",
                     "maintenance-on", "maintenance-off"}
    for verb, here in rows:
        assert here, verb
        for line in here:
            parse(words_of(line))


def test_every_command_is_on_the_page() -> None:
    """With what it does in one line, as `--help` says it."""
    text = PAGE.read_text()
    for name, (_, help_text) in COMMANDS.items():
        assert f"| `{name}` | {help_text} |" in text, name
