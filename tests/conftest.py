"""Settings and fixtures that apply to every test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from mta.reactor.epoll import install_unless_chosen
from tests.length import FULL, SHORT_EXAMPLES
from tests.said_secrets import LoggedText, said, secrets_of

_EXAMPLES = DirectoryBasedExampleDatabase(Path(__file__).parent.parent / ".hypothesis" / "examples")
# On a busy machine, and in a fresh clone where Hypothesis first makes its tables of characters, slowness is no fault.
settings.register_profile("relay", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=_EXAMPLES)
settings.load_profile("relay")

# Programs of the tests inherit what a signal does, and a shell has commands in the background ignore this one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The tests run on the reactor that the relay has.
install_unless_chosen()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at the same time: more than there are cores, because those of the daemon also wait."""
    return max(2, len(os.sched_getaffinity(0)) * 3 // 2)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each sync from now on adds the path of its file or folder, instead of being done."""
    paths: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: paths.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    return paths


_logged = LoggedText()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test whose output, or Twisted's log of it, contains a secret of its module."""
    report = yield
    logged = _logged.take()
    if report.when == "call" and report.passed and isinstance(item, pytest.Function):
        found = said(secrets_of(item.module), "\n".join([logged, *(text for _, text in report.sections)]))
        if found:
            report.outcome = "failed"
            report.longrepr = f"the test made the code say secrets: {found}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a short run their short form."""
    if FULL:
        return
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.skip(reason="a long test: make test-all"))
        test = getattr(item, "obj", None)
        _shorten(getattr(test, "__func__", test))


def _shorten(test: object) -> None:
    """Cut the number of examples of a property test.

    Hypothesis keeps the settings of a decorated test in this attribute, and has no public way to change them. Were it
    renamed, property tests would keep their full length.
    """
    own = getattr(test, "_hypothesis_internal_use_settings", None)
    if own is not None and own.max_examples > SHORT_EXAMPLES:
        test._hypothesis_internal_use_settings = settings(own, max_examples=SHORT_EXAMPLES)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True, scope="session")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in a temporary directory: Twisted's TestCase.mktemp makes its directories in the working one."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("work"))
    yield
    os.chdir(before)
