"""The check before a release, on the files of the project and on files that are not ready."""

import re
from pathlib import Path

import pytest
import yaml

from mta import __version__
from tools.release import PLACES, ROOT, faults, main, notes, with_full_links, with_image

FILES = sorted({path for path, _ in PLACES})
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A door.

## [1.2.3] - 2026-02-01

- A window.

## [1.2.2] - 2026-01-01

- A house.
"""
READY = CHANGELOG.replace("### Added\n\n- A door.\n\n", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files that the check reads, ready for version 1.2.3."""
    for path in {*FILES, "SECURITY.md"}:
        text = (ROOT / path).read_text().replace(__version__, "1.2.3")
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(re.sub(r"\| [0-9.]+ \| yes \|", "| 1.2 | yes |", text))
    (tmp_path / "CHANGELOG.md").write_text(READY)
    return tmp_path


def test_all_places_of_the_project_name_the_same_version() -> None:
    # Between releases only changes that are not released yet may be in the way.
    assert [line for line in faults(f"v{__version__}") if "Unreleased" not in line] == []


def test_files_that_agree_are_ready(project: Path) -> None:
    assert list(faults("v1.2.3", project)) == []


@pytest.mark.parametrize("path", FILES)
def test_each_place_with_another_version_is_named(project: Path, path: str) -> None:
    text = (project / path).read_text()
    (project / path).write_text(text.replace("1.2.3", "1.2.2"))
    assert set(faults("v1.2.3", project)) == {f"{path}: the version is 1.2.2, not 1.2.3"}
    (project / path).write_text(text.replace("1.2.3", "?"))
    assert set(faults("v1.2.3", project)) == {f"{path}: no version is found"}


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc1", "", "v1.2.3\n"])
def test_a_tag_that_is_no_version_is_refused(project: Path, tag: str) -> None:
    (fault,) = faults(tag, project)
    assert repr(tag) in fault


def test_the_changelog_must_have_the_version_and_nothing_unreleased(project: Path) -> None:
    (project / "CHANGELOG.md").write_text(CHANGELOG.replace("1.2.3", "1.2.1"))
    assert [line.partition(":")[0] for line in faults("v1.2.3", project)] == ["CHANGELOG.md", "CHANGELOG.md"]


def test_a_version_without_security_fixes_is_not_released(project: Path) -> None:
    (project / "SECURITY.md").write_text("| 1.1 | yes |\n| 1.2 | no |\n")
    assert list(faults("v1.2.3", project)) == ["SECURITY.md: version 1.2 is not among the supported ones"]


def test_the_notes_are_the_section_of_the_version() -> None:
    assert notes("1.2.3", CHANGELOG) == "- A window."
    assert notes("1.2.2", CHANGELOG) == "- A house."
    assert notes("Unreleased", CHANGELOG) == "### Added\n\n- A door."
    assert notes("1.2", CHANGELOG) == ""


def test_the_links_of_a_page_lead_to_the_files_of_the_tag() -> None:
    text = '[a](docs/a.md#b) [c](#c) [d](https://d.test/) [e](LICENSE)\n<img alt="f" src="docs/f.webp">'
    assert with_full_links(text, "v1.2.3", "https://host.test/us/it") == (
        "[a](https://host.test/us/it/blob/v1.2.3/docs/a.md#b) [c](#c) [d](https://d.test/)"
        " [e](https://host.test/us/it/blob/v1.2.3/LICENSE)\n"
        '<img alt="f" src="https://host.test/us/it/raw/v1.2.3/docs/f.webp">'
    )
    readme = with_full_links((ROOT / "README.md").read_text(), "v1.2.3", "https://host.test")
    assert re.findall(r'\]\((?!https://|#)|src(?:set)?="(?!https://)', readme) == []


def test_the_chart_gets_the_name_of_the_published_image() -> None:
    text = (ROOT / "deploy/helm/smtprelay/values.yaml").read_text()
    values = yaml.safe_load(text)
    values["image"]["repository"] = "registry.test/us/smtprelay"
    assert yaml.safe_load(with_image(text, "registry.test/us/smtprelay")) == values
    with pytest.raises(ValueError, match="repository"):
        with_image("image: {}\n", "registry.test/us/smtprelay")


def test_the_commands_end_with_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "v0.0.0"]) == 1
    assert "mta/__init__.py" in capsys.readouterr().err
    assert main(["notes", f"v{__version__}"]) == 0
    assert capsys.readouterr().out.strip()
    assert main([]) == 2
