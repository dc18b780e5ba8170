"""The proof that a host must give of itself in TLS, as its domain demands it (RFC 8461, RFC 7672, RFC 8689)."""

import enum
from dataclasses import dataclass

from mta.dns.answers import TlsaRecord


class ProofSource(enum.Enum):
    """The standard by which a proof is demanded; the value is the word for it in the log."""

    STS = "sts"
    DANE = "dane"
    REQUIRETLS = "requiretls"


@dataclass(frozen=True, slots=True)
class Proof:
    """The demand on the TLS of one route. A DANE proof without names and records demands TLS with any certificate."""

    source: ProofSource
    #: The recipient's domain that demands it; "" for REQUIRETLS.
    domain: str
    #: The certificate must come from a trusted authority and be for one of these names. TLSA records of usage 2 check
    #: them too, at a certificate of the authority that the record names; records of usage 3 do not.
    names: tuple[str, ...] = ()
    #: The usable TLSA records, as selected by RFC 7671 section 9; the certificate must match one of them.
    records: tuple[TlsaRecord, ...] = ()
    #: The name that is sent as SNI; "" for that of the host.
    server_name: str = ""
    #: False for MTA-STS in mode "testing": the result is told, and mail is delivered all the same.
    enforced: bool = True

    @property
    def given(self) -> str:
        """The words of the log for a certificate that gave the proof: `verified`, `verified sts` or `dane`."""
        if self.records:
            return "dane"
        return "verified sts" if self.source is ProofSource.STS else "verified"
