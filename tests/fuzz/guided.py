"""A campaign in a process of its own, guided by coverage: `python -m tests.fuzz.guided target inputs folder`.

Mutates octets, and goes on from those that reach new code in mta/. The last line that it prints is a Result as
JSON; libFuzzer's own words go to standard error.
"""

import json
import os
import sys
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["mta"]):
    from tests.fuzz.table import TARGETS

from tests.fuzz.campaign import Campaign
from tests.fuzz.corpus import kept

_LONGEST = 400
_OPTIONS = ("-verbosity=0", "-rss_limit_mb=2048", "-timeout=120", "-reload=0", "-len_control=0")


def main(name: str, inputs: str, folder: str) -> None:
    """Run a campaign with these words of a command line."""
    target = TARGETS[name]
    campaign = Campaign(target, "octets", int(inputs), Path(folder))
    corpus = Path(folder) / f"{name}-octets"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in kept(name):
        (corpus / sha256(seed).hexdigest()[:40]).write_bytes(seed)
    before = len(list(corpus.iterdir()))

    def one(data: bytes) -> None:
        campaign(data)
        if campaign.over:
            campaign.result.new = len(list(corpus.iterdir())) - before
            print(json.dumps(asdict(campaign.result)), flush=True)
            # libFuzzer has no way to return.
            os._exit(1 if campaign.result.found else 0)

    atheris.Setup([sys.argv[0], str(corpus), f"-dict={_words(name, folder)}", f"-max_len={_LONGEST}", *_OPTIONS], one)
    atheris.Fuzz()


def _words(name: str, folder: str) -> Path:
    """Write the words of a target as libFuzzer reads them, and return the file."""
    path = Path(folder) / f"{name}.dict"
    escaped = ("".join(f"\\x{octet:02x}" for octet in word) for word in TARGETS[name].words if 0 < len(word) < 64)
    path.write_text("".join(f'"{word}"\n' for word in escaped))
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
