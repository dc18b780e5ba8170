"""A message for each row of docs/rules-migrating.md, and a part of the explanation that the rule of the row causes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A command without its program, and a part of its output."""

    command: str
    told: str


def mail(told: str, words: str = "") -> Case:
    """Return a case for a message of an application, as far as `words` say no other."""
    to = "" if "--to " in words else "--to bob@example.net "
    return Case(f"explain --from app@example.com {to}--client 10.0.3.7 {words}", told)


def stranger(told: str, words: str = "") -> Case:
    """Return a case for a message of a stranger."""
    to = "" if "--to " in words else "--to x@example.org "
    return Case(f"explain --from a@b.test {to}--client 203.0.113.9 {words}", told)


def carried(told: str) -> Case:
    """Return a case for a rule about the carriage of mail."""
    return mail(told, "--to x@partner.test")


def checked(told: str) -> Case:
    """Return a case for a rule or setting that `config check` tells."""
    return Case("config check", told)


_OFFICE = "smarthost office, smtp.office365.com:587, with its login"
#: By the beginning of the left cell, in the order of the page.
CASES = {
    "`/etc/email-addresses`": mail("sender app@x.lan -> noreply@example.com", "--from app@x.lan"),
    "A rewriting rule `*@* noreply": mail("FORCE_SENDER: sender app@example.com -> noreply@example.com; From: nor"),
    "A rewriting rule `root": mail("sender root@x.lan -> ops@example.com", "--from root@x.lan"),
    "A rewriting rule `*@*.lan": mail("sender x@a.b.lan -> x@example.com", "--from x@a.b.lan"),
    "A rewriting rule `*@old.test": mail("recipient a@old.test -> a@example.com", "--to a@old.test"),
    "`REMOTE_SMTP_HEADERS_REWRITE": mail(
        "10-own.toml:1: From: noreply@example.com\n", "--from a@host1.lan --header 'From: a@host1.lan'"
    ),
    "`REMOTE_SMTP_RETURN_PATH": mail("10-own.toml:1: sender app@example.com -> bounces@example.com\n"),
    "`REMOTE_SMTP_TRANSPORTS_HEADERS_REMOVE": mail("X-Mailer removed", "--header 'X-Mailer: x'"),
    "`headers_add = X-SES": mail("X-SES-CONFIGURATION-SET: main"),
    '`headers_add = "Reply-To': mail("Reply-To: help@example.com", "--header 'Reply-To: x@y.test'"),
    "`received_header_text`": mail("HIDE_CLIENTS: the client is hidden"),
    "`unseen deliver archive": mail("BCC_TO: a copy to archive@example.com"),
    "`unseen deliver` with `if": mail("10-own.toml:1: a copy to archive@example.com"),
    "A router `redirect` with `data = dev": mail("recipient bob@example.net -> dev@example.com"),
    "A router `redirect` with `domains = old": mail("recipient x@old.test -> x@example.com", "--to x@old.test"),
    "`hubbed_hosts` with `partner": mail("10-own.toml:1: mail.partner.test:25", "--to x@partner.test"),
    "`hubbed_hosts` with `*.": mail("mail-1.partner.test:25, mail-2.partner.test:25", "--to x@a.partner.test"),
    "`manualroute` with `route_list = partner.test mail": mail("mail.partner.test:2525", "--to x@partner.test"),
    "`manualroute` with `route_list = partner.test relay": mail("relay.partner.test", "--to x@partner.test"),
    "`dnslookup`": mail("the MX hosts of partner.test", "--to x@partner.test"),
    "`manualroute` with `senders": mail(_OFFICE),
    "`manualroute` with `condition = ${if match_ip": mail("mail-9.example.net:25", "--client 10.0.9.1"),
    "`manualroute` with `condition = ${if eq": mail("bulk.example.net:25", "--login newsletter"),
    "A router `redirect` with `domains = gone.test`, `data = :black": mail(
        "10-own.toml:1: discarded", "--to x@gone.test"
    ),
    "A router `redirect` with `domains = gone.test`, `data = :fail": mail(
        "returned to the sender: 5.1.6 this company", "--to x@gone.test"
    ),
    "`passwd.client` with `smtp": mail("the smarthost smtp.example.com:587"),
    "`REMOTE_SMTP_HELO_DATA": carried("helo mail.example.com"),
    "`REMOTE_SMTP_INTERFACE": carried("source 192.0.2.25"),
    "`REMOTE_SMTP_HOSTS_REQUIRE_TLS = *`": carried("tls require (10-own.toml:1)"),
    "`REMOTE_SMTP_HOSTS_REQUIRE_TLS = *.": carried("tls require (10-own.toml:1)"),
    "`REMOTE_SMTP_HOSTS_AVOID_TLS": carried("tls none (10-own.toml:1)"),
    "`REMOTE_SMTP_SMARTHOST_HOSTS": checked("with TLS only, with any certificate"),
    "`REMOTE_SMTP_SMARTHOST_TLS": checked("own-ca.pem"),
    "`port = 2525` of the transport `remote": mail("port 2525"),
    "`port = 2525` of a transport for": carried("port 2525 (10-own.toml:1)"),
    "`connection_max": carried("messages_per_connection 20"),
    "`serialize_hosts": carried("connections 1 (10-own.toml:1)"),
    "`dns_ipv4": carried("ipv6 false"),
    "`DKIM_DOMAIN`": Case("config explain DKIM_SELECTOR", "DKIM_SELECTOR = mail"),
    "`local_sender_blacklist` with": stranger("550 5.7.1 sender rejected", "--from spam@example.net"),
    "`local_sender_blacklist` as": stranger("550 5.7.1 sender rejected", "--from x@spam.test"),
    "`sender_local": stranger("accepted: ", "--from boss@example.org"),
    "`local_host_blacklist` with `192": stranger("550 5.7.1 this host may not", "--client 192.0.2.9"),
    "`host_local": stranger("; by 10-own.toml:1", "--client 192.0.2.7"),
    "`local_host_blacklist` with `!": stranger("passes over 10-own.toml:1: unless.client", "--client 192.0.2.7"),
    "`deny senders = :`": stranger("550 5.7.1 no bounces here", "--from '<>'"),
    "`deny senders = ^": stranger("550 5.7.1 sender rejected", "--from spam12@x.test"),
    "`deny message": mail("after the data: 550 5.7.1 no;", "--header 'Subject: The Lottery'"),
    "`require verify": mail("550 5.7.1 From is an address of example.com", "--header 'From: me@other.test'"),
    "`deny condition": mail("552 5.3.4 message too large", "--size 30M"),
    "`deny !encrypted": stranger("530 5.7.0 use STARTTLS"),
    "`defer hosts": stranger("deferred at RCPT: 451 4.7.1 later", "--client 192.0.2.7"),
    "`warn control": mail("held: 10.0.3.7 may send anywhere", "--from trainee@example.com"),
    "`defer ratelimit = 100": checked("rule 10-own.toml:1: defer 451 4.7.1 slow down, by over"),
    "`defer ratelimit = 500": checked("rule 10-own.toml:1: defer 451 4.7.1 slow down, by over"),
    "A retry rule `partner": mail("F,1h,10m (10-own.toml:1)", "--to x@partner.test"),
    "A retry rule `* timeout": mail("after connect: F,1d,30m (10-own.toml:1)"),
    "A retry rule `* * senders": mail("F,1d,2h (10-own.toml:1)", "--from '<>'"),
    "A retry rule `* * F": mail("F,2h,15m; G,16h,1h,1.5; F,4d,6h (RETRY_SCHEDULE)"),
    "`delay_warning = 4h`": mail("report of delay after 4h (10-own.toml:1)"),
    "`delay_warning_condition`": mail("no report of delay (10-own.toml:1)"),
    "`sender_canonical_maps` with": mail(
        "sender app@host1.lan -> noreply@example.com; From: A <noreply@example.com>",
        "--from app@host1.lan --header 'From: A <app@host1.lan>'",
    ),
    "`recipient_canonical_maps`": mail("To: a@example.com", "--to a@old.test --header 'To: a@old.test'"),
    "`canonical_maps`": mail("recipient x@host1.lan -> x@example.com", "--to x@host1.lan"),
    "`smtp_generic_maps`": mail("sender x@host1.lan -> noreply@example.com", "--from x@host1.lan"),
    "`sender_canonical_maps = static": mail("FORCE_SENDER: sender app@example.com -> noreply@example.com"),
    "`masquerade_domains": mail("-> x@example.com", "--from x@host1.example.com"),
    "`virtual_alias_maps = static": mail("recipient bob@example.net -> dev@example.com"),
    "`virtual_alias_maps` with": stranger(
        "sales@example.org -> ann@example.net, bob@example.net", "--to sales@example.org"
    ),
    "`always_bcc": mail("BCC_TO: a copy to archive@example.com"),
    "`sender_bcc_maps`": mail("a copy to archive@example.com"),
    "`recipient_bcc_maps`": mail("a copy to archive@example.com"),
    "`header_checks` with `/^X-Mailer:/": mail("X-Mailer removed", "--header 'X-Mailer: x'"),
    "`header_checks` with `/^Subject: .*report": mail("X-Tag: main", "--header 'Subject: a report'"),
    "`header_checks` with `/^From": mail("From: Shop <noreply@example.com>"),
    "`header_checks` with `/^Received": mail(
        "the client is hidden; earlier hosts are hidden", "--header 'Received: from x by y'"
    ),
    "`transport_maps` with `partner.test smtp:[": mail("mail.partner.test:2525", "--to x@partner.test"),
    "`transport_maps` with `.partner": mail("the MX hosts of relay.partner.test", "--to x@a.partner.test"),
    "`transport_maps` with `partner.test smtp:`": mail("the MX hosts of partner.test", "--to x@partner.test"),
    "`transport_maps` with `gone.test discard": mail("10-own.toml:1: discarded", "--to x@gone.test"),
    "`transport_maps` with `gone.test error": mail("returned to the sender: 5.1.6 this company", "--to x@gone.test"),
    "`relayhost": mail("the smarthost smtp.example.com:587"),
    "`sender_dependent_relayhost_maps`": mail(_OFFICE),
    "`sasl_passwd` with `[smtp": mail("the smarthost smtp.example.com:587"),
    "`sasl_passwd` with `app": mail("smarthost app, smtp.example.com:587, with its login"),
    "`smtp_tls_CAfile": mail("mail.partner.test:25", "--to x@partner.test"),
    "`content_filter": mail("filter.test:10025"),
    "`smtp_tls_policy_maps` with `partner.test encrypt": carried("tls require (10-own.toml:1)"),
    "`smtp_tls_policy_maps` with `partner.test secure": carried("tls verify (10-own.toml:1)"),
    "`smtp_tls_policy_maps` with `partner.test none": carried("tls none (10-own.toml:1)"),
    "`smtp_tls_security_level": carried("tls require (10-own.toml:1)"),
    "`smtp_destination_rate": carried("rate_each 1 message/second"),
    "A transport `slow`": carried("rate_each 1 message / 5 seconds"),
    "`default_transport_rate": carried("rate 1 message/second"),
    "`smtp_destination_concurrency": carried("connections 2"),
    "`smtp_connection_reuse": carried("messages_per_connection 20"),
    "`smtp_bind_address": carried("source 192.0.2.25"),
    "`smtp_helo_name": carried("helo mail.example.com"),
    "`smtp_address_preference": carried("ipv6 false (10-own.toml:1)"),
    "`check_sender_access` with `example.org": stranger("550 5.7.1 sender rejected", "--from a@b.example.org"),
    "`check_sender_access` with `example.com": mail("by ALLOWED_SENDERS", "--from a@other.test"),
    "`check_recipient_access` with `ceo": mail("550 5.7.1 not by machines", "--to ceo@example.com"),
    "`check_recipient_access` with `example.com": mail("by ALLOWED_RECIPIENTS"),
    "`check_client_access` with `192.0.2.7 REJECT`": stranger("550 5.7.1 this host may not", "--client 192.0.2.7"),
    "`check_client_access` with `192.0.2.7 DEFER": stranger("deferred at RCPT: 451 4.7.1 later", "--client 192.0.2.7"),
    "`check_helo_access`": stranger("give your own name", "--helo localhost.localdomain"),
    "`HOLD`": mail("held: 10.0.3.7 may send anywhere", "--from trainee@example.com"),
    "`header_checks` with `/^Subject: .*lottery": mail("after the data: 550", "--header 'Subject: lottery'"),
    "`header_checks` with `/^X-Mailer: Bulk": mail("held after the data: ", "--header 'X-Mailer: BulkMailer 2.1'"),
    "`smtpd_tls_security_level": stranger("530 5.7.0 use STARTTLS"),
    "`smtpd_client_message": checked("rule 10-own.toml:1: defer 451 4.7.1 slow down, by over"),
    "`smtpd_client_recipient": checked("rule 10-own.toml:1: defer 451 4.7.1 slow down, by over"),
    "`smtpd_sender_login_maps`": mail("553 5.7.1 not your address", "--login shop"),
    "`message_size_limit": checked("limits: 20M a message"),
    "`maximal_queue_lifetime": mail("F,2h,15m; F,1d,1h (RETRY_SCHEDULE)"),
    "`bounce_queue_lifetime": mail("F,2h,15m; F,1d,1h (10-own.toml:1)", "--from '<>'"),
    "`delay_warning_time": mail("report of delay after 4h (10-own.toml:1)"),
    "`minimal_backoff": mail("G,2h,5m,2; F,5d,1h (RETRY_SCHEDULE)"),
    "boky/postfix: `ALLOWED": mail("by ALLOWED_SENDERS", "--from a@other.test"),
    "boky/postfix: `MASQ": mail("-> x@example.com", "--from x@host1.example.com"),
    "boky/postfix: `POSTFIX_default": carried("rate_each 1 message/second"),
    "boky/postfix: `SMTP_HEADER": mail("the client is hidden"),
    "juanluisbaptista/postfix: `OVER": mail("From: Shop <noreply@example.com>"),
    "juanluisbaptista/postfix: `SMTP_HEADER_TAG": mail("RelayTag: main"),
    "docker-mailserver: `postfix-relaymap": mail("smtp.example.net:587"),
}
