"""The settings of whole environments: defaults, mistakes and notices."""

import ipaddress
import os
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.identity import read_identity, usual_identity
from mta.config.readers.secure_delivery import SecureDelivery
from mta.config.schedule import read_schedule
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.table import SETTINGS
from mta.delivery.local.rule import LocalKind, LocalRule
from mta.inbound.networks import IPNetwork, TrustList
from mta.routing.route import Credentials, TlsRule


def networks(device: str) -> tuple[IPNetwork, ...]:
    if device != "eth0":
        raise OSError("no interface with this name")
    return (ipaddress.ip_network("172.17.0.0/16"), ipaddress.ip_network("fd00:17::/64"))


def read(**environ: str) -> Settings:
    return read_settings(environ, host_name=lambda: "host.example.test", networks=networks, root=Path("/nowhere"))


def mistakes(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        read(**environ)
    return refused.value.mistakes


def test_a_relay_works_without_settings() -> None:
    defaults = read()
    assert defaults == Settings(
        port=25,
        bind_ip="0.0.0.0",
        bind_ip6="::",
        ipv6=True,
        mailname="host.example.test",
        run_as=usual_identity(),
        trusted=defaults.trusted,
        relay_domains=defaults.relay_domains,
        proxy_networks=TrustList(),
        local_domains=defaults.local_domains,
        local_delivery=LocalRule(LocalKind.MAILDIR),
        aliases_file=defaults.aliases_file,
        rules=None,
        rule_files=defaults.rule_files,
        certificate_path=None,
        key_path=None,
        submission_port=None,
        submission_tls_port=None,
        auth_users="",
        auth_user_count=0,
        auth_users_file=None,
        auth_in_clear=False,
        port_out=25,
        secure_delivery=SecureDelivery(),
        smarthost=None,
        grant=None,
        client_certificate=None,
        smarthost_ca_file=None,
        dkim_key_path=None,
        dkim_selector="dkim",
        dkim_canon=("relaxed", "relaxed"),
        queue_dir=Path("/var/spool/smtprelay"),
        shared_queue=None,
        srs=None,
        workers=1,
        mail_dir=Path("/var/mail"),
        dns_servers=(),
        retry_schedule=read_schedule("F,2h,15m; G,16h,1h,1.5; F,4d,6h"),
        message_size_limit=52428800,
        line_length_limit=998,
        line_endings="normalize",
        log_format="text",
        history_days=7.0,
        log_subject=True,
        metrics_listen=None,
        admin=None,
        events=None,
        postmaster=None,
        private_destinations=False,
        verbose=False,
        notices=(),
        effective=defaults.effective,
    )
    assert str(defaults.trusted) == "127.0.0.1 ; ::1 ; 172.17.0.0/16 ; fd00:17::/64"
    assert defaults.relay_domains.patterns == ()
    assert defaults.local_domains.patterns == ("localhost",)


def test_empty_variables_count_as_unset() -> None:
    nothing = {setting.name: "" for setting in SETTINGS} | {f"{it.name}_FILE": "" for it in SETTINGS if it.secret}
    assert read(**nothing) == read()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("PORT", "2525", "port", 2525),
        ("BIND_IP", "127.0.0.1", "bind_ip", "127.0.0.1"),
        ("BIND_IP6", "::1", "bind_ip6", "::1"),
        ("DISABLE_IPV6", "1", "ipv6", False),
        ("DISABLE_IPV6", "1", "bind_ip6", None),
        ("DISABLE_IPV6", "0", "ipv6", False),
        ("MAILNAME", "MTA.x.test", "mailname", "mta.x.test"),
        ("LOCAL_DELIVERY", "lmtp:[::1]:24", "local_delivery", LocalRule(LocalKind.LMTP, "::1", 24)),
        ("SMTPPORTOUT", "2525", "port_out", 2525),
        ("DKIM_SELECTOR", "Mail.2026", "dkim_selector", "mail.2026"),
        ("DKIM_CANON", "simple", "dkim_canon", ("simple", "simple")),
        ("QUEUE_DIR", "./spool", "queue_dir", Path("spool")),
        ("MAIL_DIR", "/mail", "mail_dir", Path("/mail")),
        ("DNS_SERVERS", "127.0.0.1:5353,[::1]:53", "dns_servers", (("127.0.0.1", 5353), ("::1", 53))),
        ("RETRY_SCHEDULE", "F,10s,1s", "retry_schedule", read_schedule("F,10s,1s")),
        ("MESSAGE_SIZE_LIMIT", "1K", "message_size_limit", 1024),
        ("LINE_LENGTH_LIMIT", "0", "line_length_limit", 0),
        ("LINE_ENDINGS", "strict", "line_endings", "strict"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("WORKERS", "64", "workers", 64),
        ("WORKERS", "Auto", "workers", min(len(os.sched_getaffinity(0)), 64)),
        ("HISTORY_DAYS", "0.5", "history_days", 0.5),
        ("LOG_SUBJECT", "no", "log_subject", False),
        ("PRIVATE_DESTINATIONS", "allow", "private_destinations", True),
    ],
)
def test_a_variable_sets_its_field(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read(**{name: text}), field) == value


PORT_WORDS = "is not a port, a number from 1 to 65535"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("PORT", "25a", f"'25a' {PORT_WORDS}"),
        ("BIND_IP", "eth0", "not an IPv4 address"),
        ("BIND_IP6", "1.2.3.4", "not an IPv6 address"),
        ("MAILNAME", "Foo Bar_1", "malformed domain 'Foo Bar_1'"),
        ("NET_DEV", "eth0 lo", "not the name of an interface"),
        (
            "RELAY_NETWORKS",
            "10.0.0/8",
            "'10.0.0/8' is not a network, an address or a host name; if that is meant, write 10.0.0.0/8",
        ),
        ("RELAY_DOMAINS", "a..test", "malformed domain 'a..test'"),
        ("OTHER_HOSTNAMES", "it's.test", 'malformed domain "it\'s.test"'),
        ("LOCAL_DELIVERY", "mbox", "not maildir, maildir-create, lmtp:host:port or lmtp:/path"),
        ("LOCAL_DELIVERY", "lmtp:24", "not lmtp:host:port or lmtp:/path"),
        ("ALIASES_FILE", "/none", "there is no such file"),
        ("SUBMISSION_PORT", "smtp", f"'smtp' {PORT_WORDS}"),
        ("SUBMISSION_TLS_PORT", "0", f"'0' {PORT_WORDS}"),
        ("AUTH_IN_CLEAR", "yes", "not one of never, trusted"),
        ("PROXY_NETWORKS", "haproxy", "'haproxy' is a host name; only networks and addresses may stand here"),
        ("PROXY_NETWORKS", "10.0.0.0/99", "'10.0.0.0/99' is not a network, an address or a host name"),
        ("SMTPPORTOUT", "0", f"'0' {PORT_WORDS}"),
        ("SMARTHOST_TOKEN_URL", "login.test", "not the address of a token endpoint, https://host/path"),
        (
            "SMARTHOST_TOKEN_URL",
            "http://login.test/token",
            "the token endpoint must be https, because the relay's secrets are sent to it",
        ),
        ("SMARTHOST_TOKEN_SCOPE", 'a "b', "not scopes separated by blanks"),
        ("O365_TENANT", "a/b", "not the id of a tenant, nor one of its domains"),
        ("O365_CLIENT_ID", "a\tb", "it has characters that a login cannot transmit"),
        ("O365_CLOUD", "mars", "not one of public, usgov, china"),
        ("SMARTHOST_CA_FILE", "/none", "there is no such file"),
        ("DKIM_SELECTOR", "a b", "not a selector: letters, digits, dashes and dots"),
        ("DKIM_CANON", "relaxed/", "not simple or relaxed, or two of these separated by a slash"),
        ("SMARTHOST_ADDRESS", "a.test:587", "587 is read as a host; a port follows two colons: a.test::587"),
        ("SMARTHOST_PORT", "tcp://10.0.0.1:25", f"'tcp://10.0.0.1:25' {PORT_WORDS}"),
        ("SMARTHOST_ALIASES", "^[", "'^[' is not a regular expression: unterminated character set at position 1"),
        ("SMARTHOST_TLS", "yes", "not one of verify, require, opportunistic, none"),
        ("SES_REGION", "EU", "not a region"),
        ("SES_PORT", "x", f"'x' {PORT_WORDS}"),
        ("QUEUE_DIR", "a\0", "not a path"),
        ("MAIL_DIR", "a\0", "not a path"),
        ("DNS_SERVERS", "dns.test", "'dns.test' is not an IP address, with or without a port"),
        ("RETRY_SCHEDULE", "15m", "'15m' is neither F,until,interval nor G,until,interval,factor"),
        ("MESSAGE_SIZE_LIMIT", "0", "not a size: a number above 0, which K, M or G may follow"),
        ("LINE_LENGTH_LIMIT", "-1", "not a whole number"),
        ("LOG_FORMAT", "xml", "not one of text, json"),
        ("WORKERS", "0", "not a whole number from 1 to 64, or auto"),
        ("WORKERS", "65", "not a whole number from 1 to 64, or auto"),
        ("WORKERS", "two", "not a whole number from 1 to 64, or auto"),
        ("HISTORY_DAYS", "week", "not a number of days"),
        ("PRIVATE_DESTINATIONS", "yes", "not one of refuse, allow"),
        ("LINE_ENDINGS", "lf", "not one of normalize, strict"),
    ],
)
def test_a_wrong_value_is_reported_with_its_variable_and_an_example(name: str, text: str, words: str) -> None:
    example = shlex.quote(next(setting.example for setting in SETTINGS if setting.name == name))
    assert mistakes(**{name: text}) == (f"{name}={text!r}: {words}; a correct example is {name}={example}",)


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.secret])
def test_a_wrong_secret_is_reported_without_its_value(name: str) -> None:
    (line,) = mistakes(**{name: "a\0b"})
    assert line.startswith(f"{name}: it has characters that a login cannot transmit; a correct example is {name}=")


def test_all_mistakes_are_reported_together_in_the_order_of_the_table() -> None:
    told = mistakes(LOG_FORMAT="xml", PORT="x", GMAIL_USER="a", GMAIL_USER_FILE="/b", SES_PASSWORD_FILE="/none")
    assert [line.partition("=")[0] for line in told] == [
        "PORT",
        "GMAIL_USER and GMAIL_USER_FILE are both set; keep one of them; a correct example is GMAIL_USER",
        "SES_PASSWORD_FILE",
        "LOG_FORMAT",
    ]


def test_our_own_networks_come_before_the_others() -> None:
    trusted = read(RELAY_NETWORKS=":!172.17.0.9:10.0.0.0/8").trusted
    assert str(trusted) == "127.0.0.1 ; ::1 ; 172.17.0.0/16 ; fd00:17::/64 ; !172.17.0.9 ; 10.0.0.0/8"
    assert trusted.verdict("172.17.0.9", {})


def test_a_missing_interface_adds_no_network_and_gives_one_notice() -> None:
    missing = read(NET_DEV="none0")
    assert str(missing.trusted) == "127.0.0.1 ; ::1"
    assert missing.notices == ("NET_DEV=none0 adds no trusted networks: no interface with this name",)


@pytest.mark.parametrize(
    ("near", "told"),
    [
        (["8.8.0.0/20"], "8.8.0.0/20"),
        (["10.0.0.0/8", "8.8.0.0/20", "2600:1f18::/64"], "8.8.0.0/20 and 1 more"),
        (["2600:1f18::/64"], "2600:1f18::/64"),
    ],
)
@pytest.mark.parametrize("environ", [{}, {"NET_DEV": "eth0"}])
def test_a_public_network_of_the_interface_gives_a_notice_with_advice(near, told, environ) -> None:
    found = tuple(map(ipaddress.ip_network, near))
    cloud = read_settings(environ, host_name=lambda: "a.test", networks=lambda _: found, root=Path("/nowhere"))
    (notice,) = cloud.notices
    assert notice.startswith(
        f"NET_DEV=eth0 lets strangers send anywhere from the public network {told}: set NET_DEV=lo"
    )
    assert "RELAY_NETWORKS" in notice


@pytest.mark.parametrize("near", ["10.0.0.0/8", "fd00::/64", "100.64.0.0/10", "8.8.8.8/32", "2600:1f18::5/128"])
def test_a_private_network_and_a_single_public_address_give_no_notice(near: str) -> None:
    found = (ipaddress.ip_network(near),)
    assert not read_settings({}, host_name=lambda: "a.test", networks=lambda _: found, root=Path("/nowhere")).notices


def test_the_real_interfaces_are_asked() -> None:
    missing = read_settings({"NET_DEV": "none0"}, host_name=lambda: "a.test")
    assert "NET_DEV=none0 adds no trusted networks" in " ".join(missing.notices)


def test_the_loopback_as_interface_trusts_no_more_of_it_than_always() -> None:
    real = read_settings({"NET_DEV": "lo"}, host_name=lambda: "a.test")
    assert not any("NET_DEV" in notice for notice in real.notices)
    assert real.trusted.verdict("127.0.0.1", {})
    assert not real.trusted.verdict("127.0.0.5", {})


def test_local_domains_are_localhost_and_the_others_but_not_our_name() -> None:
    local = read(OTHER_HOSTNAMES="a.test : LOCALHOST;*.b.test", MAILNAME="mail.test").local_domains
    assert local.patterns == ("localhost", "a.test", "*.b.test")
    assert not local.matches("mail.test")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Host.Example.Test", "host.example.test"),
        ("my_container.test", "my-container.test"),
        ("-a-.b_.test.", "a.b.test"),
        ("3f2a9c", "3f2a9c"),
        ("", "localhost"),
        ("_", "localhost"),
        ("bücher.test", "b-cher.test"),
        ("x" * 300, "localhost"),
    ],
)
def test_without_mailname_the_hosts_name_is_made_valid(host: str, name: str) -> None:
    assert read_settings({}, host_name=lambda: host, networks=networks).mailname == name


def test_a_host_name_without_a_dot_is_warned_of() -> None:
    assert read_settings({}, host_name=lambda: "3f2a9c", networks=networks).notices == (
        "MAILNAME is not set and this host is called 3f2a9c: servers may refuse a name without a dot",
    )


@pytest.mark.parametrize("text", [":*", ":0.0.0.0/0", ":::/0"])
def test_an_open_relay_is_warned_of(text: str) -> None:
    assert read(RELAY_NETWORKS=text).notices == (
        "RELAY_NETWORKS lets everyone send anywhere: strangers who can connect will send spam",
    )


def test_a_denial_that_says_no_is_warned_of() -> None:
    assert read(DISABLE_IPV6="false").notices == (
        "DISABLE_IPV6 disables IPv6 with any value; leave it empty to keep IPv6",
    )
    assert read(DISABLE_IPV6="true", BIND_IP6="::1").notices == ("BIND_IP6 has no effect: DISABLE_IPV6 is set",)
    assert read(DISABLE_IPV6="true", BIND_IP6="::0").notices == ()


@pytest.mark.parametrize(
    ("environ", "notice"),
    [
        (
            {"RELAY_DOMAINS": "*"},
            "RELAY_DOMAINS lets everyone send anywhere: strangers who can connect will send spam",
        ),
        ({"OTHER_HOSTNAMES": "*"}, "OTHER_HOSTNAMES makes every domain local: no mail leaves this host"),
        (
            {"OTHER_HOSTNAMES": "a.test:b.test", "RELAY_DOMAINS": "b.test"},
            "b.test in RELAY_DOMAINS has no effect: OTHER_HOSTNAMES makes it local",
        ),
        ({"MAILNAME": "relay"}, "MAILNAME=relay: servers may refuse a name without a dot"),
        (
            {"LOCAL_DELIVERY": "lmtp:/run/lmtp", "MAIL_DIR": "/m"},
            "MAIL_DIR has no effect: LOCAL_DELIVERY sends local mail by LMTP",
        ),
        ({"VERBOSE": "1"}, "VERBOSE has no effect: only the value true turns it on"),
        (
            {"USE_SPLIT_CONFIG": "true"},
            "USE_SPLIT_CONFIG has no effect: Exim's files cannot be run; rules of your own stand in RULES_DIR",
        ),
        ({"KEY_PATH": __file__}, "KEY_PATH is set but CERTIFICATE_PATH is not: STARTTLS is not offered"),
    ],
)
def test_settings_without_effect_or_with_dangerous_effect_give_notices(environ: dict[str, str], notice: str) -> None:
    assert read(**environ).notices == (notice,)


@pytest.mark.parametrize(("text", "verbose"), [("true", True), ("True", True), ("false", False), ("1", False)])
def test_verbose_is_the_word_true(text: str, verbose: bool) -> None:
    assert read(VERBOSE=text).verbose is verbose


def macros(folder: Path, *lines: str) -> str:
    file = folder / "macros"
    file.write_text("\n".join(lines))
    return str(file)


def test_macros_set_what_the_environment_leaves_unset(tmp_path: Path) -> None:
    file = macros(tmp_path, "MESSAGE_SIZE_LIMIT = 1K", "MAIN_HARDCODE_PRIMARY_HOSTNAME = mta.test", "A = b")
    found = read(MACROS_FILE=file, MESSAGE_SIZE_LIMIT="2K")
    assert (found.message_size_limit, found.mailname) == (2048, "mta.test")
    assert found.notices == (
        "MESSAGE_SIZE_LIMIT in the macros file has no effect: it is set in the environment",
        f"{file}:3: A has no effect: Exim's configuration is not used",
    )
    assert read(MACROS_FILE=file).message_size_limit == 1024


def test_the_key_that_a_macro_names_is_looked_for(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("key")
    assert read(MACROS_FILE=macros(tmp_path, f"DKIM_PRIVATE_KEY = {key}")).dkim_key_path == key
    missing = read(MACROS_FILE=macros(tmp_path, "DKIM_PRIVATE_KEY = /none"))
    assert missing.notices == ("DKIM_KEY_PATH=/none: there is no such file; mail is not signed",)


def test_macros_reach_the_smarthost(tmp_path: Path) -> None:
    file = macros(tmp_path, "REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps", "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS = :")
    found = read(MACROS_FILE=file, SMARTHOST_ADDRESS="a.test").smarthost
    assert found is not None
    assert (found.implicit_tls, found.tls) == (True, TlsRule.REQUIRE)


def test_a_misspelled_variable_is_reported_without_its_value() -> None:
    assert read(
        DKIM_SELECTER="s3cret",
        RELAY_ZZZ="1",
        RELAY_SERVICE_HOST="10.0.0.1",
        RELAY_PORT_25_TCP="tcp://10.0.0.1",
        SMARTHOST_X="",
        GMAIL_USER_FILE="",
        PATH="/bin",
    ).notices == (
        "DKIM_SELECTER is not a setting of smtprelay; did you mean DKIM_SELECTOR?",
        "RELAY_ZZZ is not a setting of smtprelay",
    )


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("me\n")
    (tmp_path / "password").write_text('a:b^c"d\\e %f\n\n')
    found = read(GMAIL_USER_FILE=str(tmp_path / "user"), GMAIL_PASSWORD_FILE=str(tmp_path / "password")).smarthost
    assert found is not None
    assert found.credentials == Credentials("me", 'a:b^c"d\\e %f')
    assert found.hosts == (("smtp.gmail.com", 587),)


VARIABLES = st.sampled_from([it.name for it in SETTINGS] + [f"{it.name}_FILE" for it in SETTINGS if it.secret])
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789abcdef.:;,/![]*^% FGhmds-", max_size=30),
    st.sampled_from([it.example for it in SETTINGS]),
)


@given(st.dictionaries(VARIABLES, TEXTS, max_size=8))
@settings(max_examples=300)
def test_any_environment_is_settings_or_mistakes_on_one_line_each(environ: dict[str, str]) -> None:
    try:
        found = read(**environ)
    except SettingsError as refused:
        lines = refused.mistakes
        assert lines
    else:
        lines = found.notices
    for line in lines:
        assert line.isprintable()
        assert len(line) < 1000


@given(
    st.dictionaries(VARIABLES, TEXTS, max_size=6),
    st.sets(st.sampled_from([it.name for it in SETTINGS if it.secret]), min_size=1),
    st.booleans(),
)
@settings(max_examples=200)
def test_no_secret_is_ever_shown(environ: dict[str, str], secrets: set[str], in_place_of_a_file: bool) -> None:
    for name in secrets:
        environ[name + "_FILE" * in_place_of_a_file] = f"hunter2-{name}\udcff"
    try:
        said = "\n".join(read(**environ).notices)
    except SettingsError as refused:
        said = str(refused)
    assert "hunter2" not in said


def test_a_password_stays_out_of_the_settings_text() -> None:
    assert "hunter2" not in repr(read(GMAIL_USER="me", GMAIL_PASSWORD="hunter2"))


def test_the_lowest_of_all_ports_decides_whether_the_usual_user_is_looked_up() -> None:
    submission = {"CERTIFICATE_PATH": __file__, "KEY_PATH": __file__, "AUTH_USERS": "a:{PLAIN}b"}
    assert read(PORT="2525", SUBMISSION_PORT="587", **submission).run_as == usual_identity()
    assert read(PORT="2525", SUBMISSION_TLS_PORT="465", **submission).run_as == usual_identity()
    high = read(PORT="2525", SUBMISSION_PORT="2587", **submission)
    assert high.run_as is None
    assert high.ports == (2525, 2587)


@pytest.mark.parametrize("text", ["*", "0.0.0.0/0", "::/0"])
def test_balancers_that_are_everyone_are_warned_of(text: str) -> None:
    (notice,) = read(PROXY_NETWORKS=text).notices
    assert notice.startswith("PROXY_NETWORKS lets everyone choose the client address")


def test_the_usual_user_is_looked_up_if_the_port_requires_root() -> None:
    assert read(RUN_AS="10025:10025", PORT="2525").run_as == read_identity("10025:10025")
    assert read(PORT="1023").run_as == usual_identity()
    assert read(PORT="1024").run_as is None
