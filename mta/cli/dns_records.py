"""DNS records of DKIM and SPF: writes them as lines of a zone file, and compares published records with a key."""

import base64
import binascii
import enum
from collections.abc import Iterable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dkim.util import InvalidTagValueList, parse_tag_value

from mta.config.settings import Settings
from mta.dkim.keys import SigningKey, dns_record, public_tag, record_name
from mta.doctor.lookups import zone_line

__all__ = ["RecordVerdict", "judge_record", "new_key_lines", "spf_includes", "zone_line"]

# The domains that large providers want their customers to include.
_INCLUDES = {
    "gmail.com": "_spf.google.com",
    "amazonaws.com": "amazonses.com",
    "office365.com": "spf.protection.outlook.com",
}


class RecordVerdict(enum.Enum):
    """The result of comparing a key with its DNS record."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


def new_key_lines(domain: str, key: SigningKey, settings: Settings) -> list[str]:
    """Return the lines for a zone file: the records of DKIM and SPF, each under a comment."""
    name = record_name(domain, key.selector)
    return [
        f"; DKIM: the public key. As one string: {dns_record(key)}",
        zone_line(name, dns_record(key), "\n\t"),
        f"; SPF: the hosts that send mail of {domain}. A domain has only one such record: extend it if it exists.",
        *_of_rules(domain, settings),
        zone_line(domain, f"v=spf1 {_senders(settings)} ~all"),
    ]


def _senders(settings: Settings) -> str:
    """Return the SPF mechanisms for the hosts that send the mail (RFC 7208 section 5)."""
    if settings.smarthost is None:
        return f"a:{settings.mailname}" if "." in settings.mailname else "mx"
    return _mechanisms(settings.smarthost.hosts)


def spf_includes(hosts: Iterable[str]) -> tuple[str, ...]:
    """Return the domains that the providers of these smarthosts want to be included in SPF, each once."""
    found = (include for host in hosts for name, include in _INCLUDES.items() if host.endswith(f".{name}"))
    return tuple(dict.fromkeys(found))


def _of_rules(domain: str, settings: Settings) -> Iterator[str]:
    """Yield a comment about the smarthosts that rules choose, because a rule may leave this domain's mail out."""
    routes = settings.rules.router if settings.rules else None
    named = [each for each in routes.smarthosts if not each.lists_hosts] if routes else []
    if named:
        said = "; ".join(f"{_mechanisms(each.hosts)} ({each.name})" for each in named)
        yield f"; Rules send mail by smarthosts of their own. Add those that send mail of {domain}: {said}"


def _mechanisms(hosts: Iterable[tuple[str, int]]) -> str:
    return " ".join(dict.fromkeys(_mechanism(host) for host, _ in hosts))


def _mechanism(host: str) -> str:
    for provider, include in _INCLUDES.items():
        if host.endswith(f".{provider}"):
            return f"include:{include}"
    return f"a:{host}"


def judge_record(key: SigningKey, texts: Sequence[str]) -> tuple[RecordVerdict, str]:
    """Compare a key with the TXT records at its name; return the verdict and words about a problem."""
    if not texts:
        return RecordVerdict.MISSING, "the DNS has no such record"
    if len(texts) > 1:
        return RecordVerdict.DIFFERS, f"the DNS has {len(texts)} records there, and receivers may use any; keep one"
    try:
        tags = {name.decode(): value.decode() for name, value in parse_tag_value(texts[0].encode()).items()}
    except InvalidTagValueList:
        return RecordVerdict.DIFFERS, "the record there is not a DKIM record"
    published = "".join(tags.get("p", "").split())
    if not published:
        return RecordVerdict.DIFFERS, "the record says that the key was revoked"
    if tags.get("k", "rsa") != key.type or not _same(key, published):
        return RecordVerdict.DIFFERS, "the record has another key"
    testing = "y" in tags.get("t", "").split(":")
    return RecordVerdict.OK, "with t=y receivers treat the mail as if it were not signed" if testing else ""


def _same(key: SigningKey, published: str) -> bool:
    """Whether a `p=` tag holds the key. RSA keys are published in two wrappings (RFC 6376 erratum 3017)."""
    if published == public_tag(key):
        return True
    try:
        theirs = load_der_public_key(base64.b64decode(published))
    except (ValueError, binascii.Error):
        return False
    ours = key.private.public_key()
    return (
        isinstance(theirs, RSAPublicKey)
        and isinstance(ours, RSAPublicKey)
        and theirs.public_numbers() == ours.public_numbers()
    )
