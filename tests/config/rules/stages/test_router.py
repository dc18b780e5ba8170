"""The rules of [[router]], and the smarthosts that they name, from files; and each mistake with its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.certificates import authority
from mta.config.rules.keys.key import SMARTHOST, RuleKey, ValueForm
from mta.config.rules.keys.table import KEYS
from mta.config.rules.mistakes import RuleMistakes
from mta.config.rules.rule_files import RuleSource
from mta.config.rules.rule_reader import read_book
from mta.config.rules.stages.hosts import MAX_HOSTS, read_host_and_port
from mta.config.rules.stages.smarthosts import MAX_SMARTHOSTS
from mta.config.rules.toml_tables import read_tables
from mta.routing.choice import Discard, Fail, MxOf, RouteChoice, ViaSmarthost
from mta.routing.route import Credentials, Smarthost, TlsRule
from mta.rules.book import RuleBook

VARIABLES = {"OFFICE_PASSWORD": "from the variable\n", "EMPTY": ""}


def read(*texts: str) -> tuple[RuleBook | None, RuleMistakes]:
    """Return the book of these files, which are called 1.toml, 2.toml and so on, and the mistakes."""
    mistakes = RuleMistakes()
    sources = []
    for number, text in enumerate(texts, 1):
        tables, found = read_tables(text)
        for each in found:
            mistakes.add(f"{number}.toml", each.line, each.words)
        sources.append(RuleSource(f"{number}.toml", f"{number}.toml", tables, text))
    return read_book(sources, mistakes, lambda name: VARIABLES.get(name, "")), mistakes


def choices(*texts: str) -> list[RouteChoice]:
    book, mistakes = read(*texts)
    assert mistakes.lines == []
    assert book
    assert book.router
    return [each.choice for each in book.router.rules]


def told(*texts: str) -> list[str]:
    book, mistakes = read(*texts)
    assert book is None
    return mistakes.lines


def smarthost(entries: str) -> Smarthost:
    """Return the smarthost that a table with these entries makes."""
    (choice,) = choices(f"[[router]]\nsmarthost = 'office'\n[smarthost.office]\n{entries}\n")
    assert isinstance(choice, ViaSmarthost)
    return choice.smarthost


def of_hosts(entries: str) -> Smarthost:
    """Return the hosts of a rule."""
    (choice,) = choices(f"[[router]]\n{entries}\n")
    assert isinstance(choice, ViaSmarthost)
    return choice.smarthost


@pytest.mark.parametrize(
    ("action", "choice"),
    [
        ("mx = true", MxOf()),
        ("mx = 'Relay.B.test.'", MxOf("relay.b.test")),
        ("discard = true", Discard()),
        ("fail = 'this domain has moved'", Fail("this domain has moved")),
        ("fail = '5.1.2 this domain has moved'", Fail("this domain has moved", "5.1.2")),
    ],
)
def test_each_action_is_a_choice(action: str, choice: RouteChoice) -> None:
    assert choices(f"[[router]]\nrecipient = 'a.test'\n{action}\n") == [choice]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("a.test", ("a.test", 25)),
        ("A.test.:587", ("a.test", 587)),
        ("a.test::587", ("a.test", 587)),
        ("192.0.2.1:2525", ("192.0.2.1", 2525)),
        ("[192.0.2.1]", ("192.0.2.1", 25)),
        ("[2001:DB8::1]:2525", ("2001:db8::1", 2525)),
        ("[2001:db8::1]", ("2001:db8::1", 25)),
        ("mail_1:25", ("mail_1", 25)),
    ],
)
def test_a_host_may_have_a_port(text: str, host: tuple[str, int]) -> None:
    assert read_host_and_port(text) == host


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2001:db8::1", "an IPv6 address stands in brackets, [2001:db8::1]:25"),
        ("a.test:0", "'0' is not a port"),
        ("a.test:", "'' is not a port"),
        ("a.test:smtp", "'smtp' is not a port"),
        ("a.test b.test", "several hosts are an array of texts"),
        ("a.test, b.test", "several hosts are an array of texts"),
        ("[a.test]:25", "a name stands without them"),
        ("a_b..test", "is not a host name"),
        ("", "this is not a host"),
        ("smtp://a.test", "this is not a host|is not a host name|is not a port"),
    ],
)
def test_a_text_that_is_not_a_host_is_a_mistake(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("[", r"\[")):
        read_host_and_port(text)


@given(st.text(alphabet="a1.:[]-_ \0\u00fc", max_size=20))
def test_any_text_is_a_host_or_a_mistake(text: str) -> None:
    try:
        host, port = read_host_and_port(text)
    except ValueError:
        return
    assert host
    assert 1 <= port <= 65535


def test_hosts_are_named_by_themselves_and_placed_in_their_rule() -> None:
    found = of_hosts('name = "VPN"\nhosts = ["mail.a.test:25", "[2001:db8::1]:2525"]')
    assert found.hosts == (("mail.a.test", 25), ("2001:db8::1", 2525))
    assert (found.name, found.place) == ("mail.a.test:25,[2001:db8::1]:2525", "the rule in 1.toml:1")
    assert (found.tls, found.credentials, found.ca_file) == (TlsRule.OPPORTUNISTIC, None, None)


def test_tls_and_authorities_may_stand_before_or_behind_hosts(tmp_path: Path) -> None:
    ca_file = authority().write(tmp_path)
    for entries in (f"tls = 'Verify'\nca_file = '{ca_file}'\nhosts = 'a.test'", "hosts = 'a.test'\ntls = 'verify'"):
        assert of_hosts(entries).tls is TlsRule.VERIFY
    assert of_hosts(f"hosts = 'a.test'\nca_file = '{ca_file}'\ntls = 'verify'").ca_file == ca_file


def test_authorities_without_the_proof_of_the_name_are_a_mistake(tmp_path: Path) -> None:
    ca_file = authority().write(tmp_path)
    words = 'ca_file has no effect, because no certificate is checked; add tls = "verify"'
    hosts = f"hosts = 'a.test'\nca_file = '{ca_file}'\n"
    assert told(f"[[router]]\n{hosts}") == [f"1.toml:1: {words}"]
    assert told(f"[[router]]\n{hosts}tls = 'require'\n") == [f"1.toml:1: {words}"]
    assert told(f"[smarthost.a]\n{hosts}") == [f"1.toml:1: [smarthost.a] {words}"]


def test_a_smarthost_of_one_file_is_used_by_rules_of_others() -> None:
    rule = "[[router]]\nsender = '{}'\nsmarthost = 'office'\n"
    first, second = choices(
        rule.format("a.test"), "\n[smarthost.office]\nhosts = 'a.test:587'\n", rule.format("b.test")
    )
    assert first == second
    assert isinstance(first, ViaSmarthost)
    assert first.smarthost == Smarthost((("a.test", 587),), TlsRule.OPPORTUNISTIC, name="office")
    assert first.smarthost.place == "[smarthost.office] in 2.toml:2"


def test_a_login_from_files_needs_the_proof_of_the_name(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("app\n")
    password.write_text(" s\u00e9cret \r\n")
    found = smarthost(f"hosts = 'a.test'\nuser_file = '{user}'\npassword_file = '{password}'")
    assert found.credentials == Credentials("app", " s\u00e9cret", "")
    assert found.tls is TlsRule.VERIFY
    assert found.credentials is not None
    assert found.credentials.settings == found.place == "[smarthost.office] in 1.toml:3"
    assert "cret" not in repr(found)


def test_a_password_from_a_variable() -> None:
    text = (
        "[[router]]\nsmarthost = 'a'\n[smarthost.a]\nhosts = 'a.test'\nuser = 'u'\npassword_env = 'OFFICE_PASSWORD'\n"
    )
    book, _ = read(text)
    assert book
    assert book.router
    assert book.secret_variables == ("OFFICE_PASSWORD",)
    choice = book.router.rules[0].choice
    assert isinstance(choice, ViaSmarthost)
    assert choice.smarthost.credentials == Credentials("u", "from the variable")


def test_a_smarthost_that_no_rule_names_is_no_mistake() -> None:
    book, mistakes = read("[smarthost.office]\nhosts = 'a.test'\n[[acl]]\naccept = true\n")
    assert mistakes.lines == []
    assert book
    assert book.router is None


@pytest.mark.parametrize("tls", ["none", "opportunistic", "require"])
def test_a_login_without_the_proof_of_the_name_is_told(tls: str) -> None:
    text = f"[smarthost.a]\nhosts = 'a.test'\nuser = 'u'\npassword_env = 'OFFICE_PASSWORD'\ntls = '{tls}'\n"
    (notice,) = read(text)[1].notices
    assert notice.startswith(f"[smarthost.a] in 1.toml:1: tls = {tls}: the password is ")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "1: a rule has one action of hosts, smarthost, mx, discard, fail, and this one has none"),
        (
            "mx = true\ndiscard = true",
            "1: a rule has one action of hosts, smarthost, mx, discard, fail, and this one has mx and discard",
        ),
        ("mx = false", "2: mx: false has no meaning; write mx = true, or leave the key out"),
        ("mx = 5", "2: mx: the value is `true`, or the name of a domain, in quotes; mx = true"),
        ("mx = 'a b'", "2: mx: "),
        ("mx = '192.0.2.1'", "2: mx: an address has no MX; hosts = '192.0.2.1'"),
        ("mx = '[192.0.2.1]'", "2: mx: an address has no MX; hosts = '[192.0.2.1]'"),
        ("discard = 'yes'", "2: discard: 'yes' has no meaning; write discard = true, or leave the key out"),
        ("fail = true", "2: fail: the value is words, before which a status may stand, in quotes; fail = "),
        ("fail = '450 later'", "2: fail: before the words only a status of a failure may stand"),
        ("hosts = []", "2: hosts: it is empty"),
        ("hosts = 'a.test b.test'", "2: hosts = 'a.test b.test': this is not a host, with or without a port; several"),
        ("hosts = ['a.test', 5]", "2: hosts: 5 is no text"),
        ("hosts = [" + "'a.test'," * (MAX_HOSTS + 1) + "]", "2: hosts: there are more than 100 hosts"),
        ("smarthost = 'office'", "2: smarthost: there is no [smarthost.office]"),
        ("smarthost = 'default'", "2: smarthost: the smarthost of the settings gets the mail for which no rule"),
        ("smarthost = ['a']", '2: smarthost: the value is the name of a smarthost, in quotes; smarthost = "office"'),
        ("mx = true\ntls = 'verify'", "1: tls belongs to hosts, and this rule has none"),
        ("hosts = 'a.test'\ntls = true", "3: tls: true is none of verify, require, opportunistic, none"),
        ("hosts = 'a.test'\ntls = 'verfy'", "3: tls: 'verfy' is none of"),
        ("hosts = 'a.test'\nca_file = 'ca.pem'", "3: ca_file: this is not the path of a file, which begins with /"),
        ("hosts = 'a.test'\nca_file = '/nowhere'", "3: ca_file: /nowhere: there is no such file"),
        ("hosts = 'a.test'\nuser = 'x'", "3: user belongs to [smarthost.NAME], not to [[router]]"),
        ("hosts = 'a.test'\nhelo = 'x'", "3: helo belongs to [[acl]], not to [[router]]"),
        ("host = 'a.test'", "2: host belongs to [[transport]], not to [[router]]"),
        ("hots = 'a.test'", "2: hots is no condition or action of [[router]]; did you mean hosts?"),
    ],
)
def test_each_mistake_of_a_rule_is_told_with_its_line(rule: str, words: str) -> None:
    (line,) = told(f"[[router]]\n{rule}\n")
    assert line.startswith(f"1.toml:{words}")


def test_a_misspelled_smarthost_is_told_with_the_name_that_is_meant() -> None:
    assert told("[smarthost.office]\nhosts = 'a.test'\n[[router]]\nsmarthost = 'ofice'\n") == [
        "1.toml:4: smarthost: there is no [smarthost.ofice]; did you mean office?"
    ]


def test_tls_of_a_smarthost_stands_in_its_own_table() -> None:
    text = "[smarthost.office]\nhosts = 'a.test'\n[[router]]\nsmarthost = 'office'\ntls = 'none'\n"
    assert told(text) == [
        "1.toml:3: tls belongs to hosts, and this rule has none; that of a smarthost stands in [smarthost.NAME]"
    ]


def test_a_rule_that_can_never_apply_is_a_mistake() -> None:
    text = "[[router]]\nrecipient = 'a.test'\nmx = true\n[[router]]\nrecipient = 'bob@a.test'\ndiscard = true\n"
    assert told(text) == ["1.toml:4: this rule can never apply: the one in line 1 applies whenever it does"]
    assert told("[[router]]\nmx = true\n[[router]]\nsender = 'a.test'\ndiscard = true\n") == [
        "1.toml:3: this rule can never apply: the one in line 1 has no condition"
    ]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[smarthost]\nhosts = 'a.test'", "1: a smarthost has a name, [smarthost.office]"),
        ("[[smarthost.a]]\nhosts = 'a.test'", "1: [[smarthost.a]] would be several tables; write [smarthost.a]"),
        ("[smarthost.a.b]\nhosts = 'a.test'", "1: a.b: the name of a smarthost has up to 40 letters"),
        ('[smarthost."a b"]\nhosts = "a.test"', "1: a b: the name of a smarthost has up to 40 letters"),
        ("[smarthost.default]\nhosts = 'a.test'", "1: default is the smarthost of the settings; give this one another"),
        ("[smarthost.smarthost]\nhosts = 'a.test'", "1: smarthost is the smarthost of the settings; give this one"),
        ("[smarthost.a]", '1: [smarthost.a] has no hosts; hosts = ["smtp.example.com:587"]'),
        ("[smarthost.a]\nhosts = 'x y'", "2: hosts = 'x y': this is not a host"),
        (
            "[smarthost.a]\nhosts = 'a.test'\nuser = 'u'",
            "1: [smarthost.a] has a login without a password; password_file",
        ),
        ("[smarthost.a]\nhosts = 'a.test'\npassword_env = 'OFFICE_PASSWORD'", "1: [smarthost.a] has a login without a"),
        ("[smarthost.a]\nhosts = 'a.test'\nport = 587", "3: port: a port stands behind its host, hosts = ["),
        ("[smarthost.a]\nhosts = 'a.test'\nmx = true", "3: mx is no key of [smarthost.NAME]; the keys are hosts, tls"),
        ("[smarthost.a]\nhosts = 'a.test'\nusername = 'x'", "3: username is no key of [smarthost.NAME]; did you mean "),
        ("[smarthost.a]\nhosts = 'a.test'\nPORT = 25", "3: PORT: a port stands behind its host"),
        ("[smarthost.a]\nhosts = 'a.test'\nSMARTHOST_USER = 'x'", "3: SMARTHOST_USER is a setting, and settings are"),
    ],
)
def test_each_mistake_of_a_smarthost_is_told_with_its_line(table: str, words: str) -> None:
    (line,) = told(f"{table}\n")
    assert line.startswith(f"1.toml:{words}")


def test_a_transport_rule_names_a_smarthost_that_is_there() -> None:
    rule = "[[transport]]\nsmarthost = ['default', '{}']\nconnections = 1\n[smarthost.office]\nhosts = 'a.test'\n"
    assert read(rule.format("office"))[1].lines == []
    assert told(rule.format("ofice")) == [
        "1.toml:2: smarthost = 'ofice': there is no [smarthost.ofice]; did you mean office?"
    ]


def test_the_number_of_smarthosts_is_bounded() -> None:
    tables = "".join(f"[smarthost.a{number}]\nhosts = 'a.test'\n" for number in range(MAX_SMARTHOSTS + 2))
    assert told(tables) == [
        f"1.toml:{2 * number + 1}: there are more than {MAX_SMARTHOSTS} smarthosts"
        for number in (MAX_SMARTHOSTS, MAX_SMARTHOSTS + 1)
    ]


def test_each_smarthost_has_a_name_of_its_own() -> None:
    table = "[smarthost.a]\nhosts = 'a.test'\n"
    assert told(table, table) == ["2.toml:1: there is another [smarthost.a]; each has a name of its own"]


SECRET = "hush-hush"  # noqa: S105  the tests look for it


@pytest.mark.parametrize(
    ("login", "words"),
    [
        (f"password = '{SECRET}'", 'a password stands in a file of its own: password_file = "/run/secrets/office"'),
        (f"Passwd = '{SECRET}'", "a password stands in a file of its own"),
        (f"pasword = '{SECRET}'", "pasword is no key of [smarthost.NAME]"),
        (f"password = {SECRET}", "password: the value cannot be read; text stands in quotes"),
        (f"password = ['{SECRET}', 1]", "a password stands in a file of its own"),
        (f"password_file = '{SECRET}'", "this is not the path of a file; a path begins with /"),
        (f"password_file = ['{SECRET}']", "the value is the path of a file, in quotes"),
        (f"password_file = {SECRET}", "password_file: the value cannot be read"),
        (f"password_env = '{SECRET}'", "this is not the name of a variable"),
        (f"password_env = '{SECRET.replace('-', '_')}'", "the variable that it names is not set"),
        ("password_env = 'EMPTY'", "the variable that it names is not set"),
        ("password_file = '/nowhere/x'", "/nowhere/x: the file cannot be read: No such file or directory"),
        ("password_file = '/'", "/: the file cannot be read: Is a directory"),
        ("password_file = '/dev/null'", "/dev/null: it is not a regular file"),
    ],
)
def test_no_mistake_of_a_login_shows_the_secret(login: str, words: str) -> None:
    (line,) = told(f"[smarthost.a]\nhosts = 'a.test'\nuser = 'u'\n{login}\n")
    assert words in line
    assert "hush" not in line


def test_no_mistake_of_a_user_or_of_the_content_of_a_file_shows_it(tmp_path: Path) -> None:
    for content, words in (
        (b"hush\xff", "the file is not UTF-8 text"),
        (b"hush\0", "it has characters that a login cannot transmit"),
        (b"\n", "the file is empty"),
        (b"hush" * 20_000, "the file is longer than 65536 octets"),
    ):
        file = tmp_path / "secret"
        file.write_bytes(content)
        (line,) = told(f"[smarthost.a]\nhosts = 'a.test'\nuser = 'u'\npassword_file = '{file}'\n")
        assert words in line
        assert "hush" not in line
    (line,) = told("[smarthost.a]\nhosts = 'a.test'\nuser = ['hush']\npassword_env = 'OFFICE_PASSWORD'\n")
    assert "hush" not in line


@pytest.mark.parametrize("host", ["smtp://u:hush@a.test:587", "u:hush@a.test", "u:hush@a.test:hush"])
def test_a_password_in_a_host_is_not_shown(host: str) -> None:
    (line,) = told(f"[[router]]\nhosts = '{host}'\n")
    assert "this is not a host" in line
    assert "u:hush@" not in line
    assert "'hush@" not in line


def test_a_part_of_a_login_may_be_given_once() -> None:
    rest = "hosts = 'a.test'\nuser = 'u'\npassword_env = 'OFFICE_PASSWORD'\n"
    assert told(f"[smarthost.a]\n{rest}user_file = '/nowhere'\n")[0].startswith("1.toml:5: user_file: /nowhere: ")
    assert told(f"[smarthost.a]\n{rest}password_file = '/etc/hostname'\n") in (
        ["1.toml:1: [smarthost.a] has both password_file and password_env; keep one of them"],
        ['1.toml:5: password_file: /etc/hostname: the file is empty; password_file = "/run/secrets/office"'],
    )


def test_the_digest_follows_passwords_and_authorities(tmp_path: Path) -> None:
    password, ca_file = tmp_path / "password", authority().write(tmp_path)
    text = (
        f"[[router]]\nsmarthost = 'a'\n[smarthost.a]\nhosts = 'a.test'\nca_file = '{ca_file}'\n"
        f"user = 'u'\npassword_file = '{password}'\n"
    )
    digests = set()
    for secret in ("one", "two"):
        password.write_text(secret)
        for _ in range(2):
            book, _ = read(text)
            assert book
            digests.add(book.digest)
    assert len(digests) == 2
    ca_file.write_bytes(authority().certificate_pem)
    book, _ = read(text)
    assert book
    assert book.digest not in digests


@pytest.mark.parametrize("key", [key for key in KEYS if SMARTHOST in key.stages], ids=lambda key: key.name)
def test_the_example_of_each_key_of_a_smarthost_can_be_read(key: RuleKey, tmp_path: Path) -> None:
    file = authority().write(tmp_path)
    example = f"'{file}'" if key.form is ValueForm.PATH else key.example
    entries = {"hosts": "'a.test'", "user": "'u'", "password_env": "'OFFICE_PASSWORD'", "tls": "'verify'"}
    other = {"user_file": "user", "password_file": "password_env"}.get(key.name)
    lines = [f"{name} = {value}" for name, value in entries.items() if name not in {key.name, other}]
    found = smarthost("\n".join([*lines, f"{key.name} = {example}"]))
    assert found.hosts
    assert found.credentials
