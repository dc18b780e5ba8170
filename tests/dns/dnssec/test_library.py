"""libunbound itself: it is there or not, knows the driver's options, and refuses what makes no sense."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.bindings import _rust

from harness.daemon import ROOT
from mta.dns.dnssec.library import Libunbound, LibunboundError, UnboundContext, libunbound
from mta.dns.dnssec.trust_anchors import root_anchors
from mta.dns.dnssec.unbound import OPTIONS

HERE = [("127.0.0.1", 9)]


@pytest.fixture
def library() -> Libunbound:
    found = libunbound()
    if found is None:
        pytest.skip("libunbound is missing (Debian: libunbound8)")
    return found


@pytest.mark.parametrize("content", ["nothing", "text", "another library"])
def test_a_library_that_cannot_be_used_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "libunbound.so.8"
    if content == "another library":
        file.symlink_to(_rust.__file__)
    else:
        file.write_text("" if content == "nothing" else "text" * 1000)
    code = "from mta.dns.dnssec.library import libunbound; print(libunbound())"
    environ = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("None\n", "")


def test_every_option_of_the_driver_is_known(library: Libunbound) -> None:
    context = library.create()
    try:
        for name, value in (*OPTIONS, ("no-such-option", "1")):
            known = not library.option(context, f"{name}:".encode(), value.encode())
            assert known == (name != "no-such-option"), name
    finally:
        library.delete(context)


def test_a_mistake_is_told_in_its_words(library: Libunbound) -> None:
    with pytest.raises(LibunboundError, match="libunbound: server nowhere: syntax error"):
        UnboundContext(library, [("nowhere", 53)], (), ())
    context = UnboundContext(library, HERE, (". IN DS nonsense",), ())
    with pytest.raises(LibunboundError, match="libunbound: a look-up: initialization failure"):
        context.ask(1, b"a.test.", 1)
    context.close()


def test_a_closed_context_refuses_calls(library: Libunbound) -> None:
    context = UnboundContext(library, HERE, root_anchors(), ())
    context.close()
    context.close()
    with pytest.raises(LibunboundError, match="closed"):
        context.ask(1, b"a.test.", 1)
    with pytest.raises(LibunboundError, match="closed"):
        context.process()


def test_it_writes_nothing_to_standard_error(library: Libunbound, capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = (
        UnboundContext(library, HERE, anchors, (("no-such-option", "1"), *OPTIONS))
        for anchors in (root_anchors(), (". IN DS nonsense",))
    )
    with pytest.raises(LibunboundError):
        bad.ask(1, b"a.test.", 1)
    bad.close()
    good.close()
    assert capfd.readouterr() == ("", "")


_GIVES_UP_ROOT = """\
import os, select
from mta.dns.dnssec.library import UnboundContext, libunbound
from mta.dns.dnssec.trust_anchors import root_anchors

first, second = (UnboundContext(libunbound(), [("127.0.0.1", 9)], root_anchors(), ()) for _ in range(2))
for context in (first, first, second):
    context.ask(1, b"a.test.", 1)
    assert select.select([context], [], [], 120)[0]
    assert len(context.process()) == 1
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
first.close()
second.close()
"""


def test_it_runs_on_after_root_is_given_up_and_starts_then_too(library: Libunbound) -> None:
    if os.geteuid():
        pytest.skip("only root can give root up")
    command = [sys.executable, "-c", _GIVES_UP_ROOT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
