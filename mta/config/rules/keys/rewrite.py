"""The actions and options of [[rewrite]]."""

from mta.config.rules.keys.key import KeyRole, RuleKey, ValueForm

REWRITE = (
    RuleKey(
        "set.sender",
        KeyRole.ACTION,
        ValueForm.REPLACEMENT,
        ("rewrite",),
        "The sender of the envelope. The null sender stays.",
        '"noreply@example.com"',
    ),
    RuleKey(
        "set.from",
        KeyRole.ACTION,
        ValueForm.AUTHOR,
        ("rewrite",),
        "The only author in `From`. The name that was there stays unless this has one. `Sender` is removed.",
        '"Example Shop <noreply@example.com>"',
    ),
    RuleKey(
        "set.reply_to",
        KeyRole.ACTION,
        ValueForm.REPLY_TO,
        ("rewrite",),
        "`Reply-To`. `from` is the value of `From` before the rule changed it, unless the message has a `Reply-To`.",
        '"from"',
    ),
    RuleKey(
        "set.recipient",
        KeyRole.ACTION,
        ValueForm.RECIPIENTS,
        ("rewrite",),
        "The recipients in the place of those that `recipient` matches, of all without that condition. A field"
        " `X-Original-To` names each that was replaced.",
        '["dev@example.com"]',
    ),
    RuleKey(
        "map",
        KeyRole.ACTION,
        ValueForm.MAP,
        ("rewrite",),
        "Replaces each address in the places of `in` by the first line that matches it.",
        '["root@*.lan -> ops@example.com", "*@*.lan -> *@example.com"]',
    ),
    RuleKey(
        "in",
        KeyRole.OPTION,
        ValueForm.PLACES,
        ("rewrite",),
        "The places of `map`; without it `sender`, `from` (with `Sender`) and `reply_to`.",
        '["recipient", "to", "cc"]',
    ),
    RuleKey(
        "add.NAME",
        KeyRole.ACTION,
        ValueForm.TEXT,
        ("rewrite",),
        "Adds a header field. `{client}`, `{login}` and `{sender}` are filled in.",
        '"main"',
    ),
    RuleKey(
        "remove",
        KeyRole.ACTION,
        ValueForm.FIELDS,
        ("rewrite",),
        "Removes header fields, before `add.NAME` of the same rule. `Received`, `Return-Path` and `DKIM-Signature` can"
        " be neither removed nor added.",
        '["X-Mailer", "User-Agent"]',
    ),
    RuleKey(
        "hide",
        KeyRole.ACTION,
        ValueForm.HIDE,
        ("rewrite",),
        "`client`: the relay's own `Received` field does not name the client. `trace`: those of earlier hosts keep"
        " their number, by which loops are found, and their dates.",
        '"client"',
    ),
    RuleKey(
        "bcc",
        KeyRole.ACTION,
        ValueForm.ADDRESS,
        ("rewrite",),
        "One more recipient, whose failure is logged and never reported to the sender.",
        '"archive@example.com"',
    ),
    RuleKey("last", KeyRole.OPTION, ValueForm.TRUE, ("rewrite",), "No further `[[rewrite]]` rule is asked.", "true"),
)
