"""Top-level domains that are proven not to exist."""

import dns.message
import dns.rrset
import pytest

from mta.dns.dnssec.private_domains import is_denied, neighbour


def reply(*nsec: tuple[str, str], rdtype: str = "NSEC") -> bytes:
    """Return a reply with these NSEC records: their names, and the names that follow."""
    message = dns.message.make_response(dns.message.make_query("corp-.", "A"))
    for owner, following in nsec:
        text = following if rdtype == "CNAME" else f"{following} NS DS"
        message.authority.append(dns.rrset.from_text(owner, 60, "IN", rdtype, text))
    return message.to_wire()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mx.corp", "corp-"), ("corp", "corp-"), ("mx.corp.", "corp-"), ("", ""), (".", ""), ("a." + "x" * 63, "")],
)
def test_the_neighbour_follows_the_top_level_domain(name: str, expected: str) -> None:
    assert neighbour(name) == expected


@pytest.mark.parametrize(
    ("proofs", "denied"),
    [
        ([("coop.", "corsica.")], True),
        ([(".", "aaa."), ("coop.", "corsica.")], True),
        # The last name of the root.
        ([("coop.", ".")], True),
        # The domain exists.
        ([("corp.", "corsica.")], False),
        ([("coop.", "corp.")], False),
        ([("com.", "coop.")], False),
        ([("corsica.", "country.")], False),
        ([], False),
    ],
)
def test_a_domain_is_denied_if_a_proof_covers_it(proofs: list[tuple[str, str]], *, denied: bool) -> None:
    assert is_denied(reply(*proofs), "mx.corp") is denied


def test_other_records_and_octets_prove_nothing() -> None:
    assert not is_denied(reply(("coop.", "corsica."), rdtype="CNAME"), "mx.corp")
    assert not is_denied(b"nothing", "mx.corp")
    assert not is_denied(reply(("coop.", "corsica."))[:-3], "mx.corp")
    assert not is_denied(reply(*[("coop.", f"corsica{number}.") for number in range(300)]), "mx.corp")
