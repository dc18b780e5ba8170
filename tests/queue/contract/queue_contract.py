"""The contract of a Queue, which the tests of each implementation inherit."""

from tests.queue.contract.adding import AddContract, BodyContract
from tests.queue.contract.claiming import ClaimContract, DeferredContract, InFlightContract, ReleaseContract
from tests.queue.contract.one_recipient import OneRecipientContract
from tests.queue.contract.operating import ActionContract, EndContract, ReadContract
from tests.queue.contract.rerouting import RerouteContract
from tests.queue.contract.searching import AttemptContract, BounceContract, DomainContract, SearchContract
from tests.queue.contract.settling import SettleContract


class QueueContract(
    AddContract,
    BodyContract,
    ClaimContract,
    ReleaseContract,
    DeferredContract,
    InFlightContract,
    SettleContract,
    ActionContract,
    OneRecipientContract,
    RerouteContract,
    ReadContract,
    SearchContract,
    AttemptContract,
    BounceContract,
    DomainContract,
    EndContract,
):
    """Tests by the interface alone. A TestCase inherits it and defines `make_queue` and `fill_disk`."""
