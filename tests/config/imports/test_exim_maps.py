"""Makes rules of email-addresses and hubbed_hosts."""

from mta.config.imports.exim_maps import import_email_addresses, import_hubbed_hosts


def test_email_addresses_become_a_map_of_the_hosts_own_domains() -> None:
    text = "root: ops@example.com\nApp: noreply@example.com\n"
    section = import_email_addresses(text, ["lan.test", "example.org"])
    (block,) = section.blocks
    assert dict(block.entries)["map"] == (
        "root@lan.test -> ops@example.com",
        "root@example.org -> ops@example.com",
        "app@lan.test -> noreply@example.com",
        "app@example.org -> noreply@example.com",
    )
    assert not block.comments


def test_without_a_domain_the_map_is_of_any_and_a_comment_tells_it() -> None:
    (block,) = import_email_addresses("root: ops@example.com\n", []).blocks
    assert dict(block.entries)["map"] == ("root@* -> ops@example.com",)
    assert "--domain" in block.comments[0]


def test_lines_of_email_addresses_that_exim_never_finds_or_no_rule_can_have() -> None:
    text = "a@b.test: c@d.test\n*: x@y.test\nbob: carl\nroot: x@y.test\nroot: z@y.test\nann: A <a@b.test>\n"
    section = import_email_addresses(text, [])
    reasons = {line.number: line.reason for line in section.left_out}
    assert list(reasons) == [1, 2, 3, 5, 6]
    assert "local parts" in reasons[1]
    assert "FORCE_SENDER" in reasons[2]
    assert "no address with a domain" in reasons[3]
    assert "line 4 has the same key" in reasons[5]


def test_hubbed_hosts_become_routes_in_the_order_of_exims_search() -> None:
    text = (
        "*.example: nobody.test\n*.a.example: one.test\n*.deep.a.example: two.test\n"
        "a.example: three.test:four.test\nother.test: three.test:four.test\nmx.test: b.test/MX\n"
    )
    section = import_hubbed_hosts(text)
    assert [(dict(block.entries)["recipient"], block.entries[-1]) for block in section.blocks] == [
        (("a.example", "other.test"), ("hosts", ("three.test:25", "four.test:25"))),
        (("mx.test",), ("mx", "b.test")),
        (("deep.a.example", "*@*.deep.a.example"), ("hosts", ("two.test:25",))),
        (("a.example", "*@*.a.example"), ("hosts", ("one.test:25",))),
    ]
    assert [(line.number, "never finds" in line.reason) for line in section.left_out] == [(1, True)]


def test_a_line_that_is_left_out_keeps_its_mail_from_less_specific_lines() -> None:
    section = import_hubbed_hosts("x.a.test: h.test randomize\n*.a.test: h.test\nb.test: h.test\n")
    first, second = section.blocks
    assert dict(second.entries)["unless.recipient"] == ("x.a.test",)
    assert "unless.recipient" not in dict(first.entries)
    assert [line.number for line in section.left_out] == [1]
