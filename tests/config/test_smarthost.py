"""The choice of the smarthost, its TLS rule, its login, and the notices about unused settings."""

from pathlib import Path

import pytest

from mta.config.setting import SettingsError, SettingsReader
from mta.config.settings import read_settings
from mta.config.smarthost import read_smarthost
from mta.config.sources.macros import PROTOCOL, REQUIRE_TLS, VERIFY_HOSTS, Macros
from mta.oauth.grants import ClientCredentials, RefreshToken
from mta.routing.route import CertificateCredentials, Credentials, Smarthost, TlsRule, TokenCredentials

GMAIL = {"GMAIL_USER": "g", "GMAIL_PASSWORD": "gp"}
SES = {"SES_USER": "s", "SES_PASSWORD": "sp"}
HOST = {"SMARTHOST_ADDRESS": "smtp.example.test"}
LOGIN = {"SMARTHOST_USER": "u", "SMARTHOST_PASSWORD": "up"}


def mode(*environs: dict[str, str], **more: str) -> tuple[Smarthost | None, list[str]]:
    environ = {name: text for environ in environs for name, text in environ.items()} | more
    reader = SettingsReader(environ)
    choice = read_smarthost(reader)
    reader.check()
    return choice.smarthost, reader.notices


def smarthost(*environs: dict[str, str], **more: str) -> Smarthost:
    found, _ = mode(*environs, **more)
    assert found is not None
    return found


def notices(*environs: dict[str, str], **more: str) -> list[str]:
    return mode(*environs, **more)[1]


def test_without_settings_delivery_is_direct() -> None:
    assert mode() == (None, [])
    assert mode(SMTPPORTOUT="2525") == (None, [])


def test_gmail_comes_first() -> None:
    expected = Smarthost((("smtp.gmail.com", 587),), TlsRule.VERIFY, Credentials("g", "gp"), ("*.gmail.com",))
    assert smarthost(GMAIL, SES, HOST, LOGIN) == expected
    assert notices(GMAIL) == []
    assert notices(GMAIL, SES, HOST, SMARTHOST_PORT="587") == [
        "SES_USER has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
        "SES_PASSWORD has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
        "SMARTHOST_ADDRESS has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
        "SMARTHOST_PORT has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
    ]


def test_ses_comes_second() -> None:
    found = smarthost(SES, HOST)
    assert found.hosts == (("email-smtp.us-east-1.amazonaws.com", 587),)
    assert found.tls is TlsRule.VERIFY
    assert found.credentials == Credentials("s", "sp")
    assert found.aliases == ("*.amazonaws.com",)
    assert notices(SES, HOST) == ["SMARTHOST_ADDRESS has no effect: SES_USER and SES_PASSWORD take precedence"]


def test_ses_has_its_region_and_port() -> None:
    found = smarthost(SES, SES_REGION="eu-west-1", SES_PORT="2587")
    assert found.hosts == (("email-smtp.eu-west-1.amazonaws.com", 2587),)


def test_no_setting_of_another_mode_can_weaken_the_tls_of_a_provider() -> None:
    assert smarthost(GMAIL, SMARTHOST_TLS="none").tls is TlsRule.VERIFY
    assert smarthost(SES, SMARTHOST_TLS="none").tls is TlsRule.VERIFY


def mistakes(*environs: dict[str, str], **more: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        mode(*environs, **more)
    return list(refused.value.mistakes)


@pytest.mark.parametrize("prefix", ["GMAIL", "SES", "SMARTHOST"])
@pytest.mark.parametrize("others", [{}, HOST])
def test_half_a_login_is_a_mistake_that_names_the_missing_half(prefix: str, others: dict[str, str]) -> None:
    for given, missing in (("USER", "PASSWORD"), ("PASSWORD", "USER")):
        (line,) = mistakes(others, {f"{prefix}_{given}": "hidden"})
        words = f"{prefix}_{missing}: it is not set although {prefix}_{given} is set: half a login is none"
        assert line.startswith(words)
        assert "hidden" not in line


def test_half_a_login_of_a_provider_sends_no_mail_through_the_next_one() -> None:
    assert mistakes(SES, GMAIL_USER="x") != []
    assert mistakes(HOST, LOGIN, SES_PASSWORD="x") != []


def test_half_a_login_that_another_one_comes_before_has_no_effect() -> None:
    assert notices(GMAIL, SES_USER="x", SMARTHOST_PASSWORD="y") == [
        "SES_USER has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
        "SMARTHOST_PASSWORD has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
    ]


def test_half_a_login_tells_that_the_file_of_the_other_half_is_empty_or_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\n")
    (line,) = mistakes(HOST, SMARTHOST_USER="u", SMARTHOST_PASSWORD_FILE=str(path))
    assert "the file that SMARTHOST_PASSWORD_FILE names is empty" in line
    path.unlink()
    (line,) = mistakes(HOST, SMARTHOST_USER="u", SMARTHOST_PASSWORD_FILE=str(path))
    assert line.startswith("SMARTHOST_PASSWORD_FILE=")


def test_a_login_without_a_host_is_a_mistake_rather_than_direct_delivery() -> None:
    (line,) = mistakes(LOGIN)
    assert line.startswith(
        "SMARTHOST_ADDRESS='': it is not set although SMARTHOST_USER and SMARTHOST_PASSWORD are; a correct example is"
    )


@pytest.mark.parametrize(
    ("address", "port", "hosts"),
    [
        ("a.test", "", (("a.test", 25),)),
        ("a.test", "587", (("a.test", 587),)),
        ("a.test::26", "", (("a.test", 26),)),
        ("a.test : b.test", "587", (("a.test", 25), ("b.test", 587))),
        ("a.test::26 : b.test", "587", (("a.test", 26), ("b.test", 587))),
        ("[2001::db8::::1]", "2525", (("2001:db8::1", 2525),)),
    ],
)
def test_the_last_host_has_the_port_and_the_others_25_or_their_own(
    address: str, port: str, hosts: tuple[tuple[str, int], ...]
) -> None:
    assert smarthost(SMARTHOST_ADDRESS=address, SMARTHOST_PORT=port).hosts == hosts


def test_a_last_host_with_a_port_of_its_own_keeps_it() -> None:
    found, said = mode(SMARTHOST_ADDRESS="a.test::26", SMARTHOST_PORT="587")
    assert found == Smarthost((("a.test", 26),), TlsRule.OPPORTUNISTIC)
    assert said == ["SMARTHOST_PORT has no effect: the last host of SMARTHOST_ADDRESS has its own port"]


def test_a_login_without_patterns_is_for_the_configured_hosts() -> None:
    found = smarthost(HOST, LOGIN)
    assert found.credentials == Credentials("u", "up")
    assert found.aliases is None


@pytest.mark.parametrize(
    ("tls", "login", "rule"),
    [
        ("", {}, TlsRule.OPPORTUNISTIC),
        ("", LOGIN, TlsRule.VERIFY),
        ("none", {}, TlsRule.NONE),
        ("Require", LOGIN, TlsRule.REQUIRE),
        ("opportunistic", LOGIN, TlsRule.OPPORTUNISTIC),
        ("verify", {}, TlsRule.VERIFY),
    ],
)
def test_tls_is_verified_with_a_login_unless_said_otherwise(tls: str, login: dict[str, str], rule: TlsRule) -> None:
    assert smarthost(HOST, login, SMARTHOST_TLS=tls).tls is rule


@pytest.mark.parametrize(
    "aliases",
    ["smtp.example.test", "*.example.test", "SMTP.*; *.EXAMPLE.test", "*", "^smtp\\.", "foo.test; *.test;*.bar"],
)
def test_patterns_that_match_the_host_are_kept_without_a_word(aliases: str) -> None:
    found, said = mode(HOST, LOGIN, SMARTHOST_ALIASES=aliases)
    assert found is not None
    assert found.aliases
    assert said == []


@pytest.mark.parametrize("aliases", ["example.test", "*.other.test", "^mail"])
def test_patterns_that_match_no_host_are_warned_of(aliases: str) -> None:
    (said,) = notices(HOST, LOGIN, SMARTHOST_ALIASES=aliases)
    assert said == (
        "SMARTHOST_ALIASES matches no host of SMARTHOST_ADDRESS: no host may be given the login, and all mail stays"
        " queued unless a host's name is a CNAME for one that matches; name the host in SMARTHOST_ALIASES, or unset it"
    )


def test_patterns_that_match_no_address_give_a_notice() -> None:
    (said,) = notices(LOGIN, SMARTHOST_ADDRESS="192.0.2.7", SMARTHOST_ALIASES="*.example.test")
    assert "CNAME" not in said
    assert notices(LOGIN, SMARTHOST_ADDRESS="[2001::db8::::1]", SMARTHOST_ALIASES="2001:db8::1") == []


def test_patterns_without_a_login_have_no_effect() -> None:
    assert notices(HOST, SMARTHOST_ALIASES="*") == [
        "SMARTHOST_ALIASES has no effect: SMARTHOST_USER and SMARTHOST_PASSWORD are not both set"
    ]


def test_a_setting_that_depends_on_another_has_no_effect_alone() -> None:
    assert notices(SMARTHOST_PORT="587", SES_PORT="465") == [
        "SES_PORT has no effect: SES_USER and SES_PASSWORD are not both set",
        "SMARTHOST_PORT has no effect: SMARTHOST_ADDRESS is not set",
    ]


@pytest.mark.parametrize("tls", ["none", "opportunistic", "require"])
def test_a_password_without_verified_tls_is_warned_of(tls: str) -> None:
    (said,) = notices(HOST, LOGIN, SMARTHOST_TLS=tls)
    assert said.startswith(f"SMARTHOST_TLS={tls}: the password ")
    assert notices(HOST, SMARTHOST_TLS=tls) == []
    assert notices(HOST, LOGIN, SMARTHOST_TLS="verify") == []


ANY_CERTIFICATE, TLS_ONLY, SMTPS = VERIFY_HOSTS, REQUIRE_TLS, PROTOCOL
LAX_REQUIRE = "the password is sent to any host that impersonates the smarthost, because no certificate is checked"


def with_macros(*changes: str, **environ: str) -> tuple[Smarthost | None, list[str]]:
    reader = SettingsReader(environ)
    return read_smarthost(reader, Macros(changes=frozenset(changes))).smarthost, reader.notices


@pytest.mark.parametrize(
    ("changes", "login", "rule"),
    [
        ((ANY_CERTIFICATE,), LOGIN, TlsRule.REQUIRE),
        ((ANY_CERTIFICATE,), {}, TlsRule.OPPORTUNISTIC),
        ((TLS_ONLY,), LOGIN, TlsRule.VERIFY),
        ((TLS_ONLY,), {}, TlsRule.VERIFY),
        ((TLS_ONLY, ANY_CERTIFICATE), {}, TlsRule.REQUIRE),
        ((SMTPS,), {}, TlsRule.VERIFY),
        ((SMTPS, ANY_CERTIFICATE), LOGIN, TlsRule.REQUIRE),
    ],
)
def test_macros_decide_about_tls_as_they_did_in_exim(
    changes: tuple[str, ...], login: dict[str, str], rule: TlsRule
) -> None:
    found, said = with_macros(*changes, **HOST, **login)
    assert found is not None
    assert found.tls is rule
    assert found.implicit_tls is (True if SMTPS in changes else None)
    assert said == ([f"{VERIFY_HOSTS} is empty: {LAX_REQUIRE}"] if login and rule is TlsRule.REQUIRE else [])


def test_the_environment_wins_over_macros() -> None:
    found, said = with_macros(ANY_CERTIFICATE, TLS_ONLY, SMTPS, SMARTHOST_TLS="verify", **HOST, **LOGIN)
    assert found is not None
    assert (found.tls, found.implicit_tls) == (TlsRule.VERIFY, True)
    assert said == [
        f"{name} in the macros file has no effect: SMARTHOST_TLS is set" for name in (TLS_ONLY, ANY_CERTIFICATE)
    ]
    assert with_macros(SMTPS, SMARTHOST_TLS="none", **HOST)[1] == [
        f"{SMTPS} in the macros file has no effect: SMARTHOST_TLS=none"
    ]


PROVIDERS = "Gmail, Microsoft 365 and Amazon SES"


def test_no_macro_can_weaken_the_tls_of_a_provider() -> None:
    found, said = with_macros(ANY_CERTIFICATE, TLS_ONLY, SMTPS, **GMAIL)
    assert found is not None
    assert (found.tls, found.implicit_tls) == (TlsRule.VERIFY, None)
    assert said == [
        f"{ANY_CERTIFICATE} in the macros file has no effect: the certificates of {PROVIDERS} are always verified",
        f"{SMTPS} in the macros file has no effect: with {PROVIDERS} the port determines the protocol",
    ]


def test_macros_for_a_smarthost_have_no_effect_without_one() -> None:
    assert with_macros(SMTPS)[1] == [f"{SMTPS} in the macros file has no effect: there is no smarthost"]


def test_authorities_have_no_effect_where_no_certificate_is_checked() -> None:
    assert notices(SMARTHOST_CA_FILE="/ca") == ["SMARTHOST_CA_FILE has no effect: there is no smarthost"]
    assert notices(HOST, SMARTHOST_CA_FILE="/ca") == [
        "SMARTHOST_CA_FILE has no effect: the smarthost's certificate is not checked; see SMARTHOST_TLS"
    ]
    assert notices(HOST, LOGIN, SMARTHOST_CA_FILE="/ca") == notices(GMAIL, SMARTHOST_CA_FILE="/ca") == []


@pytest.mark.parametrize("action", ["discard = true", "mx = true", "mx = 'a.test'"])
def test_settings_for_mx_hosts_have_no_effect_with_a_smarthost_unless_a_rule_names_such_hosts(
    tmp_path: Path, action: str
) -> None:
    (tmp_path / "r.toml").write_text(f"[[router]]\nrecipient = 'b.test'\n{action}\n")
    for environ in (HOST, GMAIL):
        given = {**environ, "SMTPPORTOUT": "26", "PRIVATE_DESTINATIONS": "allow", "RULES_DIR": str(tmp_path)}
        found = read_settings(given, host_name=lambda: "host.test", networks=lambda _: (), root=tmp_path)
        useless = [notice.partition(":")[0] for notice in found.notices if notice.endswith(" goes to the smarthost")]
        assert useless == ([] if "mx" in action else [f"{name} has no effect" for name in _DIRECT])


_DIRECT = ("SMTPPORTOUT", "PRIVATE_DESTINATIONS")


O365 = {"O365_USER": "o", "O365_TENANT": "a.test", "O365_CLIENT_ID": "id", "O365_CLIENT_SECRET": "os"}
TOKEN = {
    "SMARTHOST_USER": "u",
    "SMARTHOST_TOKEN_URL": "https://login.test/token",
    "SMARTHOST_CLIENT_ID": "id",
    "SMARTHOST_CLIENT_SECRET": "s",
}


def test_microsoft_365_comes_after_gmail_and_before_ses() -> None:
    expected = Smarthost((("smtp.office365.com", 587),), TlsRule.VERIFY, TokenCredentials("o"), ("*.office365.com",))
    assert smarthost(O365, SES, HOST, LOGIN) == expected
    assert smarthost(GMAIL, O365).hosts == (("smtp.gmail.com", 587),)
    assert notices(O365, SES, HOST) == [
        "SES_USER has no effect: O365_USER and O365_TENANT take precedence",
        "SES_PASSWORD has no effect: O365_USER and O365_TENANT take precedence",
        "SMARTHOST_ADDRESS has no effect: O365_USER and O365_TENANT take precedence",
    ]
    assert notices(GMAIL, O365, O365_CLOUD="usgov")[-1] == (
        "O365_CLOUD has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence"
    )
    assert notices(O365_CLOUD="usgov") == ["O365_CLOUD has no effect: O365_USER is not set"]


@pytest.mark.parametrize(("cloud", "host"), [("usgov", "smtp.office365.us"), ("china", "smtp.partner.outlook.cn")])
def test_a_cloud_of_microsoft_has_its_own_smarthost(cloud: str, host: str) -> None:
    found = smarthost(O365, O365_CLOUD=cloud)
    assert found.hosts == ((host, 587),)
    assert found.aliases == (f"*.{host.partition('.')[2]}",)


def test_gmail_and_microsoft_365_have_the_grant_of_their_tokens() -> None:
    choice = read_smarthost(SettingsReader(O365))
    assert isinstance(choice.grant, ClientCredentials)
    tokens = {"GMAIL_CLIENT_ID": "i", "GMAIL_CLIENT_SECRET": "s", "GMAIL_REFRESH_TOKEN": "t"}
    choice = read_smarthost(SettingsReader({"GMAIL_USER": "g", **tokens}))
    assert isinstance(choice.grant, RefreshToken)
    assert choice.smarthost is not None
    assert choice.smarthost.credentials == TokenCredentials("g")


def test_tokens_for_a_smarthost_need_its_address_and_verified_tls_unless_said_otherwise() -> None:
    assert mistakes(TOKEN)[0].startswith(
        "SMARTHOST_ADDRESS='': it is not set although SMARTHOST_USER and SMARTHOST_TOKEN_URL are;"
    )
    assert smarthost(HOST, TOKEN).tls is TlsRule.VERIFY
    assert notices(HOST, TOKEN) == []


@pytest.mark.parametrize("tls", ["opportunistic", "require"])
def test_a_token_without_verified_tls_is_warned_of(tls: str) -> None:
    assert notices(HOST, TOKEN, SMARTHOST_TLS=tls) == [
        f"SMARTHOST_TLS={tls}: {LAX_REQUIRE}".replace("password", "token")
    ]


def test_a_token_or_a_certificate_without_tls_is_a_mistake(tmp_path: Path) -> None:
    (line,) = mistakes(HOST, TOKEN, SMARTHOST_TLS="none")
    assert line.startswith("SMARTHOST_TLS='none': the login of SMARTHOST_USER and SMARTHOST_TOKEN_URL needs TLS")
    reader = SettingsReader({**HOST, "SMARTHOST_TLS": "none"})
    read_smarthost(reader, certificate=(tmp_path, tmp_path))
    assert reader.mistakes[0].startswith("SMARTHOST_TLS='none': the login of SMARTHOST_CERTIFICATE_PATH and SMARTHOST_")


def test_a_scope_without_a_token_has_no_effect() -> None:
    assert notices(HOST, LOGIN, SMARTHOST_TOKEN_SCOPE="a") == [
        "SMARTHOST_TOKEN_SCOPE has no effect: SMARTHOST_TOKEN_URL is not set"
    ]
    assert notices(SMARTHOST_TOKEN_SCOPE="a") == ["SMARTHOST_TOKEN_SCOPE has no effect: SMARTHOST_ADDRESS is not set"]


def test_a_certificate_is_shown_to_the_own_smarthost_only(tmp_path: Path) -> None:
    pair = (tmp_path / "crt", tmp_path / "key")
    shown = {"SMARTHOST_CERTIFICATE_PATH": str(pair[0]), "SMARTHOST_KEY_PATH": str(pair[1])}
    reader = SettingsReader({**HOST, **shown})
    choice = read_smarthost(reader, certificate=pair)
    assert choice.certificate == pair
    assert choice.smarthost is not None
    assert choice.smarthost.credentials == CertificateCredentials()
    assert choice.smarthost.tls is TlsRule.VERIFY
    reader = SettingsReader({**GMAIL, **shown})
    assert read_smarthost(reader, certificate=pair).certificate is None
    assert reader.notices == [
        "SMARTHOST_CERTIFICATE_PATH has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
        "SMARTHOST_KEY_PATH has no effect: GMAIL_USER and GMAIL_PASSWORD take precedence",
    ]
    reader = SettingsReader({**HOST, **LOGIN, **shown, "SMARTHOST_TLS": "none"})
    assert read_smarthost(reader, certificate=pair).certificate is None
    assert "SMARTHOST_CERTIFICATE_PATH has no effect: SMARTHOST_TLS=none" in reader.notices


def test_a_certificate_without_a_smarthost_is_a_mistake_rather_than_direct_delivery(tmp_path: Path) -> None:
    reader = SettingsReader({})
    read_smarthost(reader, certificate=(tmp_path, tmp_path))
    (line,) = reader.mistakes
    assert line.startswith("SMARTHOST_ADDRESS='': it is not set although SMARTHOST_CERTIFICATE_PATH and SMARTHOST_KEY")
