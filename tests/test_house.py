"""The rules of docs/architecture.md, checked on the source: imports, sizes, sleeps, and how the prose reads."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

from tools.measure_code import Measures, measure

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "mta").rglob("*.py"))
TESTS = sorted(path for folder in ("tests", "harness") for path in (ROOT / folder).rglob("*.py"))

T = TypeVar("T")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

MAX_FILES_IN_A_FOLDER = 12

# The limits for 1,000 words of prose: clauses headed by "what", "who" or "whoever", and "nobody", "none" and "nothing".
# tools/measure_code.py counts both.
MAX_HEADLESS_CLAUSES = 3
MAX_NEGATIVES = 4
# Prose beside the packages of the relay.
OTHER_PROSE = ("bench", "harness", "tools", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")

# Modules of values, which most packages may import.
_BASE = {"mta.fast_value", "mta.file_stamp", "mta.connection_errors"}
_VALUES = _BASE | {"mta.smtp", "mta.message"}
_SEAMS = {"mta.queue.interface", "mta.queue.ids", "mta.event_log.log", "mta.routing.route"}
_JOBS = {"mta.delivery.job", "mta.delivery.limits", "mta.delivery.context"}
# The modules that put the relay together and therefore may import every package.
TOP = {"mta.daemon", "mta.tap", "mta.workers.parent", "mta.workers.worker", "mta.workers.handover"}

# The packages and modules of the project that each folder may import besides its own modules. A package includes all
# modules below it.
MAY_IMPORT = {
    "mta": set(),
    "mta.smtp": {"mta.fast_value"},
    "mta.smtp.sasl": set(),
    "mta.smtp.client": {"mta.fast_value", "mta.smtp"},
    "mta.smtp.server": {"mta.fast_value", "mta.smtp"},
    "mta.message": {"mta.fast_value", "mta.remembered", "mta.smtp"},
    "mta.dkim": (_VALUES | {"mta.blocking"}) - {"mta.connection_errors"},
    "mta.dns": {"mta.file_stamp", "mta.smtp.address", "mta.connection_errors", "mta.reactor.late_modules"},
    "mta.dns.dnssec": {"mta.dns"},
    "mta.https": {
        "mta.connection_errors",
        "mta.smtp.address",
        "mta.dns.answers",
        "mta.routing.mx_order",
        "mta.routing.nat64",
        "mta.routing.private_addresses",
        "mta.routing.route",
        "mta.tls.client",
    },
    "mta.oauth": {
        "mta.blocking",
        "mta.https.interface",
        "mta.message.outcome",
        "mta.routing.route",
        "mta.smtp.address",
        "mta.smtp.masking",
        "mta.smtp.sasl.logins",
    },
    "mta.sts": {
        "mta.blocking",
        "mta.dns.answers",
        "mta.event_log.log",
        "mta.https.interface",
        "mta.message.dates",
        "mta.smtp.address",
    },
    "mta.tls_reports": {
        "mta.blocking",
        "mta.dns.answers",
        "mta.https.interface",
        "mta.message.dates",
        "mta.message.envelope",
        "mta.routing.demands.proof",
        "mta.routing.route",
        "mta.smtp.address",
        "mta.sts.policy",
    },
    "mta.tls": {
        "mta.file_stamp",
        "mta.message.dates",
        "mta.smtp.address",
        "mta.smtp.sasl.logins",
        "mta.routing.route",
        "mta.connection_errors",
        "mta.tls.dane",
    },
    "mta.tls.dane": {"mta.dns.answers", "mta.routing.demands.proof", "mta.tls.certificate_text"},
    "mta.reactor": {"mta.blocking"},
    "mta.routing": {"mta.rate", "mta.smtp", "mta.message.outcome", "mta.dns", "mta.routing.demands.of_message"},
    "mta.routing.demands": {"mta.dns", "mta.message.outcome", "mta.routing", "mta.smtp.parameters", "mta.sts"},
    "mta.events": {
        "mta.blocking",
        "mta.event_log.lines",
        "mta.event_log.repeats",
        "mta.https.interface",
        "mta.message.dates",
        "mta.queue.interface",
    },
    "mta.event_log": {"mta.message.dates", "mta.remembered"},
    "mta.metrics": {
        "mta.quiet_site",
        "mta.__version__",
        "mta.event_log.counts",
        "mta.event_log.emitting",
        "mta.event_log.lines",
        "mta.event_log.log",
        "mta.message",
        "mta.queue.interface",
        "mta.smtp",
    },
    "mta.admin": {
        "mta.admin.api",
        "mta.admin.wire",
        "mta.blocking",
        "mta.doctor.findings",
        "mta.event_log.emitting",
        "mta.event_log.repeats",
        "mta.message",
        "mta.queue.failures",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search",
        "mta.routing.choice",
        "mta.smtp.address",
    },
    "mta.admin.wire": {
        "mta.admin.state",
        "mta.doctor.findings",
        "mta.event_log.levels",
        "mta.message.dates",
        "mta.queue.entries",
        "mta.queue.ids",
        "mta.queue.search",
    },
    "mta.admin.api": {
        "mta.quiet_site",
        "mta.admin.event_filter",
        "mta.admin.feed",
        "mta.admin.state",
        "mta.admin.wire",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search",
    },
    "mta.admin.client": {
        "mta.admin.socket_path",
        "mta.admin.state",
        "mta.admin.wire",
        "mta.queue.entries",
        "mta.queue.search.conditions",
    },
    "mta.admin.page": {
        "mta.quiet_site",
        "mta.admin",
        "mta.metrics.health",
        "mta.metrics.server",
        "mta.explain.destination",
        "mta.explain.message",
        "mta.explain.values",
        "mta.explain.words",
        "mta.message.dates",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search",
        "mta.users.failure_limits",
    },
    "mta.admin.views": {
        "mta.admin.state",
        "mta.delivery.replies.common_replies",
        "mta.delivery.replies.meanings",
        "mta.doctor.findings",
        "mta.explain.message.page",
        "mta.message.dates",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search.conditions",
        "mta.queue.search.reading",
    },
    "mta.users": {"mta.blocking", "mta.file_stamp", "mta.smtp.address", "mta.smtp.sasl.scram"},
    "mta.rules": {
        "mta.fast_value",
        "mta.inbound.networks",
        "mta.message",
        "mta.rate",
        "mta.retry_schedule",
        "mta.routing.carriage",
        "mta.routing.choice",
        "mta.routing.route",
        "mta.smtp",
        "mta.rules.rewriting",
    },
    "mta.rules.rewriting": {
        "mta.fast_value",
        "mta.message",
        "mta.smtp",
        "mta.rules.conditions",
        "mta.rules.facts",
        "mta.rules.pattern_lists",
        "mta.rules.patterns",
    },
    "mta.config": {
        "mta.config.logins",
        "mta.config.readers",
        "mta.config.rules",
        "mta.config.sources",
        "mta.file_states",
        "mta.smtp",
        "mta.rules.book",
        "mta.rules.conditions",
        "mta.rules.retries",
        "mta.oauth.grants",
        "mta.oauth.providers",
        "mta.routing.choice",
        "mta.routing.route",
        "mta.routing.hostpatterns",
        "mta.retry_schedule",
        "mta.delivery.local.rule",
        "mta.delivery.local.srs",
        "mta.inbound.networks",
        "mta.queue.postgres.url",
    },
    "mta.config.logins": {
        "mta.config.setting",
        "mta.config.table",
        "mta.config.value_types",
        "mta.oauth.grants",
        "mta.oauth.providers",
        "mta.routing.route",
        "mta.users.users_file",
    },
    "mta.config.readers": {
        "mta.config.setting",
        "mta.config.sources.files",
        "mta.config.table",
        "mta.config.value_types",
        "mta.delivery.local.rule",
        "mta.delivery.local.srs",
        "mta.inbound.networks",
        "mta.queue.postgres.url",
        "mta.routing.demands.tls_policy",
        "mta.smtp",
    },
    "mta.config.rules": {
        "mta.file_states",
        "mta.config.rules.keys",
        "mta.config.rules.stages",
        "mta.config.setting",
        "mta.config.table",
        "mta.config.trust",
        "mta.config.value_types",
        "mta.smtp.address",
        "mta.config.sources.exim",
        "mta.inbound.networks",
        "mta.rate",
        "mta.rules",
    },
    "mta.config.rules.keys": set(),
    "mta.config.rules.stages": {
        "mta.config.rules.keys",
        "mta.file_states",
        "mta.config.rules.pattern_items",
        "mta.config.rules.rule_files",
        "mta.config.rules.rule_values",
        "mta.config.rules.rule_words",
        "mta.config.rules.toml_tables",
        "mta.config.schedule",
        "mta.rate",
        "mta.retry_schedule",
        "mta.routing.carriage",
        "mta.config.setting",
        "mta.config.smarthost",
        "mta.config.sources.exim",
        "mta.config.sources.files",
        "mta.config.value_types",
        "mta.routing.choice",
        "mta.routing.route",
        "mta.rules",
        "mta.smtp.address",
    },
    "mta.config.imports": {
        "mta.config.rules.rule_files",
        "mta.config.rules.rule_reader",
        "mta.config.sources.exim",
        "mta.config.trust",
        "mta.inbound.networks",
        "mta.rules.patterns",
        "mta.rules.rewriting",
        "mta.rules.routes",
        "mta.smtp.address",
    },
    "mta.config.sources": {
        "mta.config.setting",
        "mta.config.table",
        "mta.smtp",
        "mta.inbound.networks",
    },
    "mta.inbound": {
        "mta.coroutines",
        "mta.fast_value",
        "mta.smtp",
        "mta.message",
        "mta.tls",
        "mta.users",
        "mta.rate",
        "mta.rate_counts",
        "mta.routing.choice",
        "mta.rules",
        "mta.inbound.sockets",
    }
    | _SEAMS,
    "mta.inbound.sockets": {"mta.inbound.networks", "mta.smtp.replies"},
    "mta.delivery": (
        _VALUES
        | _SEAMS
        | {
            "mta.coroutines",
            "mta.event_log.stages",
            "mta.retry_schedule",
            "mta.routing.choice",
            "mta.rules",
            "mta.smtp.address",
            "mta.delivery.destinations",
            "mta.delivery.rates",
            "mta.delivery.remote",
            "mta.delivery.local",
            "mta.dkim",
            "mta.rules.book",
            "mta.rules.conditions",
            "mta.rules.facts",
            "mta.rules.routes",
        }
    )
    - {"mta.file_stamp", "mta.connection_errors", "mta.smtp"},
    "mta.delivery.destinations": {
        "mta.coroutines",
        "mta.message",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.routing.route",
        "mta.retry_schedule",
        "mta.delivery.route_rules",
        "mta.delivery.remote.interface",
        "mta.delivery.remote.walk",
        "mta.delivery.replies",
        "mta.delivery.rates",
        "mta.routing.carriage",
    }
    | _JOBS,
    "mta.delivery.relays": {"mta.delivery.destinations.window", "mta.message.outcome"},
    "mta.delivery.rates": {"mta.blocking", "mta.rate", "mta.routing.carriage", "mta.routing.destination_names"},
    "mta.delivery.remote": (
        _VALUES | _SEAMS | {"mta.coroutines", "mta.delivery.replies", "mta.routing.carriage", "mta.tls"}
    )
    - {"mta.file_stamp", "mta.queue.ids"},
    "mta.delivery.replies": {
        "mta.smtp",
        "mta.message.outcome",
        "mta.routing.demands.proof",
        "mta.routing.route",
        "mta.tls.client",
    },
    "mta.delivery.local": {
        "mta.blocking",
        "mta.file_stamp",
        "mta.smtp",
        "mta.message",
        "mta.queue.interface",
        "mta.routing.route",
        "mta.delivery.remote.interface",
    },
    "mta.workers": {
        "mta.admin.feed_channel",
        "mta.admin.returning",
        "mta.admin.state",
        "mta.admin.wire.relay",
        "mta.queue.interface",
        "mta.smtp.address",
        "mta.metrics.metric",
        "mta.metrics.table",
        "mta.rules.book",
        "mta.message.outcome",
        "mta.delivery.destinations.window",
        "mta.delivery.rates",
        "mta.delivery.replies.throttle_table",
        "mta.rate",
        "mta.rate_counts",
    },
    "mta.queue": {"mta.message", "mta.queue.search"},
    "mta.queue.search": {"mta.queue.entries", "mta.queue.ids"},
    "mta.queue.sql": {
        "mta.message",
        "mta.queue.entries",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search",
        "mta.smtp.address",
    },
    "mta.queue.disk": {"mta.blocking", "mta.message", "mta.queue.interface", "mta.queue.errors"},
    "mta.queue.sqlite.operator": {
        "mta.smtp.address",
        "mta.queue.entries",
        "mta.queue.errors",
        "mta.queue.failures",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search",
        "mta.queue.sqlite.ledger",
        "mta.queue.sqlite.rows",
        "mta.queue.sqlite.schema",
        "mta.queue.sqlite.statements",
        "mta.queue.sqlite.tables",
        "mta.queue.sql",
    },
    "mta.queue.sqlite": {
        "mta.coroutines",
        "mta.blocking",
        "mta.smtp",
        "mta.message",
        "mta.queue.entries",
        "mta.queue.interface",
        "mta.queue.ids",
        "mta.queue.errors",
        "mta.queue.disk",
        "mta.queue.sql",
        "mta.queue.search",
        "mta.queue.sqlite.operator",
    },
    "mta.queue.postgres.mail": {
        "mta.message",
        "mta.queue.disk",
        "mta.queue.entries",
        "mta.queue.errors",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.postgres.change",
        "mta.queue.postgres.errors",
        "mta.queue.postgres.finish",
        "mta.queue.postgres.lanes",
        "mta.queue.postgres.serial_session",
        "mta.queue.postgres.session",
        "mta.queue.sql",
    },
    "mta.queue.postgres": {
        "mta.blocking",
        "mta.message",
        "mta.queue.disk",
        "mta.queue.entries",
        "mta.queue.failures",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.postgres.lanes",
        "mta.queue.postgres.mail",
        "mta.queue.postgres.membership",
        "mta.queue.postgres.opening",
        "mta.queue.postgres.operator",
        "mta.queue.search",
        "mta.queue.sql",
    },
    "mta.queue.postgres.opening": {
        "mta.queue.interface",
        "mta.queue.postgres.errors",
        "mta.queue.postgres.session",
    },
    "mta.queue.postgres.lanes": {
        "mta.blocking",
        "mta.coroutines",
        "mta.message",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.postgres.arrays",
        "mta.queue.postgres.change",
        "mta.queue.postgres.errors",
        "mta.queue.postgres.prepared",
        "mta.queue.postgres.session",
        "mta.queue.sql",
    },
    "mta.queue.postgres.destinations": {
        "mta.message.outcome",
        "mta.queue.interface",
        "mta.queue.postgres.membership",
        "mta.queue.postgres.serial_session",
        "mta.queue.postgres.session",
        "mta.queue.sql",
    },
    "mta.queue.postgres.membership": {
        "mta.blocking",
        "mta.queue.interface",
        "mta.queue.postgres.opening.migration",
        "mta.queue.postgres.serial_session",
        "mta.queue.postgres.session",
        "mta.queue.sql",
    },
    "mta.queue.postgres.operator": {
        "mta.message.body",
        "mta.queue.entries",
        "mta.queue.errors",
        "mta.queue.failures",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.postgres.change",
        "mta.queue.postgres.finish",
        "mta.queue.postgres.membership.node",
        "mta.queue.postgres.session",
        "mta.queue.search",
        "mta.queue.sql",
        "mta.smtp.address",
    },
    "mta.queue.move": {
        "mta.blocking",
        "mta.queue.disk",
        "mta.queue.errors",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.postgres",
        "mta.queue.sqlite",
        "mta.queue.worker_queues.merge",
    },
    "mta.queue.worker_queues": {
        "mta.blocking",
        "mta.queue.interface",
        "mta.queue.ids",
        "mta.queue.errors",
        "mta.queue.disk",
        "mta.queue.search",
        "mta.queue.sqlite",
    },
    "mta.explain": {
        "mta.blocking",
        "mta.config",
        "mta.daemon.parts.deciding",
        "mta.daemon.parts.lookups",
        "mta.delivery.local.aliases",
        "mta.delivery.local.forward",
        "mta.delivery.route_rules",
        "mta.dns.answers",
        "mta.explain.demands",
        "mta.inbound.policy",
        "mta.inbound.networks",
        "mta.inbound.sender_rule",
        "mta.message",
        "mta.retry_schedule",
        "mta.routing",
        "mta.rules",
        "mta.smtp",
        "mta.users",
    },
    "mta.explain.demands": {"mta.config.summary", "mta.message.dates", "mta.routing"},
    "mta.explain.destination": {
        "mta.admin.state",
        "mta.admin.wire",
        "mta.config.summary",
        "mta.delivery.replies",
        "mta.dns",
        "mta.explain",
        "mta.message",
        "mta.queue.interface",
        "mta.queue.search.conditions",
        "mta.routing",
        "mta.smtp.address",
    },
    "mta.explain.message": {
        "mta.admin.state",
        "mta.admin.wire",
        "mta.config.schedule",
        "mta.delivery.replies",
        "mta.explain",
        "mta.message",
        "mta.queue.entries",
        "mta.queue.ids",
        "mta.queue.interface",
        "mta.queue.search.conditions",
        "mta.rules",
        "mta.smtp.address",
        "mta.smtp.parameters",
    },
    "mta.cli.explain": {
        "mta.admin.state",
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.cli.explain.destination",
        "mta.cli.explain.message",
        "mta.cli.results",
        "mta.cli.state",
        "mta.blocking",
        "mta.config",
        "mta.daemon.secure.shown_demands",
        "mta.dns.answers",
        "mta.dns.resolver",
        "mta.explain",
        "mta.inbound.networks",
        "mta.retry_schedule",
    },
    "mta.cli.explain.destination": {
        "mta.admin.wire.fields",
        "mta.cli.errors",
        "mta.cli.explain",
        "mta.cli.queue",
        "mta.explain",
        "mta.queue.entries",
        "mta.queue.ids",
        "mta.queue.interface",
    },
    "mta.cli.explain.message": {
        "mta.admin.wire",
        "mta.cli.errors",
        "mta.cli.explain",
        "mta.cli.queue",
        "mta.explain",
        "mta.queue",
    },
    "mta.cli.state": {
        "mta.admin.doctor_file",
        "mta.admin.traffic",
        "mta.__version__",
        "mta.admin.returning",
        "mta.admin.client",
        "mta.admin.orders",
        "mta.admin.state",
        "mta.blocking",
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.cli.results",
        "mta.config",
        "mta.queue",
    },
    "mta.cli.queue": {
        "mta.__version__",
        "mta.admin.operators",
        "mta.admin.state",
        "mta.admin.wire",
        "mta.blocking",
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.cli.state",
        "mta.config",
        "mta.explain.destination.live",
        "mta.message",
        "mta.queue",
        "mta.routing.choice",
        "mta.smtp.address",
        "mta.cli.results",
    },
    "mta.doctor": {
        "mta.admin.state",
        "mta.daemon.mounts",
        "mta.queue.interface",
        "mta.routing.demands.dane",
        "mta.sts.policy",
    },
    "mta.doctor.drivers": {
        "mta.daemon.mounts",
        "mta.delivery.remote.interface",
        "mta.delivery.remote.timeouts",
        "mta.dns.answers",
        "mta.doctor.host",
        "mta.doctor.lookups",
        "mta.doctor.name_servers",
        "mta.doctor.published_records",
        "mta.doctor.remote_hosts",
        "mta.message.outcome",
        "mta.queue.disk",
        "mta.queue.interface",
        "mta.routing.choice",
        "mta.routing.demands.dane",
        "mta.routing.direct",
        "mta.routing.route",
        "mta.sts",
        "mta.tls_reports.record",
    },
    "mta.cli.doctor": {
        "mta.admin.client.client_state",
        "mta.admin.doctor_file",
        "mta.admin.state",
        "mta.admin.wire.findings",
        "mta.admin.wire",
        "mta.blocking",
        "mta.cli.dns_records",
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.cli.exim.submission",
        "mta.cli.health",
        "mta.cli.state",
        "mta.config",
        "mta.daemon.parts.deciding",
        "mta.daemon.secure",
        "mta.delivery.remote.connector",
        "mta.dkim",
        "mta.dns.dnssec",
        "mta.dns.resolver",
        "mta.doctor",
        "mta.explain",
        "mta.queue",
        "mta.routing",
        "mta.rules.book",
        "mta.smtp.address",
        "mta.sts",
        "mta.tls",
        "mta.cli.results",
    },
    "mta.cli.config": {
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.config",
        "mta.daemon.secure.validator",
        "mta.delivery.local.aliases",
        "mta.dkim",
        "mta.smtp.address",
        "mta.tls.client_certificate",
        "mta.tls.keypair",
    },
    "mta.cli.exim": {
        "mta.__version__",
        "mta.admin.operators",
        "mta.admin.state",
        "mta.cli.environment",
        "mta.cli.errors",
        "mta.cli.queue",
        "mta.cli.results",
        "mta.cli.state",
        "mta.config.setting",
        "mta.config.table",
        "mta.inbound.networks",
        "mta.message.headers",
        "mta.queue",
        "mta.smtp.address",
    },
    "mta.cli": {
        "mta.__version__",
        "mta.admin.client",
        "mta.admin.state",
        "mta.blocking",
        "mta.event_log.lines",
        "mta.cli.queue",
        "mta.cli.state",
        "mta.reactor.late_modules",
        "mta.smtp",
        "mta.queue",
        "mta.config",
        "mta.daemon.garbage",
        "mta.daemon.process_end",
        "mta.daemon.runtime_settings",
        "mta.inbound.networks",
        "mta.inbound.sockets.proxy_header",
        "mta.dkim",
        "mta.dns.resolver",
        "mta.doctor.lookups",
        "mta.https",
        "mta.oauth",
        "mta.users",
    },
}
# Stricter than the rules of their folders: every package imports the seams, so the seams import little.
MAY_IMPORT_EXACTLY = {
    "mta.queue.interface": {
        "mta.fast_value",
        "mta.message",
        "mta.queue.entries",
        "mta.queue.search.conditions",
    },
    "mta.queue.entries": {"mta.fast_value", "mta.queue.search.conditions"},
    "mta.queue.ids": {"mta.queue.interface"},
    "mta.routing.route": {
        "mta.message.outcome",
        "mta.routing.carriage",
        "mta.routing.choice",
        "mta.routing.demands.proof",
        "mta.smtp.parameters",
    },
    "mta.routing.choice": {"mta.routing.route", "mta.smtp.address"},
    "mta.routing.hostpatterns": set(),
    "mta.event_log.log": {
        "mta.smtp",
        "mta.message",
        "mta.queue.interface",
        "mta.event_log.counts",
        "mta.event_log.emitting",
        "mta.event_log.repeats",
        "mta.event_log.stages",
    },
    "mta.delivery.local.rule": {"mta.smtp"},
    "mta.delivery.local.srs": {"mta.smtp"},
    "mta.inbound.networks": set(),
}


def ruled_modules() -> list[Path]:
    """Return the modules whose imports follow a rule."""
    return [path for path in MODULES if not any(within(name_of(path), top) for top in TOP)]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the full names of all that is imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + ".")


def own_imports(tree: ast.Module) -> set[str]:
    return {name for name in imports(tree) if within(name, "mta") or within(name, "queue_schema")}


def rule_of(module: str) -> str:
    """Return the rule that a module follows: its own, or that of the innermost folder that has one."""
    if module in MAY_IMPORT_EXACTLY:
        return module
    return max((folder for folder in MAY_IMPORT if within(module, folder)), key=len)


def is_of(name: str, folder: str) -> bool:
    """Whether an imported name is of this folder itself, and not of a folder below it that has its own rule."""
    return within(name, folder) and not any(
        within(name, inner) for inner in MAY_IMPORT if within(inner, folder) and inner != folder
    )


def forbidden_imports(module: str, tree: ast.Module) -> list[str]:
    """Return the imports of the project that a module has and must not have."""
    rule = rule_of(module)
    if rule in MAY_IMPORT_EXACTLY:
        return sorted(
            name for name in own_imports(tree) if not any(within(name, one) for one in MAY_IMPORT_EXACTLY[rule])
        )
    allowed = MAY_IMPORT[rule]
    return sorted(
        name for name in own_imports(tree) if not (is_of(name, rule) or any(within(name, one) for one in allowed))
    )


@cache
def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def only_offenders(found: Mapping[str, T]) -> dict[str, T]:
    """Return the files in which a rule found something."""
    return {path: offences for path, offences in found.items() if offences}


def test_modules_import_only_the_dependencies_of_their_folder():
    found = {path: forbidden_imports(name_of(ROOT / path), parse(path)) for path in names(ruled_modules())}
    assert only_offenders(found) == {}


def test_the_bench_and_the_harness_import_no_tests():
    modules = [path for folder in ("bench", "harness") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {path: [name for name in imports(parse(path)) if within(name, "tests")] for path in names(modules)}
    assert modules
    assert only_offenders(found) == {}


def test_every_allowed_import_is_used():
    used: dict[str, set[str]] = {rule: set() for rule in MAY_IMPORT | MAY_IMPORT_EXACTLY}
    for path in names(ruled_modules()):
        used[rule_of(name_of(ROOT / path))] |= own_imports(parse(path))
    unused = {
        rule: [one for one in sorted(allowed) if not any(within(name, one) for name in used[rule])]
        for rule, allowed in (MAY_IMPORT | MAY_IMPORT_EXACTLY).items()
    }
    assert only_offenders(unused) == {}


@pytest.mark.parametrize(
    ("module", "text", "forbidden"),
    [
        ("mta.smtp.client.machine", "from mta.message.body import Body", "mta.message.body.Body"),
        ("mta.inbound.intake", "from mta.queue.sqlite.queue import SqliteQueue", "mta.queue.sqlite.queue.SqliteQueue"),
        ("mta.delivery.service", "def f():\n  import mta.inbound.policy", "mta.inbound.policy"),
        ("mta.inbound.policy", "from mta.config import settings", "mta.config.settings"),
        ("mta.queue.interface", "from mta.queue.sqlite.queue import X", "mta.queue.sqlite.queue.X"),
    ],
)
def test_an_upward_import_is_found(module, text, forbidden):
    assert forbidden_imports(module, ast.parse(text)) == [forbidden]


def test_mta_smtp_imports_no_socket_no_clock_and_no_framework():
    forbidden = {"twisted", "zope", "socket", "ssl", "time", "asyncio", "logging"}
    modules = names(sorted((ROOT / "mta" / "smtp").rglob("*.py")))
    found = {path: [name for name in imports(parse(path)) if name.split(".")[0] in forbidden] for path in modules}
    assert modules
    assert only_offenders(found) == {}


def test_no_module_imports_the_global_reactor_at_its_top():
    found = {}
    for path in names(MODULES):
        top = ast.Module([node for node in parse(path).body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        found[path] = [name for name in imports(top) if within(name, "twisted.internet.reactor")]
    assert only_offenders(found) == {}


def test_no_module_and_no_test_sleeps():
    assert only_offenders({path: sleeps(parse(path)) for path in names(MODULES + TESTS)}) == {}


def sleeps(tree: ast.Module) -> list[str | int]:
    """Return the imports of a `sleep` and the lines that call one."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "sleep"]
    return [*(name for name in imports(tree) if name.endswith(".sleep")), *lines]


def test_every_test_module_has_a_docstring():
    assert [path for path in names(TESTS) if ast.get_docstring(parse(path)) is None] == []


def test_no_file_is_too_long():
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in names(MODULES)}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_folder_has_too_many_files():
    """`__init__.py` holds no code and does not count."""
    folders = {path.parent for path in MODULES}
    counts = {folder: sum(path.name != "__init__.py" for path in folder.glob("*.py")) for folder in folders}
    assert {str(folder): count for folder, count in counts.items() if count > MAX_FILES_IN_A_FOLDER} == {}


def test_no_function_is_too_long():
    assert only_offenders({path: long_functions(parse(path)) for path in names(MODULES + TESTS)}) == {}


def long_functions(tree: ast.Module) -> dict[str, int]:
    """Return the functions that are too long, with their numbers of lines."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions if node.end_lineno is not None}
    return {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES}


def test_no_module_asks_the_c_library_for_a_date():
    """On a 32-bit system these functions know no time after 2038-01-19: `mta.message.dates` computes dates itself."""
    forbidden = {"gmtime", "localtime", "mktime", "ctime", "asctime", "fromtimestamp", "utcfromtimestamp", "formatdate"}
    found = {
        path: [
            node.attr for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute) and node.attr in forbidden
        ]
        for path in names(MODULES)
    }
    assert only_offenders(found) == {}


def prose() -> list[str]:
    """Return the parts of the project whose prose follows the rules. "mta" is its modules that are in no package."""
    packages = sorted({path.relative_to(ROOT).parts[1] for path in MODULES if path.parent != ROOT / "mta"})
    return ["mta", *(f"mta/{package}" for package in packages), *OTHER_PROSE]


@cache
def measures_of(part: str) -> Measures:
    """Return the figures of a part of the prose."""
    if part == "mta":
        return measure(sorted((ROOT / "mta").glob("*.py")))
    if part == "bench":
        # Without the results of runs, which are not part of the project.
        return measure([path for path in sorted((ROOT / "bench").iterdir()) if path.name != "results"])
    return measure([ROOT / part])


def test_the_prose_names_its_subjects():
    rates = {part: measures_of(part).headless_rate for part in prose()}
    assert {part: rate for part, rate in rates.items() if rate > MAX_HEADLESS_CLAUSES} == {}


def test_the_prose_is_not_made_of_negatives():
    rates = {part: measures_of(part).negative_rate for part in prose()}
    assert {part: rate for part, rate in rates.items() if rate > MAX_NEGATIVES} == {}


def test_a_class_name_means_one_thing():
    names = sum((measures_of(part).classes for part in prose() if part.startswith("mta")), Counter())
    assert [name for name, count in names.items() if count > 1] == []


def test_no_pattern_repeats_a_group_possessively():
    """Python 3.11.0 to 3.11.4, one of which Debian 12 has, matches `(...)*+` wrongly; `(?>(...)*)` is the same."""
    assert only_offenders({path: possessive_groups(parse(path)) for path in names(MODULES)}) == {}


def possessive_groups(tree: ast.Module) -> list[str]:
    """Return the texts of a module with a possessive quantifier after a group, or after a part that `%` puts in."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    found = (text.decode("latin-1") if isinstance(text, bytes) else str(text) for text in texts)
    return [text for text in found if re.search(r"(?:\)|%[bs])(?:[*+?]|\{[0-9,]+\})\+", text)]


def test_a_possessive_group_is_found():
    assert possessive_groups(ast.parse(r'A = rb"(?:a\)|b)*+"; B = r"[)]*+ a++ (?>(?:b)*)"')) == [r"(?:a\)|b)*+"]
