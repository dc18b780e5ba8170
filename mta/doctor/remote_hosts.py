"""Remote hosts as the relay reaches them: smarthosts, and the MX hosts of a domain. No mail is sent."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from mta.doctor.findings import Finding, failure, ok, skipped, warning

# Between the failure and the advice in the words of the relay's own connector.
_STAYS = "; mail stays queued. "
_PORT_25 = "no connection to any MX host: many networks block port 25; ask the provider to open it, or use a smarthost"


@dataclass(frozen=True, slots=True)
class HostTrial:
    """A connection that was opened as for mail, up to the login, and closed."""

    #: The name of the smarthost, or the domain whose MX host this is.
    of: str
    #: Host, address and port; "" if no address was found.
    peer: str
    #: Protocol and cipher, and whether the certificate was verified; "" in clear.
    security: str = ""
    #: Whether the relay has logged in.
    logged_in: bool = False
    #: The reason why the connection could not be used for mail, or "".
    failed: str = ""
    #: The reason why the login was left out, or "".
    login_left_out: str = ""


def check_smarthosts(trials: Sequence[HostTrial]) -> Iterator[Finding]:
    """Yield findings about each address of each smarthost."""
    check = "smarthost/connect"
    if not trials:
        yield skipped(check, "no smarthost is set")
    for _, group in groupby(trials, lambda trial: trial.of):
        every = list(group)
        yield from _group(check, every, "see the smarthost's page of the docs, and its own status page")
    for trial in _with_login_left_out(trials):
        yield skipped("smarthost/login", f"{trial.of}: {trial.login_left_out}", "run this in the relay's environment")


def check_mx_hosts(trials: Sequence[HostTrial], *, by_smarthost: bool) -> Iterator[Finding]:
    """Yield findings about the MX hosts of each domain. `by_smarthost` tells that no mail goes to MX hosts."""
    check = "network/mx"
    if by_smarthost:
        yield skipped(check, "all mail leaves through a smarthost")
        return
    if not trials:
        yield skipped(check, "no domain was named", "name one whose MX hosts are to be tried by --to DOMAIN")
    for _, group in groupby(trials, lambda trial: trial.of):
        yield from _group(check, list(group), _PORT_25)


def _group(check: str, trials: Sequence[HostTrial], remedy: str) -> Iterator[Finding]:
    """Yield findings about hosts that can stand in for each other: a failure only if all of them fail."""
    some = any(not trial.failed for trial in trials)
    for trial in trials:
        place = f"{trial.of}: {trial.peer}" if trial.peer and not trial.peer.startswith(trial.of) else trial.peer
        if not trial.failed:
            login = ", logged in" if trial.logged_in else ""
            yield ok(check, f"{place or trial.of}: {trial.security or 'in clear'}{login}")
            continue
        seen, _, advice = trial.failed.partition(_STAYS)
        advice = advice or (remedy if trial.peer else "check the name")
        yield (warning if some else failure)(check, f"{place or trial.of}: {seen}", advice)


def _with_login_left_out(trials: Iterable[HostTrial]) -> Iterator[HostTrial]:
    """Yield one trial of each smarthost at which the login was not tried."""
    yield from {trial.of: trial for trial in trials if trial.login_left_out}.values()
