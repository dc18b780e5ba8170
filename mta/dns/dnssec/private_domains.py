"""Private top-level domains, such as `corp`: the public DNS does not have them, and the name servers of a network do.

Answers about names below them cannot be proven. They are no danger, because a stranger cannot have such a domain.
"""

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

# A proof of the root has fewer octets, and dnspython needs long for a crafted reply of many.
_MAX_OCTETS = 4096
_MAX_LABEL = 63
# The label that follows another one is this octet longer.
_NEXT = "-"


def neighbour(name: str) -> str:
    """Return a top-level domain that does not exist if that of a name does not; "" if it would be too long.

    The name servers of a network answer for their own domain, even about its keys. The proof of the root for this name,
    which follows the domain at once, covers both.
    """
    top = name.removesuffix(".").rpartition(".")[2]
    return top + _NEXT if top and len(top) < _MAX_LABEL else ""


def is_denied(packet: bytes, name: str) -> bool:
    """Whether a proven reply about the neighbour of a name says that the name's top-level domain does not exist."""
    if len(packet) > _MAX_OCTETS:
        return False
    try:
        authority = dns.message.from_wire(packet).authority
        top = dns.name.from_text(name.removesuffix(".").rpartition(".")[2])
    except dns.exception.DNSException:
        return False
    return any(
        rrset.rdtype == dns.rdatatype.NSEC and rrset.name < top and (nsec.next == dns.name.root or top < nsec.next)
        for rrset in authority
        for nsec in rrset
    )
