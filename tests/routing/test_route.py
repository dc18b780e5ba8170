"""Routes and plans as values."""

from dataclasses import replace

from mta.dns.answers import TlsaRecord
from mta.routing.demands.proof import Proof, ProofSource
from mta.routing.route import Plan, Route, memory_size

ROUTE = Route("mx.test", "192.0.2.1", 25)


def test_the_memory_of_a_plan_grows_with_its_proofs() -> None:
    record = TlsaRecord(3, 1, 1, b"x" * 32)
    proof = Proof(ProofSource.DANE, "a.test", ("mx.test", "a.test"), (record,) * 3)
    sizes = [memory_size(Plan("mx.test", (route,))) for route in (ROUTE, replace(ROUTE, proof=proof))]
    assert sizes[1] - sizes[0] > 3 * 32
