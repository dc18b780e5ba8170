"""Postfix as Debian ships it, with every limit lifted that would hold it back here."""

from collections.abc import Mapping, Sequence

from bench.debian import owner_in
from bench.peer import Recipe, Site
from harness.postfix import waiting, write_configuration


def _configure(site: Site, settings: Mapping[str, str]) -> Sequence[str]:
    unlimited = {
        "relayhost": f"[127.0.0.1]:{site.sink_port}",
        "disable_dns_lookups": "yes",
        "in_flow_delay": "0",
        "default_process_limit": "300",
        "default_destination_concurrency_limit": "20",
        "initial_destination_concurrency": "20",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "smtpd_client_message_rate_limit": "0",
        "smtpd_client_recipient_rate_limit": "0",
        "smtp_tls_security_level": "",
    }
    write_configuration(site.home, site.port, {**unlimited, **settings}, owner_in(site.debian, "postfix"))
    return ["postfix", "-c", str(site.home / "etc"), "start-fg"]


RECIPE = Recipe("postfix", "postfix", _configure, waiting, {})
