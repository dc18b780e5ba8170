"""First deliveries to new domains: all arrive, and the relay asks the DNS no more than it must."""

import pytest

from bench.new_domains import Publication, first_deliveries
from harness import network_namespace, zone_servers

SIGNED = Publication(dane=True)

pytestmark = [
    pytest.mark.endtoend,
    pytest.mark.skipif(
        bool(zone_servers.why_not() or network_namespace.why_not()),
        reason=str(zone_servers.why_not() or network_namespace.why_not()),
    ),
]


@pytest.mark.parametrize(
    ("publication", "settings", "queries"),
    [
        # Its MX and its addresses, from the name server and from the validator; DS and DNSKEY; TLSA; and the TXT record
        # of MTA-STS, whose absence the relay confirms.
        (SIGNED, {}, 9),
        (Publication(sts=True), {}, 7),
        (SIGNED, {"MTA_STS": "off", "DANE": "off"}, 2),
    ],
    ids=["signed", "mta-sts", "off"],
)
def test_the_queries_of_a_first_delivery(tmp_path, publication, settings, queries):
    # A busy machine may repeat one.
    found = first_deliveries(tmp_path, 3, publication, **settings)
    assert min(each.queries for each in found) == queries
    assert all(each.seconds > 0 for each in found)
