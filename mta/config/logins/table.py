"""The settings of logins, which the table of all settings contains.

Clients log in on the submission ports; the relay logs in at a smarthost by a password, a token or a certificate.
"""

from mta.config import value_types
from mta.config.setting import Setting

SUBMISSION_PORT = Setting(
    "SUBMISSION_PORT",
    value_types.OPTIONAL_PORT,
    "",
    "A port with STARTTLS whose clients must log in, usually 587.",
    "587",
    default_meaning="none",
)
SUBMISSION_TLS_PORT = Setting(
    "SUBMISSION_TLS_PORT",
    value_types.OPTIONAL_PORT,
    "",
    "A port with TLS from the first byte whose clients must log in, usually 465.",
    "465",
    default_meaning="none",
)
AUTH_USERS = Setting(
    "AUTH_USERS",
    value_types.SECRET,
    "",
    "The users that may log in, one a line: `name:secret`, where `smtprelay user add` makes the secret. The users of"
    " a file may change while the relay runs.",
    "app:$5$example$x8pwtGLQXeiqvpY5Aq8je3FZeq2cy1wCQq.8M1WFxD9",
    secret=True,
    max_octets=1 << 25,
    multiline=True,
)
AUTH_IN_CLEAR = Setting(
    "AUTH_IN_CLEAR",
    value_types.choice({"never": False, "trusted": True}),
    "never",
    "Clients that may log in without TLS: `never` is none, `trusted` is those that may send anywhere.",
    "trusted",
)
SMARTHOST_TOKEN_URL = Setting(
    "SMARTHOST_TOKEN_URL",
    value_types.HTTPS_URL,
    "",
    "The token endpoint of the smarthost's OAuth 2 provider, for a login with tokens in place of a password.",
    "https://login.example.com/oauth2/token",
    default_meaning="none",
)
SMARTHOST_CLIENT_ID = Setting(
    "SMARTHOST_CLIENT_ID",
    value_types.TOKEN_TEXT,
    "",
    "The relay's client id at `SMARTHOST_TOKEN_URL`.",
    "smtprelay",
    secret=True,
)
SMARTHOST_CLIENT_SECRET = Setting(
    "SMARTHOST_CLIENT_SECRET",
    value_types.TOKEN_TEXT,
    "",
    "The secret of the client id. Without a refresh token it is all that the grant needs.",
    "correct-horse",
    secret=True,
)
SMARTHOST_REFRESH_TOKEN = Setting(
    "SMARTHOST_REFRESH_TOKEN",
    value_types.TOKEN_TEXT,
    "",
    "The refresh token from which access tokens are made. A newer one that the provider sends is kept in `QUEUE_DIR`.",
    "0.AXoA-example",
    secret=True,
)
SMARTHOST_TOKEN_SCOPE = Setting(
    "SMARTHOST_TOKEN_SCOPE",
    value_types.SCOPE,
    "",
    "The scopes to ask for, separated by blanks.",
    "https://mail.example.com/.default",
    default_meaning="none",
)
SMARTHOST_CERTIFICATE_PATH = Setting(
    "SMARTHOST_CERTIFICATE_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The certificate that the relay shows to the smarthost, PEM with its chain.",
    "/etc/smtprelay/client.crt",
    default_meaning="none",
)
SMARTHOST_KEY_PATH = Setting(
    "SMARTHOST_KEY_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The private key of `SMARTHOST_CERTIFICATE_PATH`, PEM without a password.",
    "/etc/smtprelay/client.key",
)
GMAIL_USER = Setting(
    "GMAIL_USER",
    value_types.SECRET,
    "",
    "With `GMAIL_PASSWORD` or tokens: send all mail through `smtp.gmail.com`.",
    "relay@gmail.com",
    secret=True,
)
GMAIL_PASSWORD = Setting(
    "GMAIL_PASSWORD", value_types.SECRET, "", "An app password of the Gmail account.", "abcdefghijklmnop", secret=True
)
GMAIL_CLIENT_ID = Setting(
    "GMAIL_CLIENT_ID",
    value_types.TOKEN_TEXT,
    "",
    "With secret and refresh token, in place of `GMAIL_PASSWORD`: the client id of a Google Cloud project.",
    "1234-abc.apps.googleusercontent.com",
    secret=True,
)
GMAIL_CLIENT_SECRET = Setting(
    "GMAIL_CLIENT_SECRET",
    value_types.TOKEN_TEXT,
    "",
    "The secret of `GMAIL_CLIENT_ID`.",
    "GOCSPX-example",
    secret=True,
)
GMAIL_REFRESH_TOKEN = Setting(
    "GMAIL_REFRESH_TOKEN",
    value_types.TOKEN_TEXT,
    "",
    "The refresh token of the Gmail account; `smtprelay oauth gmail` gets it.",
    "1//0example",
    secret=True,
)
GMAIL_SERVICE_ACCOUNT = Setting(
    "GMAIL_SERVICE_ACCOUNT",
    value_types.SECRET,
    "",
    "The JSON key of a service account that may send as `GMAIL_USER` of a Google Workspace, in place of"
    " `GMAIL_PASSWORD`.",
    '{"type": "service_account", ...}',
    secret=True,
    multiline=True,
)
O365_USER = Setting(
    "O365_USER",
    value_types.SECRET,
    "",
    "With `O365_TENANT`, `O365_CLIENT_ID` and a secret or a refresh token: send all mail through Microsoft 365.",
    "relay@example.com",
    secret=True,
)
O365_TENANT = Setting(
    "O365_TENANT",
    value_types.TENANT,
    "",
    "The directory (tenant) of Microsoft 365: its id or one of its domains.",
    "example.onmicrosoft.com",
)
O365_CLIENT_ID = Setting(
    "O365_CLIENT_ID",
    value_types.TOKEN_TEXT,
    "",
    "The id of the application that is registered in the tenant.",
    "11111111-2222-3333-4444-555555555555",
)
O365_CLIENT_SECRET = Setting(
    "O365_CLIENT_SECRET",
    value_types.TOKEN_TEXT,
    "",
    "A client secret of the application: its value, not its id.",
    "abc8Q~example",
    secret=True,
)
O365_REFRESH_TOKEN = Setting(
    "O365_REFRESH_TOKEN",
    value_types.TOKEN_TEXT,
    "",
    "A refresh token of the mailbox, in place of the client secret or with it; `smtprelay oauth o365` gets it.",
    "0.AXoA-example",
    secret=True,
)
O365_CLOUD = Setting(
    "O365_CLOUD",
    value_types.choice({"public": "public", "usgov": "usgov", "china": "china"}),
    "public",
    "The cloud of the tenant: `public`, `usgov` or `china`.",
    "usgov",
)
SES_USER = Setting(
    "SES_USER",
    value_types.SECRET,
    "",
    "With `SES_PASSWORD`: send all mail through Amazon SES.",
    "AKIAEXAMPLE",
    secret=True,
)
SES_PASSWORD = Setting(
    "SES_PASSWORD", value_types.SECRET, "", "The SMTP password of Amazon SES.", "correct-horse", secret=True
)
SES_REGION = Setting("SES_REGION", value_types.REGION, "us-east-1", "The region of Amazon SES.", "eu-west-1")
SES_PORT = Setting("SES_PORT", value_types.PORT, "587", "The port of Amazon SES.", "2587")
