"""The keys of the root zone, in which each proof ends."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: Files of the root's keys, of Debian's dns-root-data and of other systems. The first that exists counts.
ANCHOR_FILES = (
    Path("/usr/share/dns/root.key"),
    Path("/usr/share/dnssec-root/trusted-key.key"),
    Path("/etc/trusted-key.key"),
    Path("/etc/unbound/root.key"),
)
# As published by IANA (RFC 7958): the keys of 2017 and of 2024.
_BUILT_IN = (
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
)
_MAX_OCTETS = 65536
_TYPES = {"DS", "DNSKEY"}


def root_anchors(files: Iterable[Path] = ANCHOR_FILES) -> tuple[str, ...]:
    """Return the trust anchors: the DS and DNSKEY records of the first file that has some, else those of the relay."""
    for path in files:
        with suppress(OSError), path.open("rb") as file:
            found = read_anchors(file.read(_MAX_OCTETS).decode("ascii", "replace"))
            if found:
                return found
    return _BUILT_IN


def read_anchors(text: str) -> tuple[str, ...]:
    """Return the DS and DNSKEY records of a text in master form with one record in a line."""
    lines = (line.partition(";")[0].strip() for line in text.splitlines())
    return tuple(line for line in lines if _TYPES.intersection(line.upper().split()))
