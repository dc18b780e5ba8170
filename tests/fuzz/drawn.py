"""A campaign in a process of its own, drawn by Hypothesis: `python -m tests.fuzz.drawn target inputs folder [seed]`.

The octets from which Hypothesis draws are random, without guidance, which would cost three inputs out of four. It
prints a Result as JSON, and the seed to standard error.
"""

import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.table import TARGETS

_LONGEST = 200


def main(name: str, inputs: str, folder: str, seed: str = "") -> int:
    """Run a campaign with these words of a command line; return the exit status."""
    number = int(seed) if seed else random.randrange(1 << 32)
    print(f"seed {number}", file=sys.stderr, flush=True)
    octets = random.Random(number)
    campaign = Campaign(TARGETS[name], "drawn", int(inputs), Path(folder))
    while not campaign.over:
        campaign(octets.randbytes(octets.randint(1, _LONGEST)))
    print(json.dumps(asdict(campaign.result)))
    return 1 if campaign.result.found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
