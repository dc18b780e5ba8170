"""The search of what a test makes the code say, by a run of pytest on tests of which one says no secret."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE = """
from twisted.logger import Logger
from twisted.python.failure import Failure

PASSWORD = "open-sesame"

def test_output():
    print("the word is", PASSWORD)

def test_log():
    Logger().info("{word}", word=PASSWORD)

def test_traceback():
    try:
        raise ValueError(f"not {PASSWORD}")
    except ValueError:
        Logger().failure("wrong", Failure())

def test_silence():
    print("open", "sesame")
"""


def test_a_test_that_says_a_secret_fails(tmp_path):
    (tmp_path / "test_module.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
