"""Checks that the files of a release agree on its version, and prints its notes.

`python -m tools.release check v0.3.0` prints each file that is not ready for this tag, and fails if there is one.
`python -m tools.release notes v0.3.0` prints the section of the changelog.
`python -m tools.release links v0.3.0 ADDRESS` rewrites the links of README.md: they then lead to the files of the tag,
because the page of the Python package has that text alone.
`python -m tools.release image NAME` makes NAME the image of the Helm chart, which would otherwise be one of this host.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

_VERSION = r"[0-9]+\.[0-9]+\.[0-9]+"
#: The places that name the version: a file, and a pattern whose first group is the version.
PLACES = (
    ("mta/__init__.py", rf'^__version__ = "({_VERSION})"$'),
    ("Dockerfile", rf"^ARG VERSION=({_VERSION})$"),
    ("debian/changelog", rf"^smtprelay \(({_VERSION})\) "),
    ("deploy/helm/smtprelay/Chart.yaml", rf"^version: ({_VERSION})$"),
    ("deploy/helm/smtprelay/Chart.yaml", rf"^appVersion: ({_VERSION})$"),
)


def faults(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Yield a line for each file that is not ready for a release with this tag, which is `v` and the version."""
    if not re.fullmatch(f"v{_VERSION}", tag):
        yield f"the tag is {tag!r}: it must be v and a version, such as v1.2.3"
        return
    version = tag.removeprefix("v")
    for path, pattern in PLACES:
        named = re.search(pattern, (root / path).read_text(), re.MULTILINE)
        if named is None:
            yield f"{path}: no version is found"
        elif named[1] != version:
            yield f"{path}: the version is {named[1]}, not {version}"
    changelog = (root / "CHANGELOG.md").read_text()
    if not notes(version, changelog):
        yield f"CHANGELOG.md: there is no section [{version}] with a date"
    if notes("Unreleased", changelog):
        yield f"CHANGELOG.md: changes are still under Unreleased: move them under [{version}]"
    minor = version.rpartition(".")[0]
    if f"| {minor} | yes |" not in (root / "SECURITY.md").read_text():
        yield f"SECURITY.md: version {minor} is not among the supported ones"


def notes(version: str, changelog: str) -> str:
    """Return the changes of a version, or of `Unreleased`; "" if there are none."""
    date = "" if version == "Unreleased" else " - [0-9]{4}-[0-9]{2}-[0-9]{2}"
    heading = re.compile(rf"^## \[{re.escape(version)}\]{date}\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    found = heading.search(changelog)
    return found[1].strip() if found else ""


def with_full_links(text: str, tag: str, address: str) -> str:
    """Return a page of the project whose links and pictures lead to the files of a tag at the repository's address."""
    pages, files = f"{address}/blob/{tag}/", f"{address}/raw/{tag}/"
    text = re.sub(r"\]\((?![a-z]+:|#)", f"]({pages}", text)
    return re.sub(r'\b(src|srcset)="(?![a-z]+:)', rf'\1="{files}', text)


def with_image(values: str, name: str) -> str:
    """Return the values of the chart with a name for the image. Raises ValueError if they have no place for it."""
    text, found = re.subn(r"(?m)^(image:\n  repository: ).*$", rf"\g<1>{name}", values)
    if found != 1:
        raise ValueError("the values of the chart do not begin the image with its repository")
    return text


def main(arguments: list[str]) -> int:
    """Run one of the commands, and return its exit status."""
    match arguments:
        case ["check", tag]:
            found = list(faults(tag))
            sys.stderr.write("".join(f"{line}\n" for line in found))
            return 1 if found else 0
        case ["notes", tag]:
            sys.stdout.write(f"{notes(tag.removeprefix('v'), (ROOT / 'CHANGELOG.md').read_text())}\n")
            return 0
        case ["links", tag, address]:
            readme = ROOT / "README.md"
            readme.write_text(with_full_links(readme.read_text(), tag, address))
            return 0
        case ["image", name]:
            values = ROOT / "deploy/helm/smtprelay/values.yaml"
            values.write_text(with_image(values.read_text(), name))
            return 0
    sys.stderr.write("usage: python -m tools.release check TAG | notes TAG | links TAG ADDRESS | image NAME\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
