"""The interface for DNS answers with their security: proven, not signed, or forged (RFC 4033 section 5)."""

import enum
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from mta.dns.answers import Answer
from mta.dns.message import RecordType


class Security(enum.Enum):
    """How far an answer can be believed; each value is worse than the one before."""

    #: Signatures prove the answer up to a trust anchor: its records or their absence, and each CNAME before it.
    SECURE = "secure"
    #: The answer has no proof, because its zone is not signed, or because the relay does not validate.
    INSECURE = "insecure"
    #: The zone is signed, and the signatures are wrong or missing, or no server gave an answer.
    BOGUS = "bogus"


_BY_DANGER = tuple(Security)


@dataclass(frozen=True, slots=True)
class ValidatedAnswer:
    """An answer, its security, and one line for an operator on why the answer is not secure ("" if it is).

    `answer` is a LookupFailed if it is bogus, and never one if it is secure.
    """

    answer: Answer[Any]
    security: Security
    reason: str = ""


class Authenticity(Protocol):
    """Looks names up in the DNS, and says of each answer how secure it is."""

    @property
    def usable(self) -> bool:
        """Whether answers can be secure now. If not, all are insecure, and TLSA records are of no use."""

    def look_up(self, name: str, rdtype: RecordType) -> Awaitable[ValidatedAnswer]:
        """Return the records of a name: MxRecord for MX, TlsaRecord for TLSA, text for A, AAAA and TXT.

        `Found.name` is the owner of the records, after CNAMEs. Does not raise for any name or behaviour of a server. An
        answer may come from a cache; its `ttl` is then the rest. Those that ask the same at once share one look-up.
        """

    def start(self) -> None:
        """Begin to find out whether answers can be secure; look-ups wait for that."""

    def stop(self) -> None:
        """Release all resources. Look-ups that have not ended fail."""


def worse(first: Security, second: Security) -> Security:
    """Return the security of an answer that rests on two."""
    return max(first, second, key=_BY_DANGER.index)
