"""How the product's code is built: the figures of docs/decisions/0020-the-house.md.

    python -m benchmarks.house [DIRECTORY OF A CHECKOUT]
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("changeover", "flows", "tasks", "blocks", "reports")
MOST_PARAMETERS, MOST_POSITIONAL, MOST_LINES = 5, 4, 400
Function = ast.FunctionDef | ast.AsyncFunctionDef
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def modules(root: Path) -> list[Path]:
    """Return the modules of the product; migrations of the store are left out."""
    found = []
    for package in PACKAGES:
        found += sorted((root / package).rglob("*.py"))
    return [path for path in found if "versions" not in path.parts]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function with its name, `Class.method` for methods."""
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.ClassDef):
            name = f"{prefix}{node.name}."
        if isinstance(node, Function):
            yield prefix + node.name, node
            name = f"{prefix}{node.name}."
        yield from functions(node, name)


def parameters(function: Function) -> tuple[int, int]:
    """Return how many parameters a function has, and how many of them are positional.

    `self` and `cls` do not count: nobody passes them.
    """
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    count = sum(each.arg not in ("self", "cls") for each in positional)
    return count + len(given.kwonlyargs), count


@dataclass
class House:
    """Figures of a checkout.

    Args:
        lines: Lines of its modules, blank ones, comments and docstrings included.
        code: Lines with code, docstrings not counted.
        characters: Characters of these without indentation.
        comments: Lines with a comment.
        comprehensions: Comprehensions and generator expressions.
        many_parameters, many_positional: Functions with more than 5, with more than 4.
        long_modules: Modules of more than 400 lines.
    """

    lines: int = 0
    code: int = 0
    characters: int = 0
    comments: int = 0
    comprehensions: int = 0
    many_parameters: int = 0
    many_positional: int = 0
    long_modules: list[str] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count a module, too."""
        text = path.read_text()
        tree = ast.parse(text)
        lines = text.splitlines()
        self.lines += len(lines)
        if len(lines) > MOST_LINES:
            self.long_modules.append(path.name)
        code, comments = _lines_of(text)
        code -= _docstrings(tree)
        self.code += len(code)
        self.characters += sum(len(lines[number - 1].strip()) for number in code)
        self.comments += len(comments)
        self.comprehensions += sum(isinstance(node, _COMPREHENSIONS) for node in ast.walk(tree))
        for _, function in functions(tree):
            count, positional = parameters(function)
            self.many_parameters += count > MOST_PARAMETERS
            self.many_positional += positional > MOST_POSITIONAL


def _lines_of(text: str) -> tuple[set[int], set[int]]:
    """Return the numbers of the lines with code, and of those with a comment."""
    code: set[int] = set()
    comments: set[int] = set()
    blank = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
             tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in blank:
            code.update(range(token.start[0], token.end[0] + 1))
    return code, comments


def _docstrings(tree: ast.AST) -> set[int]:
    """Return the lines of texts that stand alone: docstrings, and those below constants."""
    found: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node, ast.Expr):
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def measure(root: Path) -> House:
    """Count the product's modules of a checkout."""
    house = House()
    for path in modules(root):
        house.add(path)
    return house


def main() -> None:
    """Print a row for each figure."""
    house = measure(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print(f"lines of product code            {house.lines}")
    print(f"functions with > 5 parameters    {house.many_parameters}")
    print(f"functions with > 4 positional    {house.many_positional}")
    print(f"characters a code line           {house.characters / house.code:.1f}")
    print(f"comprehensions per 1000 lines    {1000 * house.comprehensions / house.lines:.1f}")
    print(f"comment lines per 100            {100 * house.comments / house.lines:.1f}")
    print(f"modules > 400 lines              {len(house.long_modules)}")


if __name__ == "__main__":
    main()
