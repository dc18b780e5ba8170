"""The interface of the policies: the policy that a domain publishes now, or has published."""

from collections.abc import Awaitable
from typing import Protocol

from mta.sts.policy import StsPolicy

#: The seconds within which `PolicySource.policy` answers.
PATIENCE = 15.0


class PolicySource(Protocol):
    """Finds the MTA-STS policies of domains, and keeps them for as long as they say."""

    def policy(self, domain: str) -> Awaitable[StsPolicy | None]:
        """Return the policy that is in force for mail to a domain; None if it has no policy, or one in mode `none`.

        `domain` is a name in lower-case ASCII, not a literal. The policy is fetched if the domain publishes another id
        than that of the policy at hand; so this takes up to PATIENCE seconds. Never raises.
        """

    def look_again(self, domain: str) -> None:
        """Have the next call of `policy` fetch the policy, because mail has failed by the one at hand.

        For this reason a domain is asked every five minutes at most, however often mail fails.
        """
