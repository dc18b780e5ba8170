"""A feature that is off takes no memory, and one that is on takes little until it is used."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from harness.daemon import ROOT, Daemon
from harness.processes import free_port
from harness.waiting import PATIENCE

# Packages and modules that only relays with certain settings need, and that are large together.
NOT_NEEDED = (
    "cryptography.hazmat.primitives.serialization",
    "difflib",
    "idna.core",
    "jinja2",
    "klein",
    "mta.admin.page",
    "mta.admin.views",
    "mta.config.rules.rule_reader",
    "mta.config.trust_hints",
    "mta.daemon.operators.workers_state",
    "mta.delivery.rates.broker",
    "mta.dns.tcp_query",
    "mta.events",
    "mta.https.client",
    "mta.inbound.login",
    "mta.metrics.counters",
    "mta.oauth.grants",
    "mta.queue.postgres",
    "mta.rules.acl",
    "mta.rules.rewriting",
    "mta.smtp.sasl.server",
    "mta.users.users",
    "mta.workers.supervisor",
    "prometheus_client",
    "psycopg",
    "service_identity",
    "tomllib",
    "twisted.internet.endpoints",
    # A part of twisted.internet.ssl.
    "twisted.internet._sslverify",
    "twisted.web",
)
_SHOW = """
import sys
import mta.tap
from mta.config.rules.reading import read_again
from mta.config.settings import read_settings
from mta.config.summary import startup_summary
environ = {"NET_DEV": "none0", **dict(pair.split("=", 1) for pair in sys.argv[1:])}
settings = read_settings(environ)
startup_summary(settings)
# Once changed rules would be read, too.
settings.rule_files.look()
read_again(environ)
print(*sys.modules)
"""


def modules(**settings: str) -> set[str]:
    """Return the modules that are imported by the time at which a relay with these settings starts."""
    command = [sys.executable, "-c", _SHOW, *(f"{name}={value}" for name, value in settings.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_a_relay_without_tokens_users_rules_and_workers_does_not_import_them():
    assert not modules().intersection(NOT_NEEDED)


def test_the_command_of_the_relay_does_not_import_modules_of_older_programs_of_twisted():
    # The program ends when it has read its settings.
    program = (
        "import atexit, sys\natexit.register(lambda: print(*sys.modules))\nfrom mta.cli.main import main\nmain(['run'])"
    )
    command, environ = [sys.executable, "-c", program], {"PORT": "none"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == os.EX_CONFIG
    assert "mta.daemon.relay" in done.stdout.split()
    assert not {"urllib.request", *NOT_NEEDED}.intersection(done.stdout.split())


def test_only_a_relay_that_shares_its_queue_imports_the_driver() -> None:
    assert {"psycopg", "mta.queue.postgres"} <= modules(QUEUE_URL="postgresql://relay@localhost/mail")


def test_a_relay_with_tokens_and_users_imports_them():
    login = {"SMARTHOST_USER": "a", "SMARTHOST_CLIENT_ID": "b", "SMARTHOST_CLIENT_SECRET": "c"}
    names = modules(
        SMARTHOST_ADDRESS="smtp.example", SMARTHOST_TOKEN_URL="https://a.example/", AUTH_USERS="a:{PLAIN}b", **login
    )
    assert {"mta.oauth.grants", "mta.users.users_file"} <= names


def test_a_relay_with_rules_imports_them():
    assert {"mta.config.rules.rule_reader", "mta.rules.acl"} <= modules(ALLOWED_SENDERS="example.com")


# A line of `-X importtime`, which Python writes when a module is imported.
_IMPORTED = re.compile(r"^import time: .*\| +(\S+)$", re.MULTILINE)
# Packages that a relay with all of the operator's view has in memory before the first request.
_AT_START = ("mta.metrics", "mta.events", "mta.daemon.parts.events", "mta.queue.sqlite.operator.changes")


def test_a_relay_imports_no_library_for_metrics_events_and_page_before_it_needs_them(tmp_path: Path) -> None:
    metrics, page = free_port(), free_port()
    settings = {
        "METRICS_LISTEN": f"127.0.0.1:{metrics}",
        "ADMIN_LISTEN": f"127.0.0.1:{page}",
        "EVENTS_URL": f"http://127.0.0.1:{free_port()}/",
        "EVENTS_SECRET": "of-the-receiver",
    }
    plain, relay = Daemon(tmp_path / "plain"), Daemon(tmp_path / "relay", **settings)
    for each in (plain, relay):
        each.child.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    with plain:
        plain.wait_for_events("started")
        without = set(_IMPORTED.findall(plain.child.text))
    assert "mta.daemon.relay" in without
    with relay:
        relay.wait_for_events("started")
        more = set(_IMPORTED.findall(relay.child.text)) - without
        assert "mta.metrics.counters" in more
        assert [name for name in more if not name.startswith(_AT_START)] == []
        # The first request to each port imports the rest.
        for url, module in (
            (f"http://127.0.0.1:{metrics}/readyz", "twisted.web.server"),
            (f"http://127.0.0.1:{page}/", "mta.admin.page.routes"),
        ):
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert answer.status == 200
            assert module in set(_IMPORTED.findall(relay.child.text))
        # Explanations are imported for the first message or destination that is looked at.
        assert "mta.explain.message.gathering" not in set(_IMPORTED.findall(relay.child.text))
