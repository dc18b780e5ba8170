"""Who a message says it is from: the domain that a DKIM signature speaks for (RFC 6376 section 3.5, RFC 5322 3.6.2)."""

from email.utils import getaddresses
from functools import lru_cache

from mta.message.headers import values
from mta.smtp.address import AddressError, parse_domain

#: A longer From is not read.
MAX_FROM = 8192


def author_domain(block: bytes) -> str | None:
    """Return the domain of the one address in the one From field of a header block, in lower case and ASCII.

    None if there is no such field or address, or more than one: nobody could say which of them has signed.
    """
    found = values(block, "From")
    return _domain(found[0]) if len(found) == 1 and len(found[0]) <= MAX_FROM else None


# An application sends as few authors.
@lru_cache(maxsize=1024)
def _domain(value: bytes) -> str | None:
    # A name with a comma that should have been quoted, `Doe, Jane <jane@example.org>`, is no second author.
    addresses = [address for _, address in getaddresses([value.decode(errors="replace")]) if "@" in address]
    if len(addresses) != 1:
        return None
    try:
        domain = parse_domain(addresses[0].rpartition("@")[2])
    except AddressError:
        return None
    return None if domain.startswith("[") else domain
