"""Any files of any lines become rules that the relay reads without a mistake, or comments."""

import tempfile
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mta.config.imports.importing import KNOWN_FILES, import_files
from mta.config.settings import read_settings

_KEYS = [
    *(
        "a.test",
        ".a.test",
        "@a.test",
        "b@a.test",
        "*",
        "*.a.test",
        "*.b.a.test",
        "b",
        "@b",
        "<>",
        "[c.test]:587",
        "c.test",
    ),
    *("!b@a.test", "+b@a.test", "^b@a.test", "+b", "!b", "x@b", "file:b@a.test"),
]
_ADDRESSES = ["c@d.test", "@d.test", "b", "x@y@z", "c@d.test, e@d.test"]
_LOGINS = ["u:tr0ub4dor", "u:tr0ub:4dor", "u", ":x"]
_WAYS = [
    *(
        "smtp:[c.test]:587",
        "smtp:c.test",
        "smtp:",
        ":",
        "discard:",
        "error:5.1.1 no",
        "error:4.1.1 no",
        "slow:",
        "DUNNO",
    ),
    *("[c.test]:587", "[d.test], [c.test]:587", "c.test", "c.test:d.test::26 byname", "c.test/MX", "c.test randomize"),
]
_ITEMS = [
    "192.0.2.0/24",
    "!192.0.2.7",
    "2001:db8::/32",
    "c.test",
    "a.test",
    "!b@a.test",
    "^b.*@$",
    "^(b|c",
    "*",
    "b*@a.test",
]
_SIGNS = ["#", ":", " ", "\t", '"', "\\", "'", "ü.test", "\u202e", "\x00", "x" * 300]
_VALUES = {
    "passwd.client": _LOGINS,
    "sasl_passwd": _LOGINS,
    "hubbed_hosts": _WAYS,
    "transport": _WAYS,
    "sender_relay": _WAYS,
}
_ENDS = st.lists(st.sampled_from(["\n", "\n", "\n", "\n ", "\r\n"]), min_size=1, max_size=3)


def _text_of(name: str) -> st.SearchStrategy[str]:
    """Return texts of a file: lines that fit it, and any others."""
    values = _VALUES.get(name, _ADDRESSES)
    separators = [": ", ":"] if name in {"email-addresses", "hubbed_hosts", "passwd.client"} else [" ", "  "]
    fitting = st.tuples(*map(st.sampled_from, (_KEYS, separators, values))).map("".join)
    words = st.sampled_from([*_KEYS, *_ADDRESSES, *_LOGINS, *_WAYS, *_ITEMS, *_SIGNS]) | st.text(max_size=5)
    lines = st.lists(st.one_of(fitting, st.sampled_from(_ITEMS), st.lists(words, max_size=4).map(" ".join)), max_size=8)
    return st.tuples(lines, _ENDS).map(
        lambda parts: "".join(line + parts[1][number % len(parts[1])] for number, line in enumerate(parts[0]))
    )


_FILES = st.lists(
    st.sampled_from(KNOWN_FILES).flatmap(lambda name: st.tuples(st.just(name), _text_of(name))), min_size=1, max_size=6
).map(dict)
_PASSWORDS = st.sampled_from(["passwd.client", "sasl_passwd"]).flatmap(
    lambda name: st.tuples(st.just(name), _text_of(name))
)


@given(_FILES, st.sampled_from([(), ("host.test",), ("host.test", "other.test")]))
def test_any_files_become_rules_without_a_mistake(files: dict[str, str], domains: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rules.d").mkdir()
        imported = import_files(files, domains=domains, secrets=folder)
        tomllib.loads(imported.text)
        for secret in imported.secrets:
            (folder / secret.name).write_text("password")
        (folder / "rules.d" / "10-imported.toml").write_text(imported.text)
        environ = {"QUEUE_DIR": "/nonexistent", "MAILNAME": "relay.test", "NET_DEV": "none0"}
        rules = read_settings(environ | {"RULES_DIR": str(folder / "rules.d")}).rules
        tables = tomllib.loads(imported.text)
        count = sum(len(tables.get(stage, ())) for stage in ("acl", "rewrite", "router"))
        assert count == (0 if rules is None else len(rules.rules))


@given(_PASSWORDS)
def test_no_password_is_printed_whatever_the_lines(file: tuple[str, str]) -> None:
    imported = import_files(dict([file]))
    assert not [each for each in imported.secrets if len(each.password) > 3 and each.password in imported.text]
