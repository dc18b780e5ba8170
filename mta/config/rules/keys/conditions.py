"""The name and the conditions that rules of several stages share."""

from mta.config.rules.keys.key import HEADER, STAGES, KeyRole, RuleKey, ValueForm

_LATER_STAGES = ("rewrite", "router")
CONDITIONS = (
    RuleKey(
        "name", KeyRole.LABEL, ValueForm.TEXT, STAGES, "Words for the rule in the log and in `explain`.", '"staff"'
    ),
    RuleKey(
        "client",
        KeyRole.CONDITION,
        ValueForm.CLIENTS,
        ("acl", *_LATER_STAGES),
        "The client: `trusted` is a client that may send anywhere, by its network or by a login, `stranger` any other.",
        '["trusted", "192.0.2.0/24"]',
    ),
    RuleKey(
        "login",
        KeyRole.CONDITION,
        ValueForm.TEXTS,
        ("acl", *_LATER_STAGES),
        "The user that has logged in. A session without a login does not match.",
        '"printer-*"',
    ),
    RuleKey(
        "helo", KeyRole.CONDITION, ValueForm.TEXTS, ("acl",), "The name that EHLO or HELO gave.", '"*.example.com"'
    ),
    RuleKey("tls", KeyRole.CONDITION, ValueForm.BOOLEAN, ("acl",), "Whether the session is encrypted.", "false"),
    RuleKey(
        "sender",
        KeyRole.CONDITION,
        ValueForm.ADDRESSES,
        ("acl", *_LATER_STAGES, "retry"),
        "The sender of the envelope (`MAIL FROM`); `<>` is the null sender.",
        '["*@example.com", "<>"]',
    ),
    RuleKey(
        "recipient",
        KeyRole.CONDITION,
        ValueForm.ADDRESSES,
        ("acl", *_LATER_STAGES, "retry"),
        "A recipient of the envelope (`RCPT TO`).",
        '"*@example.org"',
    ),
    RuleKey(
        f"{HEADER}.NAME",
        KeyRole.CONDITION,
        ValueForm.TEXTS,
        ("acl", "rewrite"),
        "A header field of this name, unfolded and decoded, its first 2,000 characters; one of several such fields is"
        " enough. An `[[acl]]` rule with it is asked after the data, and cannot have `recipient`.",
        '"*invoice*"',
    ),
    RuleKey(
        "larger",
        KeyRole.CONDITION,
        ValueForm.SIZE,
        ("acl",),
        "The message has more octets than this; `K`, `M` and `G` are powers of 1,024. The rule is asked after the data,"
        " or at `MAIL` if the client announces the size, and cannot have `recipient`.",
        '"10M"',
    ),
)
