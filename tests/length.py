"""The length of the tests: the short form of each, for `make test`, or its full length, for `make test-all`.

The environment variable RELAY_TESTS decides, and only this file reads it: `all` is the full length. A test takes its
numbers from `choose`; a test that makes sense at full length only has the marker `long`; property tests are cut to
SHORT_EXAMPLES by tests/conftest.py, regardless of their own settings.
"""

import os
from typing import TypeVar

T = TypeVar("T")

#: Whether the tests run at full length.
FULL = os.environ.get("RELAY_TESTS") == "all"
#: The examples of a property test in its short form.
SHORT_EXAMPLES = 30


def choose(short: T, full: T) -> T:
    """Return the value for the length of this run."""
    return full if FULL else short
