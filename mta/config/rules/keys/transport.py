"""The conditions and settings of [[transport]]."""

from mta.config.rules.keys.key import KeyRole, RuleKey, ValueForm

_STAGE = ("transport",)
TRANSPORT = (
    RuleKey(
        "recipient",
        KeyRole.CONDITION,
        ValueForm.DOMAINS,
        _STAGE,
        "The domain of a recipient. A `[[transport]]` rule cannot name local parts.",
        '["example.org", "*@*.example.org"]',
    ),
    RuleKey(
        "host",
        KeyRole.CONDITION,
        ValueForm.TEXTS,
        _STAGE,
        "A host that the mail may go to, by its name in the MX record or the settings; one of several hosts is enough.",
        '"*.protection.outlook.com"',
    ),
    RuleKey(
        "smarthost",
        KeyRole.CONDITION,
        ValueForm.SMARTHOSTS,
        _STAGE,
        "The smarthost that takes the mail, by its name in `[smarthost.NAME]`; `default` is that of"
        " `SMARTHOST_ADDRESS`. Mail to MX hosts does not match.",
        '"default"',
    ),
    RuleKey(
        "connections",
        KeyRole.SETTING,
        ValueForm.CONNECTIONS,
        _STAGE,
        "The most connections to each destination at the same time.",
        "2",
    ),
    RuleKey(
        "messages_per_connection",
        KeyRole.SETTING,
        ValueForm.MESSAGES,
        _STAGE,
        "The messages after which a connection is closed.",
        "20",
    ),
    RuleKey(
        "rate",
        KeyRole.SETTING,
        ValueForm.RATES,
        _STAGE,
        "The fastest rate of all mail of the rule together. Mail beyond it waits, which is no attempt.",
        '["14 messages/second", "50000 recipients/day"]',
    ),
    RuleKey(
        "rate_each",
        KeyRole.SETTING,
        ValueForm.RATES,
        _STAGE,
        "The fastest rate of the mail to each destination of the rule.",
        '"30 messages/minute"',
    ),
    RuleKey(
        "tls",
        KeyRole.SETTING,
        ValueForm.TLS,
        _STAGE,
        "TLS to the hosts, as in `SMARTHOST_TLS`. A smarthost with a login gets no less than its own setting demands.",
        '"verify"',
    ),
    RuleKey("port", KeyRole.SETTING, ValueForm.PORT, _STAGE, "The port of MX hosts. A smarthost has its own.", "2525"),
    RuleKey(
        "helo",
        KeyRole.SETTING,
        ValueForm.HOST_NAME,
        _STAGE,
        "The name of the relay in EHLO, in place of `MAILNAME`.",
        '"mail.example.com"',
    ),
    RuleKey(
        "source",
        KeyRole.SETTING,
        ValueForm.SOURCES,
        _STAGE,
        "The relay's own addresses from which to send, one of each family. Without one of a family the system chooses.",
        '["192.0.2.25", "2001:db8::25"]',
    ),
    RuleKey(
        "ipv6", KeyRole.SETTING, ValueForm.BOOLEAN, _STAGE, "Whether hosts are tried at their IPv6 addresses.", "false"
    ),
)
