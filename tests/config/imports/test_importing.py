"""Makes one text of rules of all files, within the bounds of a file of rules."""

import tomllib

import pytest

from mta.config.imports.importing import KNOWN_FILES, import_files
from mta.config.rules.rule_reader import MAX_RULES

#: A text for each of the files, with a line that becomes a rule and one that does not.
FILES = {
    "host_local_deny_exceptions": "192.0.2.7\n@\n",
    "local_host_whitelist": "192.0.2.8\n@\n",
    "sender_local_deny_exceptions": "boss@spam.test\n+caseful\n",
    "local_sender_whitelist": "chief@spam.test\n+caseful\n",
    "local_host_blacklist": "192.0.2.0/24\n*.spam.test\n",
    "local_sender_blacklist": "spam.test\n@@lsearch;/x\n",
    "email-addresses": "root: ops@example.com\n*: x@y.test\n",
    "sender_canonical": "app@host1.lan noreply@example.com\n/x/ y@z.test\n",
    "generic": "@host2.lan noreply@example.com\n/x/ y@z.test\n",
    "sender_bcc": "app@example.com archive@example.com\n/x/ y@z.test\n",
    "recipient_bcc": "bob@example.net copies@example.com\n/x/ y@z.test\n",
    "passwd.client": "smtp.example.net:relay:client-secret\n*:relay:any-secret\n",
    "sasl_passwd": "[smtp.example.org]:587 relay:sasl-secret\nx\n",
    "hubbed_hosts": "hub.test: mail.hub.test\nx.test: mail.x.test randomize\n",
    "transport": "out.test smtp:[smtp.example.org]:587\nslow.test slow:\n",
    "sender_relay": "@example.com [smtp.example.org]:587\nexample.com [x.test]\n",
}


def test_every_known_file_becomes_rules_and_comments() -> None:
    assert set(FILES) == set(KNOWN_FILES)
    imported = import_files(FILES)
    tables = tomllib.loads(imported.text)
    assert {stage: len(tables[stage]) for stage in ("acl", "rewrite", "router")} == {
        "acl": 2,
        "rewrite": 5,
        "router": 3,
    }
    assert set(tables["smarthost"]) == {"smtp-example-net", "smtp-example-org"}
    assert imported.left_out == len(FILES)
    for name in KNOWN_FILES:
        assert f"# {name}:2 is left out: " in imported.text


def test_no_password_is_printed() -> None:
    imported = import_files(FILES)
    assert "-secret" not in imported.text
    assert {secret.password for secret in imported.secrets} == {"client-secret", "any-secret", "sasl-secret"}


def test_the_text_does_not_depend_on_the_order_of_the_files() -> None:
    backwards = dict(reversed(FILES.items()))
    assert import_files(backwards) == import_files(FILES)


def test_a_comment_tells_that_senders_were_changed_before_their_route() -> None:
    routes = {"sender_relay": FILES["sender_relay"]}
    assert "generic" not in import_files(routes).text
    assert "before generic changes them" in import_files(routes | {"generic": FILES["generic"]}).text


def test_more_rules_than_a_file_may_have_are_refused() -> None:
    lines = (f"d{number}.test: host{number}.test\n" for number in range(MAX_RULES + 1))
    with pytest.raises(ValueError, match="at most 2000 rules"):
        import_files({"hubbed_hosts": "".join(lines)})


def test_domains_with_the_same_hosts_share_a_rule() -> None:
    text = "".join(f"d{number}.test: host.test\n" for number in range(5000))
    assert import_files({"hubbed_hosts": text}).text.count("[[router]]") == 1


def test_a_domain_in_two_tables_goes_by_the_first() -> None:
    imported = import_files({"hubbed_hosts": "a.test: x.test\n", "transport": "a.test smtp:[y.test]\n"})
    assert [rule["hosts"] for rule in tomllib.loads(imported.text)["router"]] == [["x.test:25"]]
    assert "transport:1 is left out: the rules of another file take its mail before it" in imported.text
