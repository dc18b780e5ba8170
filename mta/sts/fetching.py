"""Fetches the policy of a domain from its policy host by HTTPS (RFC 8461 section 3.3)."""

import enum
from collections.abc import Callable

from mta.https.interface import (
    DEFAULT_PORT,
    HostNotProven,
    HostUnknown,
    HostUnreachable,
    HttpAnswer,
    HttpsError,
    HttpsRequester,
)
from mta.sts.policy import MAX_POLICY, PolicyError, StsPolicy, read_policy

_LABEL, _PATH = "mta-sts.", "/.well-known/mta-sts.txt"
_OK, _REDIRECTS = 200, range(300, 400)
_MEDIA_TYPE = "text/plain"


class FetchFault(enum.Enum):
    """The faults of a policy host. The values are the result types of RFC 8460 section 4.3.2.2."""

    FETCH = "sts-policy-fetch-error"
    INVALID = "sts-policy-invalid"
    NOT_PROVEN = "sts-webpki-invalid"


class PolicyFetchError(Exception):
    """There is no policy to be had. The message is one line that names the policy host and the reason."""

    def __init__(self, text: str, fault: FetchFault = FetchFault.FETCH, *, reached: bool | None = True) -> None:
        super().__init__(text)
        self.fault = fault
        #: Whether the policy host took a connection; None without a try.
        self.reached = reached


class PolicyFetcher:
    """Fetches policies. The certificate of a policy host must prove its name; redirects are not followed."""

    def __init__(self, https: Callable[[], HttpsRequester], port: int = DEFAULT_PORT) -> None:
        """`https` returns a requester, which must refuse private addresses and those of the relay.

        `port` is 443 for each policy host on the Internet.
        """
        self._https = https
        self._place = "" if port == DEFAULT_PORT else f":{port}"

    async def fetch(self, domain: str, patience: float) -> StsPolicy:
        """Return the policy that a domain publishes now, within `patience` seconds. Raises PolicyFetchError."""
        host = f"{_LABEL}{domain}{self._place}"
        # Rounded, because it is shown.
        timeout = round(patience, 1)
        try:
            answer = await self._https().request("GET", f"https://{host}{_PATH}", {}, limit=MAX_POLICY, timeout=timeout)
            return read_policy(_body(host, answer))
        except HttpsError as error:
            fault = FetchFault.NOT_PROVEN if isinstance(error, HostNotProven) else FetchFault.FETCH
            raise PolicyFetchError(str(error), fault, reached=_reached(error)) from None
        except PolicyError as error:
            raise PolicyFetchError(f"{host}: {error}", FetchFault.INVALID) from None


def _reached(error: HttpsError) -> bool | None:
    if isinstance(error, HostUnknown):
        return None
    return not isinstance(error, HostUnreachable)


def _body(host: str, answer: HttpAnswer) -> bytes:
    """Return the policy file in an answer. Raises PolicyFetchError if there is no file in it."""
    if answer.status in _REDIRECTS:
        raise PolicyFetchError(f"{host}: the answer is a redirect ({answer.status}), which may not be followed")
    if answer.status != _OK:
        raise PolicyFetchError(f"{host}: the answer has status {answer.status}")
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() != _MEDIA_TYPE:
        raise PolicyFetchError(f"{host}: the policy is not {_MEDIA_TYPE}")
    return answer.body
