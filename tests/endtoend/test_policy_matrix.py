"""Every published policy against every state of the host: the relay, and Postfix with its DANE and an MTA-STS resolver.

An outcome is the TLS with which the mail was delivered, or the word `waits`.
"""

import re
import smtplib
import tempfile
from pathlib import Path

import pytest

from harness import postfix
from harness.debian_packages import NoPackageError, debian_root, in_root
from harness.postfix import Postfix
from harness.processes import Child, free_port
from harness.waiting import PATIENCE, until
from tests.endtoend.mails import mail
from tests.endtoend.policy_matrix import POLICIES, STATES, domain_of, make_domains, recipients
from tests.endtoend.secure_world import DNS, ROOT

# fmt: off
RELAY = {
    #           good            name          expired       key             clear    downgraded bogus
    "none":    ("verified",     "unverified", "unverified", "verified",     "clear", "waits",   "waits"),
    "testing": ("verified sts", "unverified", "unverified", "verified sts", "clear", "waits",   "waits"),
    "enforce": ("verified sts", "waits",      "waits",      "verified sts", "waits", "waits",   "waits"),
    "dane":    ("dane",         "dane",       "dane",       "waits",        "waits", "waits",   "waits"),
    "both":    ("dane",         "dane",       "dane",       "waits",        "waits", "waits",   "waits"),
}
#: Debian 13 has Postfix 3.10 and postfix-mta-sts-resolver 1.5; 3.7 and 1.1 of Debian 12 do the same. Levels as the log
#: has them; "clear" is no TLS.
POSTFIX = {
    #           good            name          expired       key             clear    downgraded bogus
    "none":    ("Trusted",      "Trusted",    "Untrusted",  "Trusted",      "clear", "clear",   "waits"),
    "testing": ("Trusted",      "Trusted",    "Untrusted",  "Trusted",      "clear", "clear",   "waits"),
    "enforce": ("Verified",     "waits",      "waits",      "Verified",     "waits", "clear",   "waits"),
    "dane":    ("Verified",     "Verified",   "Verified",   "waits",        "waits", "clear",   "waits"),
    "both":    ("Verified",     "waits",      "waits",      "Verified",     "waits", "clear",   "waits"),
}
# fmt: on
_VALIDATED = (
    "Postfix believes its name server, and the relay validates by itself, so that a forged absence is no absence"
)
_REPLACED = "the resolver's policy replaces DANE in Postfix; the relay prefers DANE (RFC 8461 section 2)"
_HEALED = "in Postfix MTA-STS heals a TLSA record that does not match, which RFC 8461 section 2 forbids"
#: The pairs in which only one of them sends the mail, with the reason.
DIFFERENCES = {
    **{(policy, "downgraded"): _VALIDATED for policy in POLICIES},
    ("both", "name"): _REPLACED,
    ("both", "expired"): _REPLACED,
    ("both", "key"): _HEALED,
}

_RESOLVER = """\
host: 127.0.0.1
port: {port}
cache:
  type: internal
"""


def table(outcomes):
    """Return outcomes by domain in the form of the tables above."""
    return {policy: tuple(outcomes[domain_of(policy, state)] for state in STATES) for policy in POLICIES}


@pytest.mark.parametrize("validator", ["libunbound", "trust"])
def test_the_relay(secure, validator):
    make_domains(secure)
    relay = secure.relay(RETRY_SCHEDULE="F,1h,15m", DNSSEC=validator)
    relay.submit(mail(), recipients())
    until(lambda: len(relay_outcomes(relay)) == len(recipients()), what="the outcomes of the relay")
    outcomes = table(relay_outcomes(relay))
    if validator == "trust":
        # The relay believes its name server, as Postfix does.
        downgraded = STATES.index("downgraded")
        assert {row[downgraded] for row in outcomes.values()} == {"clear"}
        outcomes = {key: (*row[:downgraded], "waits", *row[downgraded + 1 :]) for key, row in outcomes.items()}
    assert outcomes == RELAY
    # Each mail that waits names the setting that would send it.
    for event in relay.events("deferred"):
        domain = event["to"].strip("<>").partition("@")[2]
        assert domain.endswith("-bogus.example") or f"TLS_POLICY={domain}=opportunistic" in event["reply"]


def test_the_relay_and_postfix_differ_where_a_reason_is_known():
    waits = {
        (policy, state)
        for policy in POLICIES
        for state, ours, theirs in zip(STATES, RELAY[policy], POSTFIX[policy], strict=True)
        if (ours == "waits") != (theirs == "waits")
    }
    assert waits == set(DIFFERENCES)


@pytest.fixture(scope="session")
def trixie():
    """Return the root folder of a Debian 13 with Postfix and an MTA-STS resolver."""
    if reason := postfix.why_not():
        # Its users are those of the host.
        pytest.skip(reason)
    try:
        return debian_root("trixie", "postfix", "postfix-mta-sts-resolver")
    except NoPackageError as error:
        pytest.skip(str(error))


@pytest.fixture
def postfix_home():
    """Return a folder for the files of Postfix, whose users must be able to enter."""
    with tempfile.TemporaryDirectory(prefix="matrix-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def prefix(trixie, postfix_home):
    """Return the command that runs another one in Debian 13, with the name server of the tests."""
    conf = postfix_home / "resolv.conf"
    conf.write_text(f"nameserver {DNS}\noptions edns0 trust-ad\n")
    return in_root(trixie, {"/etc/resolv.conf": conf, "/var/tmp": Path("/var/tmp")})


@pytest.fixture
def sts_resolver(secure, prefix, postfix_home):
    """Return the port of a running postfix-mta-sts-resolver, which asks the name server of the tests."""
    port = free_port()
    configuration = postfix_home / "mta-sts-daemon.yml"
    configuration.write_text(_RESOLVER.format(port=port))
    child = Child([*prefix, "mta-sts-daemon", "-c", str(configuration)], secure.home / "mta-sts-daemon.log")
    child.environment = {"PATH": "/usr/bin:/bin:/usr/sbin", "SSL_CERT_FILE": str(ROOT.write(postfix_home))}
    with child:
        until(lambda: "started" in child.text or not child.running, what="the MTA-STS resolver")
        assert child.running, child.text
        yield port


def test_postfix_with_dane_and_an_mta_sts_resolver(secure, prefix, postfix_home, sts_resolver):
    make_domains(secure)
    secure.publish()
    settings = {
        "smtp_tls_security_level": "dane",
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_policy_maps": f"socketmap:inet:127.0.0.1:{sts_resolver}:postfix",
        "smtp_tls_CAfile": str(ROOT.write(postfix_home)),
        "smtp_tls_loglevel": "1",
        "smtp_host_lookup": "dns",
        "default_process_limit": "20",
    }
    with Postfix(parent=postfix_home, settings=settings, prefix=prefix) as server:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as client:
            client.sendmail("sender@sender.example", recipients(), mail())
        until(lambda: len(postfix_outcomes(server)) == len(recipients()), what="the outcomes of Postfix")
        assert "daemon started -- version 3.10." in server.log.read_text()
        assert table(postfix_outcomes(server)) == POSTFIX


def postfix_outcomes(server):
    """Return the outcomes so far by domain, from the log: the TLS of a host comes before the status of its mail."""
    levels, outcomes = {}, {}
    for line in server.log.read_text().splitlines():
        if found := re.search(r"(\w+) TLS connection established to mx\.([\w.-]+)\[", line):
            levels[found[2]] = found[1]
        if found := re.search(r"to=<ann@([\w.-]+)>.* status=(\w+)", line):
            outcomes[found[1]] = levels.get(found[1], "clear") if found[2] == "sent" else "waits"
    return outcomes


def relay_outcomes(relay):
    """Return the outcomes so far by domain, from the events."""
    outcomes = {event["to"]: "waits" for event in relay.events("deferred")}
    for event in relay.events("delivered"):
        end = re.search(r"(verified sts|dane|unverified|verified)( \(.*)?$", event.get("tls") or "")
        outcomes[event["to"]] = end[1] if end else "clear"
    return {to.strip("<>").partition("@")[2]: outcome for to, outcome in outcomes.items()}
