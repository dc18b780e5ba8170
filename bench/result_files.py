"""Where the results go: JSON, Markdown and plot of a run in bench/results, and on demand the ones of the README."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.results import Results

_HERE = Path(__file__).parent
_RESULTS = _HERE / "results"
_README = _HERE / "README.md"
_PLOT = _HERE / "growth.svg"
_SECTION = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


def keep(results: Results, facts: Mapping[str, str], command: str, text: str, plot: str) -> Path:
    """Write all of a run below bench/results and return the JSON's path."""
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    file.write_text(json.dumps({"machine": facts, "command": command, **asdict(results)}, indent=2) + "\n")
    file.with_suffix(".md").write_text(text)
    if plot:
        file.with_suffix(".svg").write_text(plot)
    return file


def publish(text: str, plot: str) -> None:
    """Put the tables and the plot of a run into bench/README.md, in place of an earlier run's."""
    shown = f"{text}\n![The rows that grow]({_PLOT.name})\n" if plot else text
    _README.write_text(with_results(_README.read_text(), shown))
    if plot:
        _PLOT.write_text(plot)


def with_results(readme: str, text: str) -> str:
    """Return the README with the text between its two marks."""
    return _SECTION.sub(lambda _: text, readme)
