"""The results for people: a table of the goals and a table of the figures, as Markdown. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from bench.measure import POINT, number
from bench.results import Results, Spread, Verdict, judge, spread
from bench.row import RELAY, Row


def section(results: Results, rows: Sequence[Row], facts: Mapping[str, str], command: str) -> str:
    """Return the report on a run: machine, command, goals, figures, and notes on missing ones."""
    parts = [f"{facts_line(facts)}\n`{command}`", goals_table(results, rows), figures_table(results, rows)]
    if results.notes:
        parts.append("\n".join(f"- {note}" for note in results.notes))
    return "\n\n".join(parts) + "\n"


def facts_line(facts: Mapping[str, str]) -> str:
    """Return the machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items()) + "."


def goals_table(results: Results, rows: Sequence[Row]) -> str:
    """Return one line a goal: the load, the bound, the measured value, and whether the bound is reached."""
    lines = [
        "| row | load | figure | to reach | measured | the relay | against | reached |",
        "|---|---|---|---|---|---:|---:|---|",
    ]
    for row in rows:
        words = row.words
        for goal in row.goals:
            lines.append(_goal_line(judge(results, row, goal), words))
            words = ""
    return "\n".join(lines)


def _goal_line(verdict: Verdict, words: str) -> str:
    goal = verdict.goal
    cells = (
        verdict.row.name,
        words,
        goal.figure if goal.of == RELAY else f"{goal.figure} of {goal.of}",
        aim(verdict),
        spread_words(verdict.measured),
        _middle(verdict.ours),
        _middle(verdict.theirs),
        {True: "yes", False: "**no**", None: "not measured"}[verdict.reached],
    )
    return f"| {' | '.join(cells)} |"


def aim(verdict: Verdict) -> str:
    """Return a goal in words: `at least 4 times postfix`, `at most 60`."""
    goal = verdict.goal
    limit = "at most " if goal.at_most else "at least "
    return f"{limit}{number(goal.bound)}" + (f" times {goal.against}" if goal.against else "")


def figures_table(results: Results, rows: Sequence[Row]) -> str:
    """Return one line a row and contender, with the spread of every figure; points of curves are for the plot."""
    lines = ["| row | contender | figures | rounds |", "|---|---|---|---:|"]
    for row in rows:
        for contender, rounds in results.rounds.get(row.name, {}).items():
            figures = "; ".join(_figures(results, row.name, contender))
            lines.append(f"| {row.name} | {contender} | {figures} | {sum(map(bool, rounds))} |")
    return "\n".join(lines)


def _figures(results: Results, row: str, contender: str) -> Iterator[str]:
    names = dict.fromkeys(name for figures in results.rounds[row][contender] for name in figures if POINT not in name)
    for name in names:
        yield f"{name} {spread_words(spread(results.values(row, contender, name)))}"


def spread_words(values: Spread | None) -> str:
    """Return a median with the least and the most: `2,467 (2,300 to 2,500)`."""
    if values is None:
        return ""
    if values.rounds == 1:
        return number(values.middle)
    return f"{number(values.middle)} ({number(values.least)} to {number(values.most)})"


def _middle(values: Spread | None) -> str:
    return "" if values is None else number(values.middle)
