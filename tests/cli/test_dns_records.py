"""DNS records of DKIM and SPF, and verdicts on published ones."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.cli.dns_records import RecordVerdict, judge_record, new_key_lines, zone_line
from mta.config.settings import read_settings
from mta.dkim.keys import dns_record, new_key, public_tag

RSA = new_key("s1", "rsa")
ED25519 = new_key("s2", "ed25519")
BASE = {"NET_DEV": "none0", "MAILNAME": "mail.test"}


def spf(**environ):
    return new_key_lines("a.test", RSA, read_settings(BASE | environ))[-1]


def older_wrapping(key):
    """Return the record of an RSA key as RFC 6376 section 3.6.1 has it and few publish it."""
    octets = key.private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return "v=DKIM1; p=" + base64.b64encode(octets).decode()


def test_a_short_text_is_one_string():
    assert zone_line("a.test", "v=spf1 mx ~all") == 'a.test. IN TXT "v=spf1 mx ~all"'


def test_a_long_text_is_cut_into_strings_of_255_octets():
    text = dns_record(RSA)
    line = zone_line("s1._domainkey.a.test", text)
    strings = re.findall(r'"([^"]*)"', line)
    assert [len(each) for each in strings] == [255, len(text) - 255]
    assert "".join(strings) == text


@pytest.mark.parametrize(
    ("environ", "mechanisms"),
    [
        ({}, "a:mail.test"),
        ({"MAILNAME": "short"}, "mx"),
        ({"GMAIL_USER": "u", "GMAIL_PASSWORD": "p"}, "include:_spf.google.com"),
        ({"SES_USER": "u", "SES_PASSWORD": "p"}, "include:amazonses.com"),
        ({"SMARTHOST_ADDRESS": "smtp.b.test::587"}, "a:smtp.b.test"),
        ({"SMARTHOST_ADDRESS": "smtp.office365.com::587"}, "include:spf.protection.outlook.com"),
    ],
)
def test_spf_names_the_hosts_that_others_get_our_mail_from(environ, mechanisms):
    assert spf(**environ) == f'a.test. IN TXT "v=spf1 {mechanisms} ~all"'


def test_spf_is_said_of_the_smarthosts_that_rules_choose(tmp_path):
    (tmp_path / "r.toml").write_text(
        """\
[smarthost.office]
hosts = ["smtp.office365.com:587", "smtp.b.test"]
[[router]]
sender = "b.test"
smarthost = "office"
[[router]]
recipient = "c.test"
hosts = "mail.c.test"
"""
    )
    *_, comment, record = new_key_lines("a.test", RSA, read_settings({**BASE, "RULES_DIR": str(tmp_path)}))
    assert record == 'a.test. IN TXT "v=spf1 a:mail.test ~all"'
    assert comment == (
        "; Rules send mail by smarthosts of their own. Add those that send mail of a.test:"
        " include:spf.protection.outlook.com a:smtp.b.test (office)"
    )


@pytest.mark.parametrize(
    "text",
    [
        dns_record(RSA),
        "p=" + public_tag(RSA),
        f"v=DKIM1;k=rsa;t=s;n=hello;p= {public_tag(RSA)[:50]} {public_tag(RSA)[50:]} ;",
        older_wrapping(RSA),
    ],
)
def test_a_record_with_the_same_key_is_right_however_it_is_written(text):
    assert judge_record(RSA, [text]) == (RecordVerdict.OK, "")


def test_a_record_of_an_ed25519_key_is_right():
    assert judge_record(ED25519, [dns_record(ED25519)]) == (RecordVerdict.OK, "")


@pytest.mark.parametrize(
    ("texts", "verdict", "words"),
    [
        ([], RecordVerdict.MISSING, "no such record"),
        ([dns_record(new_key("s1", "rsa"))], RecordVerdict.DIFFERS, "another key"),
        ([dns_record(ED25519)], RecordVerdict.DIFFERS, "another key"),
        (["v=DKIM1; k=ed25519; p=" + public_tag(RSA)], RecordVerdict.DIFFERS, "another key"),
        (["v=DKIM1; p=!!!"], RecordVerdict.DIFFERS, "another key"),
        (["v=DKIM1; p="], RecordVerdict.DIFFERS, "revoked"),
        (["hello"], RecordVerdict.DIFFERS, "not a DKIM record"),
        (["ü"], RecordVerdict.DIFFERS, "not a DKIM record"),
        ([dns_record(RSA), dns_record(RSA)], RecordVerdict.DIFFERS, "2 records"),
        ([dns_record(RSA) + "; t=s:y"], RecordVerdict.OK, "as if it were not signed"),
    ],
)
def test_the_problem_of_a_record_is_reported(texts, verdict, words):
    judged, said = judge_record(RSA, texts)
    assert judged is verdict
    assert words in said
