"""The number of clients for the file descriptors of the process."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def under(soft: int, hard: int, most: int) -> list[str]:
    """Return what a process of its own with these limits says: how many clients, its soft limit, and its notices."""
    program = (
        "import resource; from mta.inbound.sockets.ports import room_for_clients as room;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); notices = [];"
        f"print(room({most}, notices.append), resource.getrlimit(resource.RLIMIT_NOFILE)[0], *notices)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split(maxsplit=2)


@pytest.mark.skipif(HARD != resource.RLIM_INFINITY and HARD < 4096, reason="the system allows too few open files")
def test_the_soft_limit_is_raised_as_far_as_it_must_be():
    assert under(256, 4096, 1000) == ["1000", "2000"]


def test_a_limit_that_is_high_enough_stays():
    assert under(512, 512, 100) == ["100", "512"]


def test_where_there_are_too_few_the_clients_get_half_and_the_operator_is_told():
    clients, soft, notice = under(256, 512, 1000)
    assert (clients, soft) == ("256", "512")
    assert "only 256 clients" in notice
    assert "2000 open files" in notice
