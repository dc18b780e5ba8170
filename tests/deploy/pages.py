"""The Markdown pages of the project, and their fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.manifests import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

# The reason why a block of commands is not run, by a part of its text.
NOT_RUN = {
    r"\bmake\b": "it runs the relay or the tests",
    r"\bgit (tag|push)\b": "it publishes a version",
    r"\bgh attestation\b": "it asks the host of the repository",
    r"\bpip install\b": "it fetches packages",
    r"\bapt install\b": "tests/packages/debian installs it in a machine of its own",
    r"\bln -s\b": "it needs root",
    r"\bpipx\b": "tests/packages/python installs it",
    r"\bsmtprelay run\b": "tests/cli/test_run.py runs it",
    r"\b(systemctl|runuser)\b": "tests/systemd runs it in a machine of its own",
    r"\bdocker (build|run)\b": "tests/image builds the image and runs it",
    r"\bdocker buildx\b": "it publishes an image",
    r"\bimage_sbom\b": "tests/image runs it on the image",
    r"\bhelm (install|upgrade)\b": "tests/deploy/helm renders the chart",
    r"\bkubectl --namespace mail\b": "it needs a cluster",
    r"\bpodman\b": "it runs the relay in a container",
    r"\bdkim check\b": "it asks the public DNS",
    r"\bsmtprelay oauth\b": "it asks a provider on the Internet",
    r"127\.0\.0\.1:25 ": "it needs the port of the container",
    r"\bchown\b": "it needs root",
    r"\bmailq\b": "tests/image runs it",
    r"\bcurl .*(unix-socket|Authorization: Bearer)": "tests/endtoend/test_operator_api.py asks the API",
}

_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def why_not_run(self) -> str:
        """The reason not to run it as commands; "" if it can be run."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, self.text)), "")


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text()
    for match in _FENCE.finditer(text):
        indent, language, content = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, language, re.sub(f"^{indent}", "", content, flags=re.MULTILINE))


def commands(page: Path) -> list[Block]:
    """Return the blocks of a page that hold shell commands."""
    return [block for block in blocks(page) if block.language == "sh"]
