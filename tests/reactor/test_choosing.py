"""The choice of the reactor: the relay's own, unless the operator names another one."""

import subprocess
import sys

import pytest
from twisted.internet import reactor

from harness.daemon import PYTHON_PATH

# Reads a command line as twistd does, and tells the reactor by which the program would run.
_PROGRAM = """
import sys
from twisted.scripts.twistd import ServerOptions
ServerOptions().parseOptions(sys.argv[1:])
from twisted.internet import reactor
print(type(reactor).__module__)
"""


def chosen_by(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env={"NET_DEV": "none0", "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["-n", "smtprelay"], "mta.reactor.epoll"),
        (["-n", "--reactor=epoll", "smtprelay"], "twisted.internet.epollreactor"),
        (["--reactor", "poll", "smtprelay"], "twisted.internet.pollreactor"),
    ],
    ids=["none", "epoll", "poll"],
)
def test_the_operator_may_choose_another_reactor(arguments, module):
    assert chosen_by(*arguments) == module


def test_another_program_of_twistd_has_the_reactor_of_twisted():
    assert chosen_by("web", "--path=.") == "twisted.internet.epollreactor"


def test_the_tests_run_on_the_reactor_of_the_relay():
    assert type(reactor).__module__ == "mta.reactor.epoll"
