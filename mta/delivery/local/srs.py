"""The Sender Rewriting Scheme: senders of forwarded mail in a domain of the relay, and reports on their way back.

Mail that an alias sends to another host still names its first sender, whose domain has not allowed this relay to send
(SPF, RFC 7208 appendix D.2 and G). So the relay puts `SRS0=hash=day=domain=local@SRS_DOMAIN` in its place, and sends
reports to that address on to `local@domain`. The format is that of Meng Weng Wong's paper "Sender Rewriting Scheme" and
of libsrs2; the hash need only be understood by the relay that made it.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mta.smtp.address import Address, AddressError, parse_domain

#: Days after which an address takes no more reports.
VALID_DAYS = 21
#: Octets that a local part may have: more are forbidden by RFC 5321 section 4.5.3.1.1, and refused by some hosts.
MAX_LOCAL_OCTETS = 64

_SECONDS_A_DAY = 86_400
_HASH_LETTERS = 8
# Days are counted modulo two letters of base 32.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DAYS = len(_ALPHABET) ** 2
# Days by which the clock of a second relay with the same secret may be ahead.
_DAYS_AHEAD = 1
_FIRST = re.compile(r"SRS0[=+-]([^=]+)=([A-Z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL)
_SECOND = re.compile(r"SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL)
_NOT_ONLY_REPORTS = "this address takes reports about mail only, whose sender is <>"
_FORGED = "this relay did not make this address"
_OLD = f"this address took reports for {VALID_DAYS} days"


class SrsRefused(Exception):
    """Mail to an address of the scheme is refused; the text is the reason for its sender."""


@dataclass(frozen=True, slots=True)
class SrsSettings:
    """The domain of rewritten senders, and the secrets that sign them: the first signs, all are accepted."""

    domain: str
    secrets: tuple[str, ...] = field(repr=False)


class SenderRewriting:
    """Rewrites senders, and finds the sender that an address stands for. `wall_clock` returns seconds since 1970."""

    def __init__(
        self,
        settings: SrsSettings,
        is_own: Callable[[str], bool],
        wall_clock: Callable[[], float],
        notice: Callable[[str], object],
    ) -> None:
        """`is_own` tells the domains whose senders stay as they are; `notice` takes lines for the operator."""
        self._domain = settings.domain
        self._secrets = [secret.encode() for secret in settings.secrets]
        self._is_own = is_own
        self._wall_clock = wall_clock
        self._notice = notice

    def forwarded(self, sender: Address | None) -> Address | None:
        """Return the sender that takes the place of this one on another host; None if this one stays.

        The null sender stays, senders of own domains and literals, and those whose new local part would be too long.
        """
        if sender is None or not sender.domain or sender.is_literal or self._is_own(sender.domain):
            return None
        local = self._local_part(sender)
        if len(local.encode()) > MAX_LOCAL_OCTETS:
            self._notice(
                f"the sender <{sender}> of forwarded mail stays as it is, because its address by SRS_DOMAIN would have"
                f" more than {MAX_LOCAL_OCTETS} octets before the @: its domain's SPF may refuse the mail"
            )
            return None
        return Address(local, self._domain)

    def original(self, address: Address) -> Address | None:
        """Return the sender that an address stands for, or None if it is no address of the scheme in this domain.

        Raises SrsRefused if the relay did not make it, or too long ago.
        """
        if address.domain != self._domain:
            return None
        if match := _FIRST.fullmatch(address.local):
            signature, day, domain, local = match.groups()
            self._check(signature, "0", day.upper(), domain, local)
            self._check_day(day)
        elif match := _SECOND.fullmatch(address.local):
            signature, domain, rest = match.groups()
            local = f"SRS0{rest}"
            self._check(signature, "1", domain, rest)
        else:
            return None
        try:
            return Address(local, parse_domain(domain))
        except AddressError:
            raise SrsRefused(_FORGED) from None

    def refusal(self, address: Address, sender: Address | None) -> str | None:
        """Return why mail from a sender to an address is refused, "" if it is taken; None for any other address."""
        try:
            if self.original(address) is None:
                return None
        except SrsRefused as refused:
            return str(refused)
        return _NOT_ONLY_REPORTS if sender is not None else ""

    def _local_part(self, sender: Address) -> str:
        if match := _SECOND.fullmatch(sender.local):
            _, domain, rest = match.groups()
            return self._second(domain, rest)
        if _FIRST.fullmatch(sender.local):
            return self._second(sender.domain, sender.local[len("SRS0") :])
        number = self._today()
        day = _ALPHABET[number // len(_ALPHABET)] + _ALPHABET[number % len(_ALPHABET)]
        signature = _signature(self._secrets[0], ("0", day, sender.domain, sender.local))
        return f"SRS0={signature}={day}={sender.domain}={sender.local}"

    def _second(self, domain: str, rest: str) -> str:
        return f"SRS1={_signature(self._secrets[0], ('1', domain, rest))}={domain}={rest}"

    def _check(self, signature: str, *parts: str) -> None:
        given = signature.upper().encode()
        if not any(hmac.compare_digest(given, _signature(secret, parts).encode()) for secret in self._secrets):
            raise SrsRefused(_FORGED)

    def _check_day(self, day: str) -> None:
        first, second = (_ALPHABET.index(letter) for letter in day.upper())
        age = (self._today() - first * len(_ALPHABET) - second + _DAYS_AHEAD) % _DAYS - _DAYS_AHEAD
        if age > VALID_DAYS:
            raise SrsRefused(_OLD)

    def _today(self) -> int:
        return int(self._wall_clock() // _SECONDS_A_DAY) % _DAYS


def _signature(secret: bytes, parts: Sequence[str]) -> str:
    """Return the hash of the parts, regardless of their case, because some hosts change it."""
    octets = hmac.digest(secret, "=".join(parts).lower().encode(), "sha256")
    return b32encode(octets)[:_HASH_LETTERS].decode()
