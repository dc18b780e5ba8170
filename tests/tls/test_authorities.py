"""The authorities of SMARTHOST_CA_FILE, read again while the relay runs."""

from typing import Any

import pytest
from twisted.internet.protocol import Protocol

from harness.certificates import authority
from mta.routing.route import Route, TlsRule
from mta.tls.authorities import Authorities

FIRST, SECOND = authority("First"), authority("Second")
ROUTE = Route("mx.test", "192.0.2.1", 25, TlsRule.VERIFY)


def roots(authorities):
    return authorities.options(ROUTE)._trust.roots


def test_a_new_file_counts_after_a_reload_and_not_before(tmp_path):
    path = FIRST.write(tmp_path)
    authorities = Authorities(path, pytest.fail)
    path.write_bytes(SECOND.certificate_pem)
    assert roots(authorities) == FIRST.certificate_pem
    authorities.reload()
    assert roots(authorities) == SECOND.certificate_pem


@pytest.mark.parametrize("spoil", ["nonsense", "gone"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(tmp_path, spoil):
    path = FIRST.write(tmp_path)
    told = []
    authorities = Authorities(path, told.append)
    if spoil == "gone":
        path.unlink()
    else:
        path.write_text(spoil)
    authorities.reload()
    assert roots(authorities) == FIRST.certificate_pem
    (line,) = told
    assert line.startswith(f"SMARTHOST_CA_FILE={path}: ")
    assert line.endswith("the authorities known so far stay in use")


def test_the_systems_authorities_are_read_again_for_the_next_connection():
    authorities = Authorities(None, pytest.fail)
    protocol: Any = Protocol()

    def context():
        return authorities.options(ROUTE).clientConnectionForTLS(protocol).get_context()

    first = context()
    assert context() is first
    authorities.reload()
    assert context() is not first
