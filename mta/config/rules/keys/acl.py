"""The actions of [[acl]]."""

from mta.config.rules.keys.key import KeyRole, RuleKey, ValueForm

ACL = (
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
