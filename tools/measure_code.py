"""Measures how `mta/` reads: prose, file and function sizes, class names. Prints one line for each figure.

    python -m tools.measure_code [FOLDER ...]

The figures are the ones that the code is held to. A folder is a package such as `mta`, or a folder of pages such as
`docs`, whose Markdown is measured as prose alone.
"""

import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Lines below which a file counts as small, and above which a function counts as long.
SMALL_FILE, LONG_FUNCTION = 80, 40

_WORD = re.compile(r"[A-Za-z]{2,}")
# Text that is not the prose of its author: code, link targets, and quotations such as another program's reply.
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|\]\([^)\s]*\)", re.DOTALL)
_QUOTATION = re.compile(r"(?<![^\s(])(?:\"[^\"]+\"|“[^”]+”)")
# `What` and `who` that stand for a noun: neither a question nor the relative pronoun behind a noun. `What` counts
# wherever its sentence has no question mark. `Who` counts at the start of a clause, and behind a verb, preposition or
# conjunction; behind a comma it mostly belongs to the noun before.
_HEADLESS = re.compile(
    r"(?:\bwhat(?:ever|soever)?|\bwho(?:m|se)?ever"
    r"|(?:^|[.;:!?*#-] |\(|\*)whos?e?"
    r"|\b(?:about|and|asks?|but|by|decides?|for|from|hides?|if|in|knows?|lists?|of|on|or|prints?|returns?|says?|sees?"
    r"|shows?|than|that|tells?|to|when|with) who)\b(?![^.]*\?)",
    re.IGNORECASE,
)
# `None` with a capital is the value of the language, unless it begins a sentence as in "None of them".
_NEGATIVE = re.compile(r"\b(?:[Nn]obody|none|None of|[Nn]othing)\b")


@dataclass
class Measures:
    """The figures of one or more folders."""

    words: int = 0
    headless: int = 0
    negative: int = 0
    file_lines: list[int] = field(default_factory=list)
    function_lines: list[int] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)

    @property
    def headless_rate(self) -> float:
        """Clauses headed by `what`, `who` or `whoever` per 1,000 words; 0 without words."""
        return 1000 * self.headless / self.words if self.words else 0.0

    @property
    def negative_rate(self) -> float:
        """`Nobody`, `none` and `nothing` per 1,000 words; 0 without words."""
        return 1000 * self.negative / self.words if self.words else 0.0

    @property
    def repeated_classes(self) -> list[str]:
        """The class names that stand for more than one class, sorted."""
        return sorted(name for name, count in self.classes.items() if count > 1)

    def add_prose(self, text: str) -> None:
        """Count the words, the clauses without a noun and the negative words of a text, without code and quotations."""
        text = _QUOTATION.sub("", " ".join(_CODE.sub("", text).split()))
        self.words += len(_WORD.findall(text))
        self.headless += len(_HEADLESS.findall(text))
        self.negative += len(_NEGATIVE.findall(text))

    def add_module(self, text: str) -> None:
        """Count the prose, the lines, the functions and the classes of a module's source.

        The lines of a package's `__init__.py` that holds its docstring alone do not count.
        """
        if len(ast.parse(text).body) > 1:
            self.file_lines.append(text.count("\n"))
        for prose in _prose(text):
            self.add_prose(prose)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.function_lines.append(_lines(node))
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] += 1


def measure(folders: Sequence[Path]) -> Measures:
    """Return the figures of all modules and pages below these folders; a file counts by itself."""
    measures = Measures()
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.suffix == ".py":
                measures.add_module(path.read_text(encoding="utf-8"))
            elif path.suffix == ".md":
                measures.add_prose(path.read_text(encoding="utf-8"))
    return measures


def report(measures: Measures) -> Iterator[str]:
    """Yield a line for each figure that the folders have."""
    if measures.words:
        yield f"clauses headed by what, who or whoever, per 1,000 words: {measures.headless_rate:.1f}"
        yield f"nobody, none and nothing, per 1,000 words: {measures.negative_rate:.1f}"
    if measures.file_lines:
        small = sum(lines < SMALL_FILE for lines in measures.file_lines) / len(measures.file_lines)
        yield f"files: {len(measures.file_lines)}, under {SMALL_FILE} lines: {small:.0%}"
        repeated = measures.repeated_classes
        yield f"class names with two meanings or more: {len(repeated)} {' '.join(repeated)}".rstrip()
    if len(measures.function_lines) > 1:
        tenths = statistics.quantiles(measures.function_lines, n=10)
        long = sum(lines > LONG_FUNCTION for lines in measures.function_lines) / len(measures.function_lines)
        median = statistics.median(measures.function_lines)
        yield f"function lines: median {median:.0f}, p90 {tenths[-1]:.0f}, over {LONG_FUNCTION} lines {long:.1%}"


def _prose(text: str) -> Iterator[str]:
    """Yield the docstrings of a module's source, and its comments; comments on neighbouring lines are one text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring
    block: list[str] = []
    last_line = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last_line + 1:
            yield "\n".join(block)
            block = []
        block.append(token.string.lstrip("#: "))
        last_line = token.start[0]
    yield "\n".join(block)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines without its docstring."""
    end = function.end_lineno or function.lineno
    lines = end - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def main() -> None:
    """Print the figures of the folders that are named, `mta` if there is none."""
    parser = argparse.ArgumentParser(description="Measures how code and pages read.")
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("mta")], metavar="FOLDER")
    sys.stdout.writelines(f"{line}\n" for line in report(measure(parser.parse_args().folders)))


if __name__ == "__main__":
    main()
