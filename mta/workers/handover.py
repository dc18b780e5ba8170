"""Hands settings, the rules of the ports, certificate and key from the parent to each worker.

The handover has passwords and a private key, so it is in an anonymous file in memory whose descriptor the worker
inherits, not in a command line or an environment. It also serves workers that are restarted after the parent has lost
the permission to read the files.
"""

import os
import pickle
from dataclasses import dataclass, field
from io import BytesIO

import mta
from mta.config.settings import Settings
from mta.inbound.sockets.port_rule import PortRule
from mta.tls.pem_files import PemFiles
from mta.tls.server import CertificateSnapshot


class HandoverError(Exception):
    """The worker has another version of the program than the parent. The message is a line for the operator."""


@dataclass(frozen=True, slots=True)
class Handover:
    """The data that every worker gets."""

    settings: Settings
    #: The rules of the listening sockets, in the order in which the worker inherits those.
    rules: tuple[PortRule, ...]
    certificate: CertificateSnapshot | None
    #: Seconds between two heartbeats to the parent; None if it does not expect them.
    heartbeat: float | None
    #: The certificate that is shown to the smarthost, and its key.
    client_certificate: PemFiles | None = None
    #: The module of the parent's reactor, so that `twistd --reactor` is for the workers too.
    reactor_module: str = "mta.reactor.epoll"
    version: str = field(default=mta.__version__)


def write_handover(handover: Handover) -> int:
    """Return the descriptor of a new file in memory with the handover. It is inherited only if passed explicitly."""
    descriptor = os.memfd_create("smtprelay")
    with open(descriptor, "wb", closefd=False) as file:
        # The version comes first, so that any other version can read it.
        pickle.dump(handover.version, file)
        pickle.dump(handover, file)
    return descriptor


def read_handover(descriptor: int) -> Handover:
    """Read the handover and close its descriptor. Raises HandoverError."""
    # pread, because all workers share the descriptor's offset.
    file = BytesIO(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    os.close(descriptor)
    version = pickle.load(file)  # noqa: S301  only the parent can write the file
    if version != mta.__version__:
        raise HandoverError(f"this worker is version {mta.__version__}, the relay {version}: restart the relay")
    handover: Handover = pickle.load(file)  # noqa: S301
    return handover
