"""The actions and options of [[router]], and the keys of [smarthost.NAME]."""

from mta.config.rules.keys.key import SMARTHOST, KeyRole, RuleKey, ValueForm

_BOTH = ("router", SMARTHOST)
_LOGIN = (SMARTHOST,)
ROUTER = (
    RuleKey(
        "hosts",
        KeyRole.ACTION,
        ValueForm.HOSTS,
        _BOTH,
        "The hosts that get the mail, in the order to try them; their MX records do not count. On 465 and 2465 TLS"
        " begins with the first byte.",
        '["mail.example.net:587", "[2001:db8::1]:2525"]',
    ),
    RuleKey(
        SMARTHOST,
        KeyRole.ACTION,
        ValueForm.SMARTHOST_NAME,
        ("router",),
        "The mail goes to the hosts of `[smarthost.NAME]`, with its login.",
        '"office"',
    ),
    RuleKey(
        "mx",
        KeyRole.ACTION,
        ValueForm.MX,
        ("router",),
        "The mail goes to the MX hosts of the recipient's domain, even if there is a smarthost, or to those of another"
        " domain.",
        "true",
    ),
    RuleKey(
        "discard",
        KeyRole.ACTION,
        ValueForm.TRUE,
        ("router",),
        "The mail goes to no host. It counts as removed, and its sender gets no report.",
        "true",
    ),
    RuleKey(
        "fail",
        KeyRole.ACTION,
        ValueForm.FAILURE,
        ("router",),
        "The mail is returned to its sender with these words, and the status 5.7.1 unless they begin with another.",
        '"5.1.2 this domain has moved"',
    ),
    RuleKey(
        "tls",
        KeyRole.OPTION,
        ValueForm.TLS,
        _BOTH,
        "TLS to the hosts, as in `SMARTHOST_TLS`; without it `verify` with a login, else `opportunistic`.",
        '"verify"',
    ),
    RuleKey(
        "ca_file",
        KeyRole.OPTION,
        ValueForm.PATH,
        _BOTH,
        "Certificates, PEM, of the authorities that may issue the certificates of the hosts, in place of the system's."
        " They need `verify`.",
        '"/etc/ssl/private-ca.pem"',
    ),
    RuleKey("user", KeyRole.OPTION, ValueForm.TEXT, _LOGIN, "The user name for the hosts.", '"relay@example.com"'),
    RuleKey(
        "user_file",
        KeyRole.OPTION,
        ValueForm.PATH,
        _LOGIN,
        "A file with the user name, in place of `user`.",
        '"/run/secrets/office-user"',
    ),
    RuleKey(
        "password_file",
        KeyRole.OPTION,
        ValueForm.PATH,
        _LOGIN,
        "A file with the password. The password itself cannot stand in a file of rules.",
        '"/run/secrets/office"',
    ),
    RuleKey(
        "password_env",
        KeyRole.OPTION,
        ValueForm.VARIABLE,
        _LOGIN,
        "The name of an environment variable with the password, in place of `password_file`.",
        '"OFFICE_PASSWORD"',
    ),
)
