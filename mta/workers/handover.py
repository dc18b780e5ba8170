"""What the parent gives each worker to begin with: what it read while it was allowed to, and nobody else may see.

It has passwords and a private key, so it goes by a nameless file in memory whose descriptor the worker inherits, not by
a command line or an environment. It serves every worker, also those that start again when the parent may not read the
files any more.
"""

import os
import pickle
from dataclasses import dataclass, field
from io import BytesIO

import mta
from mta.config.settings import Settings
from mta.tls.server import CertificateSnapshot


class HandoverError(Exception):
    """The parent is another version of the program than the worker. The message is a line for the operator."""


@dataclass(frozen=True, slots=True)
class Handover:
    """All that is the same for each worker."""

    settings: Settings
    certificate: CertificateSnapshot | None
    #: Seconds between two signs of life to the parent; None: it needs none.
    heartbeat: float | None
    version: str = field(default=mta.__version__)


def write_handover(handover: Handover) -> int:
    """Return the descriptor of a new file in memory with it, which is not inherited unless that is asked for."""
    descriptor = os.memfd_create("smtprelay")
    with open(descriptor, "wb", closefd=False) as file:
        # The version stands apart, to be read by any other.
        pickle.dump(handover.version, file)
        pickle.dump(handover, file)
    return descriptor


def read_handover(descriptor: int) -> Handover:
    """Read it and close the descriptor. Raises HandoverError."""
    # From its start, wherever others that share the descriptor are in it.
    file = BytesIO(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    os.close(descriptor)
    version = pickle.load(file)  # noqa: S301  our own parent wrote it where nobody else can
    if version != mta.__version__:
        raise HandoverError(f"this worker is version {mta.__version__}, the relay {version}: restart the relay")
    handover: Handover = pickle.load(file)  # noqa: S301
    return handover
