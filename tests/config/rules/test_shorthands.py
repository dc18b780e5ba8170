"""RULES_DIR and the variables that stand for rules: their order, their mistakes, and the notices."""

from pathlib import Path
from unittest.mock import ANY

import pytest

from mta.cli.config.command import check_settings
from mta.config.setting import SettingsError
from mta.config.settings import Settings, read_settings
from mta.config.summary import rule_lines, startup_summary
from mta.message.envelope import Envelope, Origin, Recipient
from mta.rate import Rate, RateUnit
from mta.routing.carriage import Carriage, CarriageRate
from mta.rules.acl import Acl
from mta.rules.facts import Facts
from mta.rules.rewriting.rewriting import Rewritten
from mta.smtp.address import parse_address


def read(root: Path = Path("/nowhere"), **environ: str) -> Settings:
    return read_settings(environ, host_name=lambda: "host.test", networks=lambda _: (), root=root)


def acl(root: Path = Path("/nowhere"), **environ: str) -> Acl:
    book = read(root, **environ).rules
    assert book
    assert book.acl
    return book.acl


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read(**environ)
    return [line.partition("; a correct example")[0] for line in refused.value.mistakes]


def answer(rules: Acl, sender: str, recipient: str = "b@b.test", *, trusted: bool = True) -> str:
    """Return the place of the rule that decides, with its reply; "" if no rule does."""
    facts = Facts("192.0.2.1", trusted, parse_address(sender) if sender else None, parse_address(recipient))
    ruling = rules.at_recipient(facts)
    return f"{ruling.rule}: {ruling.refusal}" if ruling else ""


def test_without_rules_there_is_no_book() -> None:
    assert read().rules is None


def test_allowed_senders_refuse_other_senders_of_trusted_clients() -> None:
    rules = acl(ALLOWED_SENDERS="example.com : printer@b.test, *@*.c.test")
    refused = "ALLOWED_SENDERS: 550 5.7.1 this sender address may not be used at this relay"
    for sender in ("x@example.com", "", "printer@B.test", "x@y.c.test"):
        assert answer(rules, sender) == ""
    for sender in ("x@other.test", "x@sub.example.com", "x@b.test", "x@c.test"):
        assert answer(rules, sender) == refused
        assert answer(rules, sender, trusted=False) == ""


def test_allowed_recipients_refuse_other_recipients_of_all_clients() -> None:
    rules = acl(ALLOWED_RECIPIENTS="b.test;c@d.test")
    refused = "ALLOWED_RECIPIENTS: 550 5.7.1 this relay takes no mail for this recipient address"
    for trusted in (True, False):
        assert answer(rules, "", "x@b.test", trusted=trusted) == ""
        assert answer(rules, "", "c@d.test", trusted=trusted) == ""
        assert answer(rules, "", "x@d.test", trusted=trusted) == refused


def test_variables_stand_behind_the_rules_of_files(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.test\n")
    (tmp_path / "1.toml").write_text('[lists]\nours = "b.test"\n[[acl]]\nsender = "boss@*"\naccept = true\n')
    rules = acl(RULES_DIR=str(tmp_path), ALLOWED_SENDERS=f"+ours file:{tmp_path}/list", ALLOWED_RECIPIENTS="*")
    assert [rule.rule.where.file for rule in rules.rules] == ["1.toml", "ALLOWED_SENDERS", "ALLOWED_RECIPIENTS"]
    assert answer(rules, "boss@x.test").startswith("1.toml:3: None")
    assert answer(rules, "x@a.test") == answer(rules, "x@b.test") == ""
    assert answer(rules, "x@x.test").startswith("ALLOWED_SENDERS: 550")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("bob", "'bob' is not an address pattern: write bob@* if it is a local part, *@bob if it is a domain"),
        ("!a.test", "'!a.test' is not an address pattern: an exception stands in a key of its own"),
        ("^x", "'^x': a regular expression stands in a file of rules, sender = '^...'"),
        ("a.test +ours", "+ours: [lists] has no such list"),
        ("file:/nowhere/x", "file:/nowhere/x: the file cannot be read: No such file or directory"),
    ],
)
@pytest.mark.parametrize("name", ["ALLOWED_SENDERS", "ALLOWED_RECIPIENTS"])
def test_mistakes_in_variables_name_the_variable(name: str, value: str, words: str) -> None:
    (told,) = mistakes(**{name: value})
    assert told.startswith(f"{name}='{value}': {words}")


def test_a_variable_behind_a_rule_without_conditions_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text("[[acl]]\naccept = true\n")
    assert mistakes(RULES_DIR=str(tmp_path), ALLOWED_SENDERS="a.test") == [
        "ALLOWED_SENDERS='a.test': this rule can never apply: the one in 1.toml:1 has no condition"
    ]


def test_a_directory_that_is_set_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, reason in ((tmp_path / "none", "No such file or directory"), (file, "Not a directory")):
        assert mistakes(RULES_DIR=str(path)) == [f"RULES_DIR='{path}': the directory cannot be read: {reason}"]


def test_the_usual_directory_is_read_if_it_is_there(tmp_path: Path) -> None:
    usual = tmp_path / "etc/smtprelay/rules.d"
    usual.mkdir(parents=True)
    assert read(tmp_path).rules is None
    (usual / "1.toml").write_text("[[acl]]\nhold = true\n")
    settings = read(tmp_path)
    assert settings.rules
    assert f"RULES_DIR = {usual}" in map(str, settings.effective)
    assert "RULES_DIR =" in map(str, read().effective)


def test_a_usual_directory_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "etc").symlink_to("etc")
    with pytest.raises(SettingsError, match=r"/rules\.d: the directory cannot be read: Too many levels"):
        read(tmp_path)


def test_a_directory_that_is_set_and_has_no_files_is_a_notice(tmp_path: Path) -> None:
    assert read(RULES_DIR=str(tmp_path)).notices == (
        f"RULES_DIR={tmp_path} has no effect: the directory has no files of rules, *.toml",
    )


def test_other_files_in_the_directory_are_a_notice(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    (tmp_path / "1.toml").touch()
    assert read(RULES_DIR=str(tmp_path)).notices == (
        f"{tmp_path}: not read, because the name of a file of rules ends in .toml: README",
    )


def test_split_config_names_the_directory_only_without_rules() -> None:
    (notice,) = read(USE_SPLIT_CONFIG="true").notices
    assert "RULES_DIR" in notice
    assert read(USE_SPLIT_CONFIG="true", ALLOWED_SENDERS="a.test").notices == ()


def test_the_summary_counts_the_rules(tmp_path: Path) -> None:
    rule = '[[acl]]\nsender = "{}.test"\nhold = true\n'
    (tmp_path / "1.toml").write_text("".join(map(rule.format, "abc")))
    settings = read(RULES_DIR=str(tmp_path), ALLOWED_RECIPIENTS="b.test")
    lines = startup_summary(settings)
    assert settings.rules
    assert f"rules: 3 in 1.toml, ALLOWED_RECIPIENTS; digest {settings.rules.digest}" in lines
    assert not any(line.startswith("rules:") for line in startup_summary(read()))


def test_config_check_lists_the_rules(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        "[[acl]]\nname = 'in doubt'\nsender = 'a.test'\nunless.client = 'trusted'\nheader.A = 'b'\nhold = true\n"
        "[[acl]]\ntls = true\naccept = true\n[[acl]]\ndefer = 'later'\n"
    )
    assert rule_lines(read(RULES_DIR=str(tmp_path))) == (
        'rule 1.toml:1 "in doubt": hold, by sender, header.A, unless.client',
        "rule 1.toml:7: accept, by tls",
        "rule 1.toml:10: defer 451 4.7.1 later, always",
    )
    lines, _ = check_settings({"ALLOWED_RECIPIENTS": "b.test", "NET_DEV": "none0", "MAILNAME": "a.test"})
    assert lines[-1].startswith("rule ALLOWED_RECIPIENTS: deny 550 5.7.1 this relay takes no mail for")
    assert rule_lines(read()) == ()


def test_config_check_lists_retry_rules_with_their_terms(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        "[[retry]]\nsender = '<>'\nschedule = 'F,1d,1h'\nwarn_after = false\n[[retry]]\nwarn_after = '4h'\n"
    )
    assert rule_lines(read(RULES_DIR=str(tmp_path))) == (
        "rule 1.toml:1: schedule F,1d,1h, warn_after false, by sender",
        "rule 1.toml:5: warn_after 4h, always",
    )


def test_mistakes_of_files_and_of_settings_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text("[[acl]]\ndeny = no\n")
    assert mistakes(RULES_DIR=str(tmp_path), PORT="x") == [
        "PORT='x': 'x' is not a port, a number from 1 to 65535",
        f'{tmp_path}/1.toml:2: deny = no: text stands in quotes, deny = "no"',
    ]


# Variables that stand for rewrite rules


def rewritten(sender: str, *recipients: str, block: bytes = b"", trusted: bool = True, **environ: str) -> Rewritten:
    book = read(**environ).rules
    assert book
    assert book.rewrite
    address = parse_address(sender) if sender else None
    to = tuple(Recipient(parse_address(each)) for each in recipients)
    facts = Facts("192.0.2.1", trusted, address)
    return book.rewrite.apply(facts, Envelope(address, to, Origin("192.0.2.1", "host", "ESMTP")), block)


def test_force_sender_sets_sender_author_and_reply_to() -> None:
    found = rewritten("a@x.lan", "b@b.test", block=b"From: A <a@x.lan>\r\n", FORCE_SENDER="S <no@example.com>")
    assert str(found.envelope.sender) == "no@example.com"
    assert found.block == b"Reply-To: A <a@x.lan>\r\nFrom: S <no@example.com>\r\n"
    assert rewritten("", "b@b.test", FORCE_SENDER="no@example.com").envelope.sender is None
    assert not rewritten("a@x.lan", "b@b.test", trusted=False, FORCE_SENDER="no@example.com").notes


def test_masqueraded_domains_lose_the_names_of_hosts() -> None:
    environ = {"MASQUERADE_DOMAINS": "example.com : b.test"}
    for before, after in (
        ("a@x.y.example.com", "a@example.com"),
        ("a@example.com", "a@example.com"),
        ("a@c.b.test", "a@b.test"),
    ):
        assert str(rewritten(before, "x@c.b.test", **environ).envelope.sender) == after


def test_redirection_leaves_the_allowed_recipients() -> None:
    environ = {"REDIRECT_TO": "dev@x.test", "ALLOWED_RECIPIENTS": "ok@b.test", "BCC_TO": "archive@x.test"}
    found = rewritten("a@a.test", "c@c.test", "ok@b.test", **environ)
    assert [str(each.address) for each in found.envelope.recipients] == ["dev@x.test", "ok@b.test", "archive@x.test"]
    rules = acl(**environ)
    assert answer(rules, "a@a.test", "c@c.test") == ""
    assert answer(rules, "a@a.test", "c@c.test", trusted=False).startswith("ALLOWED_RECIPIENTS: 550")


def test_clients_are_hidden_only_if_the_variable_says_so() -> None:
    for text in ("true", "YES", "1"):
        assert rewritten("a@a.test", "b@b.test", HIDE_CLIENTS=text).change.hide_client
    for text in ("no", "False", ""):
        assert read(HIDE_CLIENTS=text).rules is None


def test_the_send_rate_holds_for_all_mail_beside_the_rates_of_other_rules(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text('[[transport]]\nrecipient = "a.test"\nrate = "1 message/hour"\n')
    environ = {"RULES_DIR": str(tmp_path), "SEND_RATE": "14 messages/second;  50000 recipients / 1 day,"}
    book = read(**environ).rules
    assert book
    assert book.transport
    of_all = CarriageRate("SEND_RATE", (Rate(14, 1), Rate(50000, 86400, RateUnit.RECIPIENTS)), ANY)
    slow = book.transport.carriage("a.test", "smarthost", ())
    assert slow
    assert slow.rates == (CarriageRate("1.toml:1", (Rate(1, 3600),), ANY), of_all)
    assert book.transport.carriage("b.test", "", ()) == Carriage(places=("SEND_RATE",), rates=(of_all,))
    assert rule_lines(read(**environ)) == (
        "rule 1.toml:1: rate 1 message/hour, by recipient",
        "rule SEND_RATE: rate 14 messages/second and 50000 recipients/day, always",
    )


def test_the_rules_of_variables_stand_behind_those_of_files(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text('[[rewrite]]\nsender = "a.test"\nlast = true\n')
    environ = {"RULES_DIR": str(tmp_path), "BCC_TO": "archive@x.test"}
    assert len(rewritten("a@a.test", "b@b.test", **environ).envelope.recipients) == 1
    assert len(rewritten("a@b.test", "b@b.test", **environ).envelope.recipients) == 2
    assert any(line.startswith("rules: 1.toml, BCC_TO; digest ") for line in startup_summary(read(**environ)))
    assert rule_lines(read(**environ)) == ("rule 1.toml:1: last, by client, sender", "rule BCC_TO: bcc, by client")


def test_mistakes_in_these_variables_are_told() -> None:
    found = mistakes(FORCE_SENDER="x", MASQUERADE_DOMAINS="x_!", REDIRECT_TO="y", BCC_TO="*@x.test", HIDE_CLIENTS="ja")
    found += mistakes(SEND_RATE="100/hour")
    assert [line.partition("=")[0] for line in found] == [
        "FORCE_SENDER",
        "MASQUERADE_DOMAINS",
        "REDIRECT_TO",
        "BCC_TO",
        "HIDE_CLIENTS",
        "SEND_RATE",
    ]


def test_a_password_comes_from_a_variable_and_a_weak_login_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        "[smarthost.a]\nhosts = 'a.test'\nuser = 'u'\npassword_env = 'OFFICE'\ntls = 'none'\n"
        "[[router]]\nsmarthost = 'a'\n"
    )
    settings = read(RULES_DIR=str(tmp_path), OFFICE="hush-hush")
    assert settings.rules
    assert settings.rules.secret_variables == ("OFFICE",)
    (notice,) = (line for line in settings.notices if "smarthost.a" in line)
    assert notice.startswith("[smarthost.a] in 1.toml:1: tls = none: the password is used with SCRAM")
    assert "hush" not in repr(settings)


TLS_WITH_LOGIN = (
    "with TLS only, the certificate must prove the host's name; authorities of the system; login at each of these hosts"
)


def test_config_check_lists_routes_and_the_summary_their_smarthosts(tmp_path: Path) -> None:
    (tmp_path / "1.toml").write_text(
        "[smarthost.office]\nhosts = ['a.test:587', '[2001:db8::1]:587']\nuser = 'hush-u'\npassword_env = 'OFFICE'\n"
        "[smarthost.plain]\nhosts = 'c.test'\n[smarthost.unused]\nhosts = 'd.test'\n"
        "[[router]]\nsender = 'x@a.test'\nsmarthost = 'office'\n[[router]]\nsender = 'a.test'\nsmarthost = 'office'\n"
        "[[router]]\nrecipient = 'b.test'\nhosts = ['a.test', 'b.test:26']\n[[router]]\nsender = 'c.test'\nmx = true\n"
        "[[router]]\nsender = 'd.test'\nmx = 'e.test'\n[[router]]\nsender = 'e.test'\ndiscard = true\n"
        "[[router]]\nsender = 'f.test'\nsmarthost = 'plain'\n[[router]]\nfail = '5.1.2 gone'\n"
    )
    settings = read(RULES_DIR=str(tmp_path), OFFICE="hush-p")
    assert rule_lines(settings) == (
        "rule 1.toml:9: smarthost office, by sender",
        "rule 1.toml:12: smarthost office, by sender",
        "rule 1.toml:15: hosts a.test:25, b.test:26, by recipient",
        "rule 1.toml:18: mx of its own domain, by sender",
        "rule 1.toml:21: mx of e.test, by sender",
        "rule 1.toml:24: discard, by sender",
        "rule 1.toml:27: smarthost plain, by sender",
        "rule 1.toml:30: fail 5.1.2 gone, always",
    )
    lines = startup_summary(settings)
    assert [line for line in lines if line.startswith("smarthost ")] == [
        "smarthost office: a.test:587, [2001:db8::1]:587, " + TLS_WITH_LOGIN,
        "smarthost plain: c.test:25, with TLS if it is offered, with any certificate; without login",
    ]
    assert not any("hush" in line for line in (*lines, *rule_lines(settings)))
