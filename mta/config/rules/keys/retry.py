"""The condition on errors and the settings of [[retry]]."""

from mta.config.rules.keys.key import KeyRole, RuleKey, ValueForm

_STAGE = ("retry",)
RETRY = (
    RuleKey(
        "error",
        KeyRole.CONDITION,
        ValueForm.ERRORS,
        _STAGE,
        "The error of the last attempt. `connect`: no connection, or it broke off; `tls`: no TLS, or the certificate is"
        " not trusted; `login`: the login was refused; `dns`: a look-up failed, or found no host. In a"
        " status, `*` is any number.",
        '["connect", "4.7.*"]',
    ),
    RuleKey(
        "schedule",
        KeyRole.SETTING,
        ValueForm.SCHEDULE,
        _STAGE,
        "When to try again, and when to return the mail; without it as in `RETRY_SCHEDULE`.",
        '"F,1h,10m"',
    ),
    RuleKey(
        "warn_after",
        KeyRole.SETTING,
        ValueForm.WARNING,
        _STAGE,
        "The age of the mail at which its sender is told, once, that it waits; without it a day. `false`: never.",
        '"4h"',
    ),
)
