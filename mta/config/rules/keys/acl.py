"""The actions of [[acl]]."""

from mta.config.rules.keys.key import KeyRole, RuleKey, ValueForm

ACL = (
    RuleKey(
        "over",
        KeyRole.CONDITION,
        ValueForm.RATES,
        ("acl",),
        "One more message or recipient would be beyond the rate, or beyond one of several. The rule counts the mail"
        " that meets its other conditions and is accepted: recipients at `RCPT`, messages when they are stored. It is"
        " no exception (`unless`).",
        '"100 messages/hour"',
    ),
    RuleKey(
        "per",
        KeyRole.OPTION,
        ValueForm.PER,
        ("acl",),
        "Whose mail `over` counts together: that of a `client` (the default; of IPv6 a /64 network), a `login` or a"
        " `sender`. Mail without a login has no rate `per` login.",
        '"login"',
    ),
    RuleKey("accept", KeyRole.ACTION, ValueForm.TRUE, ("acl",), "No further `[[acl]]` rule is asked.", "true"),
    RuleKey(
        "deny",
        KeyRole.ACTION,
        ValueForm.REPLY,
        ("acl",),
        "Refuses the mail with these words, and 550 5.7.1 unless they begin with another code and status.",
        '"554 5.7.0 not from here"',
    ),
    RuleKey(
        "defer",
        KeyRole.ACTION,
        ValueForm.REPLY,
        ("acl",),
        "Refuses the mail for now with these words, and 451 4.7.1 unless they begin with another code and status.",
        '"try again later"',
    ),
    RuleKey(
        "hold",
        KeyRole.ACTION,
        ValueForm.TRUE,
        ("acl",),
        "Accepts the mail, and holds it in the queue until `smtprelay queue release`.",
        "true",
    ),
)
