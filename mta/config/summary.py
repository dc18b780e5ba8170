"""Summarizes the settings in lines for the log: who may send, to whom, by which route and with which security."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mta.config.readers.secure_delivery import SecureDelivery, StsUse
from mta.config.schedule import write_schedule, write_time
from mta.config.settings import Settings
from mta.config.sources.exim import write_hosts, write_size
from mta.config.value_types import write_listen
from mta.delivery.local.rule import LocalKind
from mta.routing.choice import Discard, MxOf, Reroute, RouteChoice, ViaSmarthost
from mta.routing.route import AnyCredentials, CertificateCredentials, Smarthost, TlsRule, TokenCredentials
from mta.rules.book import RuleBook
from mta.smtp.address import bracketed

if TYPE_CHECKING:
    from mta.rules.conditions import Rule
    from mta.rules.retries import RetryRule

#: How each rule of TLS is told.
TLS_WORDS = {
    TlsRule.NONE: "without TLS",
    TlsRule.OPPORTUNISTIC: "with TLS if it is offered, with any certificate",
    TlsRule.REQUIRE: "with TLS only, with any certificate",
    TlsRule.VERIFY: "with TLS only, the certificate must prove the host's name",
}
_LOCAL = {
    LocalKind.MAILDIR: "existing Maildirs in {mail_dir}",
    LocalKind.MAILDIR_CREATE: "Maildirs in {mail_dir}, created for any user",
    LocalKind.LMTP: "the mail store at {rule}",
}


def startup_summary(settings: Settings) -> tuple[str, ...]:
    """Return lines `subject: summary` without secrets; with VERBOSE, lines `NAME = value` of all settings follow."""
    lines = (
        f"name: {settings.mailname}",
        f"listening: {_listening(settings)}",
        *_balancers(settings),
        f"STARTTLS: {_starttls(settings)}",
        f"may send anywhere: {settings.trusted}",
        f"anyone may send to: {_for_all(settings)}",
        *_rules(settings),
        *_logins(settings),
        f"local domains: {settings.local_domains}, delivered to {describe_local_delivery(settings)}",
        *_smarthosts_of_rules(settings),
        f"all other mail goes to: {'; '.join(_route(settings))}",
        f"DKIM: {_dkim(settings)}",
        f"limits: {write_size(settings.message_size_limit)} a message, {_line_length(settings)}",
        f"tries again: {write_schedule(settings.retry_schedule)}, then returns the mail",
        *_workers(settings),
        *_metrics(settings),
        *_page(settings),
        f"queue: {_queue(settings)}, keeps results of messages for {settings.history_days:.12g} days",
    )
    return (*lines, *map(str, settings.effective)) if settings.verbose else lines


def _metrics(settings: Settings) -> tuple[str, ...]:
    if settings.metrics_listen is None:
        return ()
    return (f"metrics: http://{write_listen(settings.metrics_listen)}/metrics, /healthz and /readyz",)


def _page(settings: Settings) -> tuple[str, ...]:
    admin = settings.admin
    return () if admin is None else (f"page: {admin.url}, {'with' if admin.password else 'without'} a password",)


@dataclass(frozen=True, slots=True)
class RuleSummary:
    """A rule in words: its stage, its action, and the keys of its conditions."""

    stage: str
    rule: "Rule"
    words: str

    def __str__(self) -> str:
        """Return `rule PLACE (NAME): WORDS`."""
        return f"rule {self.rule}: {self.words}"


def rule_lines(settings: Settings) -> tuple[str, ...]:
    """Return a line for each rule in order: place and name, action, and the keys of its conditions."""
    return tuple(map(str, rule_summaries(settings.rules)))


def rule_summaries(book: RuleBook | None) -> Iterator[RuleSummary]:
    """Yield the rules of a book, in the order of the stages."""
    for stage, rule, action in _rule_actions(book) if book else ():
        yield RuleSummary(stage, rule, f"{action}{_conditions(rule)}")


def _rule_actions(book: RuleBook) -> Iterator[tuple[str, "Rule", str]]:
    for one in book.acl.rules if book.acl else ():
        yield "acl", one.rule, str(one.action)
    for change in book.rewrite.rules if book.rewrite else ():
        keys = [*(action.key for action in change.actions), *(["last"] if change.last else [])]
        yield "rewrite", change.rule, ", ".join(keys)
    for route in book.router.rules if book.router else ():
        yield "router", route.rule, _choice(route.choice)
    for carried in book.transport.rules if book.transport else ():
        yield "transport", carried.rule, ", ".join(carried.words)
    for retry in book.retry.rules if book.retry else ():
        yield "retry", retry.rule, _retry(retry)


def _choice(choice: RouteChoice) -> str:
    match choice:
        case MxOf(domain):
            return f"mx of {domain or 'its own domain'}"
        case ViaSmarthost(smarthost):
            return f"hosts {_hosts(smarthost)}" if smarthost.lists_hosts else f"smarthost {smarthost.name}"
        case Discard():
            return "discard"
        case Reroute():
            return choice.where
    return f"fail {choice.status} {choice.text}"


def _retry(retry: "RetryRule") -> str:
    schedule = f"schedule {write_schedule(retry.schedule)}, " if retry.schedule else ""
    return f"{schedule}warn_after {'false' if retry.warn_after is None else write_time(retry.warn_after)}"


def _conditions(rule: "Rule") -> str:
    keys = [*(each.key for each in rule.conditions), *(f"unless.{each.key}" for each in rule.unless)]
    return f", by {', '.join(keys)}" if keys else ", always"


def _listening(settings: Settings) -> str:
    addresses = list(filter(None, (settings.bind_ip, settings.bind_ip6)))
    said = ", ".join(f"{bracketed(address)}:{port}" for port in settings.ports for address in addresses)
    return said if settings.ipv6 else f"{said}; IPv6 is disabled, also for delivery"


def _starttls(settings: Settings) -> str:
    if settings.certificate_path is None:
        return "not offered, because there is no certificate"
    return f"offered with the certificate {settings.certificate_path} and the key {settings.key_path}"


def _balancers(settings: Settings) -> Iterator[str]:
    if settings.proxy_networks.items:
        yield f"load balancers: connections from {settings.proxy_networks} must begin with a PROXY header"


def _rules(settings: Settings) -> Iterator[str]:
    if settings.rules:
        files = Counter(rule.where.file for rule in settings.rules.rules)
        counts = ", ".join(f"{count} in {name}" if count > 1 else name for name, count in files.items())
        yield f"rules: {counts}; digest {settings.rules.digest}"


def _logins(settings: Settings) -> Iterator[str]:
    """Yield the ports that need a login and those that do not, because users do not lock the other ports."""
    file, count = settings.auth_users_file, settings.auth_user_count
    if not settings.ports[1:] and not count and file is None:
        return
    # A command that reads the settings of a running relay does not know the users of the variable.
    users = f"{count} user{'s' * (count != 1)}" if count or file else "the users of AUTH_USERS"
    users += f" in {file}" if file else ""
    ports = [
        f"port {port} ({tls})"
        for port, tls in (
            (settings.submission_port, "STARTTLS"),
            (settings.submission_tls_port, "TLS from the first byte"),
        )
        if port
    ]
    if ports:
        said = f"required on {' and '.join(ports)}, for {users}; port {settings.port} needs and takes none"
    else:
        inside = "" if settings.auth_in_clear else " inside TLS"
        said = f"possible on port {settings.port}{inside}, for {users}; other clients send without, as before"
    yield f"logins: {said}" + ("; trusted clients may log in without TLS" if settings.auth_in_clear else "")


def _for_all(settings: Settings) -> str:
    return f"the local domains, {settings.relay_domains}" if settings.relay_domains.patterns else "the local domains"


def describe_local_delivery(settings: Settings) -> str:
    """Return the place that local mail is delivered to, in words."""
    rule = settings.local_delivery
    words = _LOCAL[rule.kind].format(mail_dir=settings.mail_dir, rule=rule)
    if settings.aliases_file is None:
        return words
    rewritten = f", whose senders become addresses in {settings.srs.domain}" if settings.srs else ""
    return f"{words}, aliases from {settings.aliases_file}{rewritten}"


def _route(settings: Settings) -> Iterator[str]:
    if settings.smarthost:
        yield from _smarthost(settings, settings.smarthost)
        return
    yield f"the MX hosts of its domain, port {settings.port_out}, {TLS_WORDS[TlsRule.OPPORTUNISTIC]}"
    yield "private and loopback addresses " + ("allowed" if settings.private_destinations else "for RELAY_DOMAINS only")
    yield from _proof(settings.secure_delivery)


def _proof(secure: SecureDelivery) -> Iterator[str]:
    """Yield the proof that MX hosts must give, by their domains and by TLS_POLICY."""
    sts = {StsUse.ENFORCE: "MTA-STS", StsUse.TESTING: "MTA-STS for testing only"}.get(secure.sts)
    dane = f"DANE (DNSSEC={secure.dnssec.value})" if secure.uses_dane else None
    published = " and ".join(filter(None, (sts, dane)))
    yield f"{published} as the domain publishes it" if published else "without MTA-STS and DANE"
    entries = len(secure.tls_policy.entries)
    if entries:
        yield f"first TLS_POLICY with {entries} {'entry' if entries == 1 else 'entries'}"


def _smarthosts_of_rules(settings: Settings) -> Iterator[str]:
    """Yield the smarthosts with a name that rules use; those of the other hosts are told with their rules."""
    routes = settings.rules.router if settings.rules else None
    for smarthost in routes.smarthosts if routes else ():
        if not smarthost.lists_hosts:
            authorities = f"; authorities of {smarthost.ca_file or 'the system'}"
            confirmed = authorities if smarthost.tls is TlsRule.VERIFY else ""
            parts = (
                f"{_hosts(smarthost)}, {TLS_WORDS[smarthost.tls]}{confirmed}",
                "login at each of these hosts" if smarthost.credentials else "without login",
            )
            yield f"smarthost {smarthost.name}: {'; '.join(parts)}"


def _hosts(smarthost: Smarthost) -> str:
    return ", ".join(f"{bracketed(host)}:{port}" for host, port in smarthost.hosts)


def _smarthost(settings: Settings, smarthost: Smarthost) -> Iterator[str]:
    yield f"the smarthost {write_hosts(smarthost.hosts)}, {TLS_WORDS[smarthost.tls]}"
    if smarthost.implicit_tls:
        yield "TLS from the first byte on every port"
    if smarthost.tls is TlsRule.VERIFY:
        yield f"authorities of {settings.smarthost_ca_file or 'the system'}"
    if settings.client_certificate:
        yield f"shows the certificate {settings.client_certificate[0]}"
    if smarthost.credentials is None:
        yield "without login"
    elif smarthost.aliases is None:
        yield f"{_login(settings, smarthost.credentials)} at each of these hosts"
    else:
        yield f"{_login(settings, smarthost.credentials)} at hosts that match {' ; '.join(smarthost.aliases)}"


def _login(settings: Settings, credentials: AnyCredentials) -> str:
    if isinstance(credentials, TokenCredentials) and settings.grant:
        return f"login with access tokens from {urlsplit(settings.grant.url).hostname}"
    return "login with the certificate" if isinstance(credentials, CertificateCredentials) else "login"


def _dkim(settings: Settings) -> str:
    if settings.dkim_key_path is None:
        return "mail is not signed"
    canon = "/".join(settings.dkim_canon)
    keys = settings.dkim_key_path
    return f"mail is signed for the domain of From: with {keys}, selector {settings.dkim_selector}, {canon}"


def _workers(settings: Settings) -> Iterator[str]:
    if settings.workers > 1:
        queues = (
            "all with the shared queue"
            if settings.shared_queue
            else f"each with its own queue below {settings.queue_dir}"
        )
        yield f"workers: {settings.workers} processes, {queues}"


def _queue(settings: Settings) -> str:
    shared = settings.shared_queue
    return f"shared in {shared.server}, as {shared.node_name}" if shared else str(settings.queue_dir)


def _line_length(settings: Settings) -> str:
    limit = settings.line_length_limit
    return f"{limit} octets a line" if limit else "lines of any length"
