"""The answers of a policy host, which publishes a domain's MTA-STS policy (RFC 8461) on a `harness.web_server`."""

from collections.abc import Sequence

from harness.web_server import WebAnswer

POLICY_PATH = "/.well-known/mta-sts.txt"


def policy_host(domain: str) -> str:
    """Return the name of the policy host of a domain."""
    return f"mta-sts.{domain}"


def record(policy_id: str) -> str:
    """Return the TXT record that announces a policy, as a zone has it."""
    return f'"v=STSv1; id={policy_id};"'


def policy(mode: str = "enforce", mx: Sequence[str] = (), max_age: int = 86400) -> WebAnswer:
    """Return the answer of a policy host with this policy."""
    hosts = "".join(f"mx: {pattern}\r\n" for pattern in mx)
    return WebAnswer(200, f"version: STSv1\r\nmode: {mode}\r\n{hosts}max_age: {max_age}\r\n".encode())
