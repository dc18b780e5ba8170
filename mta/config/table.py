"""The table of all settings: their names, value types, defaults and help. The table in README.md is made from it."""

from mta.config import value_types
from mta.config.logins import table as logins
from mta.config.readers import forwarding, secure_delivery
from mta.config.rules import table as rules
from mta.config.setting import Setting
from mta.routing.route import TlsRule

PORT = Setting("PORT", value_types.PORT, "25", "The port to listen on.", "2525")
BIND_IP = Setting("BIND_IP", value_types.IPV4, "0.0.0.0", "The IPv4 address to listen on.", "127.0.0.1")  # noqa: S104
BIND_IP6 = Setting("BIND_IP6", value_types.IPV6, "::0", "The IPv6 address to listen on.", "::1")
DISABLE_IPV6 = Setting(
    "DISABLE_IPV6",
    value_types.FLAG,
    "",
    "Any value, even `0`, disables IPv6 for listening and for delivery.",
    "yes",
    default_meaning="IPv6 is used",
)
MAILNAME = Setting(
    "MAILNAME",
    value_types.MAIL_NAME,
    "",
    "The name of the relay in greetings, `Received:` fields and reports. It is not a local domain.",
    "mail.example.com",
    default_meaning="the host's name",
)
RUN_AS = Setting(
    "RUN_AS",
    value_types.IDENTITY,
    "",
    "The user that a relay started as root becomes once its ports are open: `user`, `user:group`, or their numbers.",
    "10025:10025",
    default_meaning="the user `smtprelay` if there is one and the port is below 1024",
)
NET_DEV = Setting(
    "NET_DEV",
    value_types.DEVICE,
    "eth0",
    "The network interface whose IPv4 and IPv6 networks may send anywhere, except IPv6 link-local ones.",
    "eth0",
)
RELAY_NETWORKS = Setting(
    "RELAY_NETWORKS",
    value_types.TRUST,
    "",
    "More networks, addresses and host names that may send anywhere. The first match decides;"
    " `!` excludes an item; `*` is everyone.",
    ":10.0.0.0/8:!10.0.0.5:fd00::::/8",
    default_meaning="none",
)
RELAY_DOMAINS = Setting(
    "RELAY_DOMAINS",
    value_types.DOMAINS,
    "",
    "Domains that anyone may send to; `*.x.org` means the sub-domains of `x.org` only.",
    "example.com : *.example.org",
    default_meaning="none",
)
PROXY_NETWORKS = Setting(
    "PROXY_NETWORKS",
    value_types.NETWORKS,
    "",
    "Networks and addresses of load balancers. Their connections must begin with a PROXY header, which names the"
    " client; other connections must not.",
    "10.0.0.5; 192.168.7.0/24",
    default_meaning="none",
)
RULES_DIR = rules.RULES_DIR
ALLOWED_SENDERS = rules.ALLOWED_SENDERS
ALLOWED_RECIPIENTS = rules.ALLOWED_RECIPIENTS
FORCE_SENDER = rules.FORCE_SENDER
MASQUERADE_DOMAINS = rules.MASQUERADE_DOMAINS
REDIRECT_TO = rules.REDIRECT_TO
BCC_TO = rules.BCC_TO
HIDE_CLIENTS = rules.HIDE_CLIENTS
SEND_RATE = rules.SEND_RATE
OTHER_HOSTNAMES = Setting(
    "OTHER_HOSTNAMES",
    value_types.DOMAINS,
    "",
    "Local domains besides `localhost`, whose mail is delivered here; `*` is every domain.",
    "example.com : example.org",
    default_meaning="none",
)
LOCAL_DELIVERY = Setting(
    "LOCAL_DELIVERY",
    value_types.LOCAL_RULE,
    "maildir",
    "Where local mail goes: `maildir` (to existing Maildirs), `maildir-create` (to Maildirs created for any user),"
    " `lmtp:host:port` or `lmtp:/path` (to a mail store by LMTP).",
    "lmtp:dovecot:24",
)
MAIL_DIR = Setting("MAIL_DIR", value_types.PATH, "/var/mail", "The directory of the local Maildirs.", "/var/mail")
ALIASES_FILE = Setting(
    "ALIASES_FILE",
    value_types.OPTIONAL_PATH,
    "",
    "A file of aliases for local users, as sendmail's; targets may be remote addresses.",
    "/etc/aliases",
    default_meaning="`/etc/aliases` if it exists",
)
SRS_DOMAIN, SRS_SECRET = forwarding.SRS_DOMAIN, forwarding.SRS_SECRET
CERTIFICATE_PATH = Setting(
    "CERTIFICATE_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The certificate for STARTTLS, PEM with its chain; `KEY_PATH` is its key.",
    "/etc/ssl/mail.crt",
    default_meaning="none: no STARTTLS",
)
KEY_PATH = Setting(
    "KEY_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The certificate's private key, PEM without a password.",
    "/etc/ssl/mail.key",
)
SUBMISSION_PORT = logins.SUBMISSION_PORT
SUBMISSION_TLS_PORT = logins.SUBMISSION_TLS_PORT
AUTH_USERS = logins.AUTH_USERS
AUTH_IN_CLEAR = logins.AUTH_IN_CLEAR
SMTPPORTOUT = Setting("SMTPPORTOUT", value_types.PORT, "25", "The port to deliver to if there is no smarthost.", "2525")
PRIVATE_DESTINATIONS = Setting(
    "PRIVATE_DESTINATIONS",
    value_types.choice({"refuse": False, "allow": True}),
    "refuse",
    "Whether the MX hosts of a domain may have private or loopback addresses, or the relay's own: `refuse` or `allow`."
    " Those of `RELAY_DOMAINS` and the smarthost always may.",
    "allow",
)
TLS_POLICY = secure_delivery.TLS_POLICY
MTA_STS = secure_delivery.MTA_STS
DANE = secure_delivery.DANE
DNSSEC = secure_delivery.DNSSEC
TLSRPT_FROM = secure_delivery.TLSRPT_FROM
SMARTHOST_ADDRESS = Setting(
    "SMARTHOST_ADDRESS",
    value_types.HOSTS,
    "",
    "The host that all mail is sent to, or several to try in order. A port follows two colons; an IPv6 address is"
    " written in brackets.",
    "smtp.example.com::587",
    default_meaning="none: delivery by MX",
)
SMARTHOST_PORT = Setting(
    "SMARTHOST_PORT",
    value_types.PORT,
    "25",
    "The port of the last smarthost. On 465 and 2465 TLS begins with the first byte.",
    "587",
)
SMARTHOST_USER = Setting(
    "SMARTHOST_USER", value_types.SECRET, "", "The user name for the smarthost.", "relay@example.com", secret=True
)
SMARTHOST_PASSWORD = Setting(
    "SMARTHOST_PASSWORD", value_types.SECRET, "", "The password for the smarthost.", "correct-horse", secret=True
)
SMARTHOST_ALIASES = Setting(
    "SMARTHOST_ALIASES",
    value_types.PATTERNS,
    "",
    "Patterns, separated by `;`, of the hosts that may be given the login: a name, `*.example.com`, `*`,"
    " or a regular expression that starts with `^`.",
    "*.example.com; smtp.example.org",
    default_meaning="the smarthosts themselves",
)
SMARTHOST_TLS = Setting(
    "SMARTHOST_TLS",
    value_types.optional(value_types.choice({rule.value: rule for rule in reversed(TlsRule)})),
    "",
    "TLS to the smarthost: `verify` (TLS with a certificate that proves the host's name),"
    " `require` (TLS with any certificate), `opportunistic` (TLS if offered) or `none`.",
    "verify",
    default_meaning="`verify` with a login, else `opportunistic`",
)
SMARTHOST_CA_FILE = Setting(
    "SMARTHOST_CA_FILE",
    value_types.OPTIONAL_PATH,
    "",
    "Certificates, PEM, of the authorities trusted to issue the smarthost's certificate, in place of the system's.",
    "/etc/ssl/private-ca.pem",
    default_meaning="the system's",
)
SMARTHOST_TOKEN_URL = logins.SMARTHOST_TOKEN_URL
SMARTHOST_CLIENT_ID = logins.SMARTHOST_CLIENT_ID
SMARTHOST_CLIENT_SECRET = logins.SMARTHOST_CLIENT_SECRET
SMARTHOST_REFRESH_TOKEN = logins.SMARTHOST_REFRESH_TOKEN
SMARTHOST_TOKEN_SCOPE = logins.SMARTHOST_TOKEN_SCOPE
SMARTHOST_CERTIFICATE_PATH = logins.SMARTHOST_CERTIFICATE_PATH
SMARTHOST_KEY_PATH = logins.SMARTHOST_KEY_PATH
GMAIL_USER = logins.GMAIL_USER
GMAIL_PASSWORD = logins.GMAIL_PASSWORD
GMAIL_CLIENT_ID = logins.GMAIL_CLIENT_ID
GMAIL_CLIENT_SECRET = logins.GMAIL_CLIENT_SECRET
GMAIL_REFRESH_TOKEN = logins.GMAIL_REFRESH_TOKEN
GMAIL_SERVICE_ACCOUNT = logins.GMAIL_SERVICE_ACCOUNT
O365_USER = logins.O365_USER
O365_TENANT = logins.O365_TENANT
O365_CLIENT_ID = logins.O365_CLIENT_ID
O365_CLIENT_SECRET = logins.O365_CLIENT_SECRET
O365_REFRESH_TOKEN = logins.O365_REFRESH_TOKEN
O365_CLOUD = logins.O365_CLOUD
SES_USER = logins.SES_USER
SES_PASSWORD = logins.SES_PASSWORD
SES_REGION = logins.SES_REGION
SES_PORT = logins.SES_PORT
DKIM_KEY_PATH = Setting(
    "DKIM_KEY_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The private key, PEM, that signs mail of all domains; or a directory of keys `<domain>.pem` and"
    " `<domain>.<selector>.pem`.",
    "/etc/smtprelay/dkim",
    default_meaning="none: mail is not signed",
)
DKIM_SELECTOR = Setting("DKIM_SELECTOR", value_types.SELECTOR, "dkim", "The selector of the DKIM key.", "mail2026")
DKIM_CANON = Setting(
    "DKIM_CANON",
    value_types.CANON,
    "relaxed/relaxed",
    "The DKIM canonicalization of header and body: `relaxed` or `simple` each; one word means both.",
    "relaxed/simple",
)
QUEUE_DIR = Setting(
    "QUEUE_DIR",
    value_types.PATH,
    "/var/spool/smtprelay",
    "The directory of the queue. Keep it on a volume: it holds all accepted mail that is not delivered yet.",
    "/var/spool/smtprelay",
)
QUEUE_URL = Setting(
    "QUEUE_URL",
    value_types.QUEUE_URL,
    "",
    "The PostgreSQL database whose queue several relays share; `QUEUE_DIR` then keeps no accepted mail.",
    "postgresql://smtprelay@db1.example.com,db2.example.com/mail",
    default_meaning="none: the queue is in `QUEUE_DIR`",
)
QUEUE_PASSWORD = Setting(
    "QUEUE_PASSWORD", value_types.SECRET, "", "The password of the user in `QUEUE_URL`.", "correct-horse", secret=True
)
NODE_NAME = Setting(
    "NODE_NAME",
    value_types.NODE_NAME,
    "",
    "The name of this relay in `smtprelay queue nodes`, for people; names need not differ.",
    "relay-1",
    default_meaning="the host's name",
)
RETRY_SCHEDULE = Setting(
    "RETRY_SCHEDULE",
    value_types.SCHEDULE,
    "F,2h,15m; G,16h,1h,1.5; F,4d,6h",
    "When to try again: `F,until,interval`, or `G,until,interval,factor` for growing intervals. After the last rule"
    " the mail is returned.",
    "F,2h,15m; G,16h,1h,1.5; F,4d,6h",
)
WORKERS = Setting(
    "WORKERS",
    value_types.WORKERS,
    "1",
    "The number of processes that share the work, each with its own queue; `auto` is one for each processor core.",
    "auto",
)
HISTORY_DAYS = Setting(
    "HISTORY_DAYS", value_types.DAYS, "7", "How long the queue keeps the results of finished messages, in days.", "7"
)
MESSAGE_SIZE_LIMIT = Setting(
    "MESSAGE_SIZE_LIMIT",
    value_types.SIZE,
    "50M",
    "The largest message to accept: octets, or `K`, `M`, `G`.",
    "50M",
)
LINE_LENGTH_LIMIT = Setting(
    "LINE_LENGTH_LIMIT", value_types.COUNT, "998", "The longest line to accept, in octets; `0` means no limit.", "998"
)
LINE_ENDINGS = Setting(
    "LINE_ENDINGS",
    value_types.choice({"normalize": "normalize", "strict": "strict"}),
    "normalize",
    "Lines from trusted networks that end in a bare LF: `normalize` changes it to CRLF, `strict` refuses the message,"
    " as messages of strangers always are.",
    "strict",
)
DNS_SERVERS = Setting(
    "DNS_SERVERS",
    value_types.SERVERS,
    "",
    "Addresses of DNS servers, each with a port if that is not 53.",
    "127.0.0.1:5353,[::1]:53",
    default_meaning="the system's",
)
LOG_FORMAT = Setting(
    "LOG_FORMAT",
    value_types.choice({"text": "text", "json": "json"}),
    "text",
    "The log format: `text` or `json`.",
    "json",
)
LOG_SUBJECT = Setting(
    "LOG_SUBJECT",
    value_types.choice({"yes": True, "no": False}),
    "yes",
    "Whether the queue keeps the subject of each message, up to 200 characters, so that an operator can find it:"
    " `yes` or `no`. The log has no subjects.",
    "no",
)
METRICS_LISTEN = Setting(
    "METRICS_LISTEN",
    value_types.LISTEN,
    "",
    "The address and port of `/metrics`, `/healthz` and `/readyz`, by HTTP without a password; a port alone, `:9125`,"
    " means all addresses.",
    "127.0.0.1:9125",
    default_meaning="off",
)
ADMIN_LISTEN = Setting(
    "ADMIN_LISTEN",
    value_types.LISTEN,
    "",
    "The address and port of the operator's page and of the API; a port alone, `:8025`, means all addresses, which"
    " needs `ADMIN_PASSWORD`.",
    "127.0.0.1:8025",
    default_meaning="off",
)
ADMIN_PASSWORD = Setting(
    "ADMIN_PASSWORD",
    value_types.TOKEN_TEXT,
    "",
    "The password of the page, whose user is `admin`, and the bearer token of the API.",
    "a-long-random-text",
    secret=True,
    default_meaning="none: `ADMIN_LISTEN` must be a loopback address",
)
ADMIN_CERTIFICATE_PATH = Setting(
    "ADMIN_CERTIFICATE_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The certificate of the page and the API with its chain, PEM, for HTTPS.",
    "/etc/smtprelay/page.pem",
    default_meaning="plain HTTP",
)
ADMIN_KEY_PATH = Setting(
    "ADMIN_KEY_PATH",
    value_types.OPTIONAL_PATH,
    "",
    "The private key of `ADMIN_CERTIFICATE_PATH`, PEM without a password.",
    "/etc/smtprelay/page.key",
)
EVENTS_URL = Setting(
    "EVENTS_URL",
    value_types.TOKEN_TEXT,
    "",
    "The URL that receives events about messages as JSON by POST. It is a secret, as it may contain one.",
    "https://app.example.com/mail-events",
    secret=True,
    default_meaning="none: no events are sent",
)
EVENTS_SECRET = Setting(
    "EVENTS_SECRET",
    value_types.SECRET,
    "",
    "The secret that signs the events for `EVENTS_URL`, known to their receiver.",
    "a-long-random-text",
    secret=True,
)
POSTMASTER = Setting(
    "POSTMASTER",
    value_types.MAIL_ADDRESS,
    "",
    "The address that gets a copy of each report that could not be delivered, and a daily digest if mail failed.",
    "postmaster@example.org",
    default_meaning="none: such reports are only logged",
)
VERBOSE = Setting("VERBOSE", value_types.TRUE, "", "Log every setting at start: `true`.", "true", default_meaning="no")
USE_SPLIT_CONFIG = Setting(
    "USE_SPLIT_CONFIG",
    value_types.TRUE,
    "",
    "Has no effect, because Exim's configuration files are not used. A notice names `RULES_DIR` if there are no rules.",
    "true",
    default_meaning="no",
)
MACROS_FILE = Setting(
    "MACROS_FILE",
    value_types.OPTIONAL_PATH,
    "",
    "A file of Exim macros. The common ones are supported, the others are logged.",
    "/etc/exim4/_docker_additional_macros",
    default_meaning="`/etc/exim4/_docker_additional_macros` if it exists",
)

#: All settings, in the order of the documentation.
SETTINGS: tuple[Setting[object], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Setting))
