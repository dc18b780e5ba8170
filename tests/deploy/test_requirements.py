"""The image's packages: everything that the program needs is pinned, and every pin has its hashes."""

import configparser
import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
PINNED = (ROOT / "deploy" / "container" / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", PINNED, re.MULTILINE))


def required():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].strip().splitlines()
    # The extras that the image has.
    wanted += setup["options.extras_require"]["postgres"].strip().splitlines()
    return [Requirement(line) for line in wanted]


def test_every_dependency_is_pinned_at_an_allowed_version():
    for requirement in required():
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in PINS, f"run deploy/container/lock.py: {name} is not pinned"
        assert requirement.specifier.contains(PINS[name])


def test_every_line_is_a_pin_with_a_hash():
    entries = PINNED.split("\n", 1)[1].replace(" \\\n    ", " ").splitlines()
    assert len(entries) == len(PINS)
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+( --hash=sha256:[0-9a-f]{64})+", entry) for entry in entries)
