"""Makes tables of logins, without their passwords."""

from pathlib import PurePath

from mta.config.imports.hosts import read_nexthops
from mta.config.imports.logins import ImportedSmarthosts, SaslPasswords, import_passwd_client


def test_passwd_client_becomes_smarthosts_without_passwords() -> None:
    smarthosts = ImportedSmarthosts()
    section = import_passwd_client("smtp.example.net:relay@example.com:se:cret\n[x:y:z\nshort\n", smarthosts)
    (block,) = section.blocks
    assert block.header == "[smarthost.smtp-example-net]"
    assert block.entries == (
        ("hosts", ("smtp.example.net:25",)),
        ("user", "relay@example.com"),
        ("password_file", "/run/secrets/smtp-example-net"),
    )
    assert [(secret.name, secret.password) for secret in smarthosts.secrets] == [("smtp-example-net", "se:cret")]
    assert "passwd.client:1" in block.comments[0]
    assert "no port" in block.comments[1]
    assert "SMARTHOST_ADDRESS=smtp.example.net" in block.comments[2]
    assert "se:cret" not in section.text()
    assert "se:cret" not in repr(smarthosts.secrets)
    assert [line.number for line in section.left_out] == [2, 3]


def test_a_pattern_in_passwd_client_becomes_advice_about_settings() -> None:
    smarthosts = ImportedSmarthosts(PurePath("/s"))
    section = import_passwd_client('*.google.com:u:pw-a\n*:u:pw-b\n"^smtp[0-9]*\\\\.x":u:pw-c\n', smarthosts)
    text = " ".join(section.text().replace("\n# ", " ").split())
    assert "SMARTHOST_PASSWORD_FILE=/s/smarthost-google-com and SMARTHOST_ALIASES=*.google.com" in text
    assert text.count("SMARTHOST_PASSWORD_FILE=/s/smarthost-") == 3
    assert "pw-" not in text
    assert len(smarthosts.secrets) == 3


def test_names_of_smarthosts_are_distinct_and_have_no_dots() -> None:
    smarthosts = ImportedSmarthosts()
    section = import_passwd_client("a-b.test:u:1\na.b-test:u:2\ndefault:u:3\n", smarthosts)
    assert [block.header for block in section.blocks] == [
        "[smarthost.a-b-test]",
        "[smarthost.a-b-test-2]",
        "[smarthost.default-2]",
    ]


def test_a_login_is_found_by_sender_then_by_host_then_by_next_hop() -> None:
    text = "bob@a.test b:1\n@a.test d:2\nsmtp.test h:3\n[other.test]:587 n:4\n"
    logins = SaslPasswords(text, ImportedSmarthosts())
    hop, other, unknown = (read_nexthops(each) for each in ("[smtp.test]:587", "[other.test]:587", "[x.test]"))
    assert logins.smarthost(hop, "bob@a.test") == "bob-a-test"
    assert logins.smarthost(hop, "ann@a.test") == "ann-a-test"
    assert logins.smarthost(hop, "@a.test") == "ann-a-test"
    assert logins.smarthost(hop, "x@b.test") == "smtp-test"
    assert logins.smarthost(other) == "other-test"
    assert logins.smarthost(unknown) == ""
    assert logins.smarthost(read_nexthops("[other.test]")) == ""
    assert logins.senders_of("@a.test") == ["bob@a.test"]


def test_logins_that_no_route_uses_are_tables_with_advice() -> None:
    logins = SaslPasswords("[unused.test]:587 u:p\nbob@a.test b:1\nnonsense\n", ImportedSmarthosts())
    section = logins.finish()
    (block,) = section.blocks
    assert block.header == "[smarthost.unused-test]"
    assert "SMARTHOST_ADDRESS=unused.test and SMARTHOST_PORT=587" in block.comments[1]
    assert [(line.number, line.shown) for line in section.left_out] == [(3, ""), (2, "")]


def test_the_comment_tells_whether_the_password_is_written() -> None:
    written = import_passwd_client("a.test:u:p\n", ImportedSmarthosts(PurePath("/s"), written=True))
    assert "its password is in /s/a-test" in written.blocks[0].comments[0]
