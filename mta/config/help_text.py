"""The details about each setting beyond its one line of help, as Markdown that also reads well in a terminal."""

from collections.abc import Mapping

DETAILS: Mapping[str, str] = {
    "PORT": """\
The relay listens on this port, on IPv4 and IPv6. A port below 1024 requires root, the capability
`CAP_NET_BIND_SERVICE`, or a low `net.ipv4.ip_unprivileged_port_start`. STARTTLS is offered if there is a certificate.
`SUBMISSION_PORT` and `SUBMISSION_TLS_PORT` open further ports and leave this one as it is.""",
    "BIND_IP": """\
One address. If this host does not have it, the start fails.""",
    "MAILNAME": """\
Remote servers look this name up, so it should resolve to this host, and the host's address back to it (PTR).
Delivery reports are sent from `Mailer-Daemon@` this name. The name is also added to an address without a domain, which
trusted networks may use. Mail to the name itself is delivered here only if `OTHER_HOSTNAMES` contains it.
If the setting is unset, the name of the host is used, with a dash for each character that a name must not contain.""",
    "RUN_AS": """\
As root the relay opens ports and reads settings, secrets, certificate and keys; it gives `QUEUE_DIR` to the user if the
directory belongs to root. Then it becomes the user, irrevocably, before it accepts mail. If it would remain root, it
does not start on a port below 1024; on another port it starts and logs a notice, unless a user is set. Renewed
certificates and keys are read as the user, who must have permission to read them. The setting is not needed if another
user than root starts the relay.
With `RUN_AS` the relay has no capabilities and an empty bounding set. With and without it, neither the relay nor its
child processes can gain privileges (`no_new_privs`).""",
    "NET_DEV": """\
The networks are read at start. If the interface does not exist, no network is added and a notice is logged: set
`RELAY_NETWORKS` instead in Kubernetes or with the host's own network. `127.0.0.1` and `::1` may always send anywhere,
the rest of `127.0.0.0/8` only if `RELAY_NETWORKS` contains it: `NET_DEV=lo` adds no clients.""",
    "RELAY_NETWORKS": """\
Separate items by colons, `;`, commas or blanks; a leading colon is optional. An item is a network, an address, a host
name, `*` (everyone: an open relay), or one of these after `!`, which excludes it.
The order is `127.0.0.1` and `::1`, then the networks of `NET_DEV`, then these items. The first match decides.
IPv6 addresses may be written with doubled colons as in Exim (`fd00::::/8`), or as usual (`fd00::/8`) where that is
unambiguous; otherwise the start fails with an error that shows the right spelling.
A host name is looked up again when its time to live has expired; a name without addresses matches no client. While the
look-up fails, the last known addresses remain valid; if there are none, untrusted clients get `451`, not `550`.""",
    "RELAY_DOMAINS": """\
For a secondary MX: strangers may send to these domains, and the mail goes to the MX hosts that are preferred to this
one, or to the smarthost if there is one. Separate items by colons, `;`, commas or blanks.
MX hosts of these domains may have private and loopback addresses. A domain that is also in `OTHER_HOSTNAMES` is
local.""",
    "PROXY_NETWORKS": """\
For HAProxy, Traefik, Envoy or a cloud's balancer that sends a PROXY header, version 1 or 2, before anything else.
Trust, limits and log follow the client that it names. The header is expected on every port from these addresses, within
five seconds, and from no other address. Items are written as in `RELAY_NETWORKS`, but host names are not possible.
`*` would let every client choose its address. See docs/load-balancer.md.""",
    "RULES_DIR": """\
The files are TOML: tables `[[acl]]` refuse, defer or hold mail by client, login, sender, recipient, header or size,
after `RELAY_NETWORKS` and `RELAY_DOMAINS` have accepted it; `[[rewrite]]` changes it, `[[router]]` decides where it
goes, `[[transport]]` how it is carried, `[[retry]]` when it is tried again. Rules name `[lists]` and
`[smarthost.NAME]`, whose password stands in a file of its own. Links are followed.
Names that begin with a dot and other endings are not read. All mistakes in all files are reported together with those
of the settings, with file and line. Limits: 200 files of 1 MiB, 2,000 rules, 100,000 entries of a list. Changes
are taken up within 25 seconds, or at once on SIGHUP. `smtprelay config check` lists the rules. See docs/rules.md.""",
    "ALLOWED_SENDERS": """\
Separate items by colons, `;`, commas or blanks. An item is a domain (`example.com`, without its sub-domains), an
address, `noreply-*@example.com`, `bob@*`, `+NAME` for a list in `RULES_DIR`, or `file:/path` with a pattern a line.
It holds for the clients of `RELAY_NETWORKS` and for users that have logged in; mail of strangers to `RELAY_DOMAINS` may
come from any sender. Others get `550 5.7.1` at `RCPT`. The rules of `RULES_DIR` are asked first.""",
    "ALLOWED_RECIPIENTS": """\
It holds for all clients, and for mail to local domains too. Others get `550 5.7.1` at `RCPT`. The rules of `RULES_DIR`
are asked first.""",
    "FORCE_SENDER": """\
For providers that accept one sender only. An address, or a name and an address. Without a name, the one in `From`
stays; `*@example.com` keeps the local part. `Sender` is removed, a `Reply-To` of the client stays, and bounces keep the
null sender. DKIM signs for the new domain. See docs/rules.md.""",
    "MASQUERADE_DOMAINS": """\
Separate items by colons, `;`, commas or blanks. It holds for clients that may send anywhere, and for the sender of the
envelope, `From`, `Sender` and `Reply-To`.""",
    "REDIRECT_TO": """\
For test systems that must not write to customers. A field `X-Original-To` names each recipient that was replaced.
`*@test.example.com` keeps the local part. Mail of strangers to `RELAY_DOMAINS` is not redirected; with
`ALLOWED_RECIPIENTS` its other recipients are refused.""",
    "HIDE_CLIENTS": """\
The relay's own log and queue still have them. `hide = "trace"` in a rule does the same for earlier hosts.""",
    "SEND_RATE": """\
For providers with a limit on the account. A rate counts `messages` or `recipients` in a `second`, `minute`, `hour` or
`day`, or in several, `1 message / 5 seconds`; several rates, separated by `;` or commas, hold together. There is never
more in any span of that length. Waiting is no attempt, and delays no report. Rules in `RULES_DIR` may slow mail to some
hosts down further, but not speed it up. See docs/rules.md.""",
    "OTHER_HOSTNAMES": """\
Separate items by colons, `;`, commas or blanks. Mail for an unknown user is refused with 550. Mail for `postmaster` is
always accepted.""",
    "LOCAL_DELIVERY": """\
With `maildir` a user exists if `MAIL_DIR/user` is a Maildir.
With `lmtp` the mail store decides which users exist. It listens on a host and port, `lmtp:dovecot:24` or
`lmtp:[2001:db8::1]:24`, or on a Unix socket, `lmtp:/run/dovecot/lmtp`.""",
    "ALIASES_FILE": """\
Lines have the form `name: target, target`. A target is a local user or any address; commands, files and lists in other
files are ignored. Aliases are looked up before Maildirs and the mail store. Changes take effect without a restart.
A file that is set must exist; `/etc/aliases` is used only if it exists.""",
    "SRS_DOMAIN": """\
The sender `ann@example.net` of forwarded mail becomes `SRS0=hash=day=example.net=ann@SRS_DOMAIN`, so that the mail
passes SPF. The domain is local. It takes reports to such senders for 21 days and sends them on; other mail to them is
refused. Senders of local domains stay. See docs/local-delivery.md.""",
    "SRS_SECRET": """\
Each secret has at least 8 characters. In a file they may be on lines of their own.""",
    "CERTIFICATE_PATH": """\
The host's own certificate comes first, then the intermediate certificates. If one of the two files is missing or empty,
STARTTLS is not offered and a notice is logged; if key and certificate do not match, the start fails.
Renewed files are read without a restart. TLS does not permit a client to relay.""",
    "KEY_PATH": """\
An RSA or EC key. The relay's own user must be able to read it.""",
    "SUBMISSION_PORT": """\
The relay listens on it besides `PORT`, at the same addresses. Everybody must log in there, clients of
`RELAY_NETWORKS` and of this host too, and may then send anywhere; mail without a login gets `530 5.7.0`. A login needs
TLS, so the start fails without a certificate, and without `AUTH_USERS`. See docs/submission.md.""",
    "SUBMISSION_TLS_PORT": """\
As `SUBMISSION_PORT`, with TLS in place of STARTTLS (RFC 8314). Both may be set.""",
    "AUTH_USERS": """\
`name|secret` is the same, and `#` begins a comment. A secret is `$argon2id$...`, a crypt string (`$2y$`, `$6$`, `$5$`,
`$y$`, `$7$`), or has a prefix of Dovecot: `{SHA512-CRYPT}`, `{BLF-CRYPT}`, `{CRYPT}`, `{ARGON2ID}`, `{SCRAM-SHA-256}`,
`{PLAIN}`. A word without a prefix is an error, so that no password is stored by accident. The file may come from
`htpasswd -B`, `doveadm pw` or docker-mailserver.
Behind a blank may follow the senders that the user may use: addresses, `@domain`, `*`. Without them the user may use
any sender. In the variable, blanks may separate users in place of line ends only if no user has such a list; compose
files need `$$` for each `$`. Prefer the file: it is looked at every few seconds, and a wrong line is then logged and
passed over. A wrong line at start ends it. Without a submission port, users may log in on `PORT`, inside TLS; its
other clients need no login there.""",
    "AUTH_IN_CLEAR": """\
With `trusted` anybody who can read the traffic of your networks can read the passwords, too. It is for devices without
TLS.""",
    "SMTPPORTOUT": """\
The port of all MX hosts of every domain. It is meant for tests and for hosts behind a firewall: mail servers on the
Internet listen on port 25.""",
    "SMARTHOST_ADDRESS": """\
A name, an address, or several of them, separated by colons or `;`. They are tried in order; the address of a name is
looked up, not its MX. A port follows two colons, `smtp.example.com::587`, because one colon separates hosts;
`smtp.example.com:587` is an error. An IPv6 address is written in brackets, `[2001:db8::1]`; its colons may be doubled
as in Exim. Rules in `RULES_DIR` may send a part of the mail to other smarthosts; see docs/rules.md.""",
    "SMARTHOST_PORT": """\
Hosts before the last one use port 25, unless they are written with a port.""",
    "SMARTHOST_USER": """\
With `SMARTHOST_PASSWORD`, or with the settings of `SMARTHOST_TOKEN_URL`. A part of a login without the others is an
error at start, and so are a password and a token at once, and a login without `SMARTHOST_ADDRESS`.""",
    "SMARTHOST_PASSWORD": """\
Every character counts except blanks and line ends at the end, in the variable and in a file. The password is used with
SCRAM-SHA-256, CRAM-MD5, PLAIN or LOGIN. If the smarthost refuses it, mail stays in the queue.""",
    "SMARTHOST_ALIASES": """\
A pattern is compared with the name as configured and with the name that it is a CNAME for; one match is enough. Set it
only if the login is for some of several hosts. If no host may be given the login, mail stays in the queue.""",
    "SMARTHOST_TLS": """\
`verify`: the certificate must be issued by a known authority and contain the name as configured; otherwise mail stays
in the queue and the reason is logged. `require`: TLS with any certificate, so a host that impersonates the smarthost
gets the login. `opportunistic`: TLS if offered; an attacker between the hosts can prevent it. `none`: TLS is not used,
which is an error with a token or a certificate. On the ports 465 and 2465 TLS begins with the first byte.""",
    "SMARTHOST_CA_FILE": """\
For a smarthost whose certificate is issued by a private authority. The system's authorities are not trusted then. A
token endpoint may have a certificate of either.""",
    "SMARTHOST_TOKEN_URL": """\
`SMARTHOST_USER` and `SMARTHOST_CLIENT_ID` are then needed as well, and no password may be set. With
`SMARTHOST_REFRESH_TOKEN` the grant is that token, otherwise the client's own credentials. Tokens are shown to the
smarthost by OAUTHBEARER or XOAUTH2, only over TLS. Microsoft 365 and Gmail have settings of their own.""",
    "SMARTHOST_CERTIFICATE_PATH": """\
It is shown in TLS to the hosts that may be given the login (`SMARTHOST_ALIASES`). Without a password, the relay then
also uses AUTH EXTERNAL if the smarthost offers it.""",
    "SMARTHOST_KEY_PATH": """\
An RSA or EC key. Certificate and key must be set together; if they cannot be used, the start fails.""",
    "GMAIL_USER": """\
If the user and one way to log in are set, all mail goes to Gmail on port 587, with a verified certificate. The ways are
an app password, a client id with its secret and a refresh token, or the key of a service account; two of them are an
error. Gmail takes precedence over all other smarthosts.""",
    "GMAIL_PASSWORD": """\
Google requires an app password of sixteen letters, not the password of the account.""",
    "GMAIL_CLIENT_ID": """\
Google ends refresh tokens after seven days while the consent screen of the project is in the state "Testing". See
docs/gmail.md.""",
    "GMAIL_SERVICE_ACCOUNT": """\
The administrator of the Workspace must delegate the scope `https://mail.google.com/` to the account for the whole
domain. The key is usually given as a file, `GMAIL_SERVICE_ACCOUNT_FILE`.""",
    "O365_USER": """\
The mailbox that the relay logs in with. If all parts are set, and Gmail's are not, all mail goes to
`smtp.office365.com` on port 587, with a verified certificate and OAuth 2 tokens. See docs/microsoft365.md.""",
    "O365_CLIENT_SECRET": """\
Alone it is the grant of the application itself: the application needs the permission `SMTP.SendAsApp` and a right on
the mailbox. Together with `O365_REFRESH_TOKEN` it proves the application's identity.""",
    "O365_REFRESH_TOKEN": """\
Microsoft replaces it at each use. The newest one is kept in `QUEUE_DIR`, until this setting changes.""",
    "SES_USER": """\
If user and password are set, and no login of Gmail or Microsoft 365 is, all mail goes to
`email-smtp.<SES_REGION>.amazonaws.com`, with a verified certificate.""",
    "SES_PASSWORD": """\
The SMTP credentials of Amazon SES are created in its console; they are not the access keys of the account.""",
    "SES_PORT": """\
25, 587 and 2587 use STARTTLS; on 465 and 2465 TLS begins with the first byte.""",
    "DKIM_KEY_PATH": """\
Mail is signed for the domain of `From:` on every route, delivery reports included, but not mail that strangers send to
`RELAY_DOMAINS`. A file has one key for all domains. With a directory, mail of a domain without a file is not signed.
RSA and Ed25519 keys are supported. If a key cannot be read, the start fails, so that mail does not go out unsigned.
`smtprelay dkim keygen` creates a key and prints its DNS record.""",
    "DKIM_SELECTOR": """\
The public key is published at `<selector>._domainkey.<domain>`. A selector in the name of a key file overrides this
setting.""",
    "QUEUE_DIR": """\
It contains one SQLite file and the files of large messages. Only one relay may use it, and it must not be on a network
file system. With `QUEUE_URL` it has messages while they arrive or leave, and needs no volume.""",
    "QUEUE_URL": """\
`postgresql://USER@HOST:PORT,HOST2:PORT/DATABASE?PARAMETER=VALUE&...`. All relays with the same URL deliver the mail of
one queue, and any of them may disappear at any time. It needs the extra `smtprelay[postgres]`, which the image has.
The relay uses the first host that takes writes. Unix sockets are in a directory: `?host=/run/postgresql` in place of
the hosts. Without a database it is that of the user's name.
The connection has TLS, and the certificate must prove the name of the host (`sslmode=verify-full`), unless all hosts
are loopback addresses or Unix sockets. The parameters are those of libpq for TLS, hosts and timeouts, such as
`sslrootcert=/etc/smtprelay/db-ca.pem` in place of the system's authorities.
A password belongs in `QUEUE_PASSWORD_FILE` or `QUEUE_PASSWORD`. One in the URL works too, `USER:PASSWORD@`, where `/
? # @ %` are written as `%2F %3F %23 %40 %25`; it is masked wherever the URL is shown.""",
    "NODE_NAME": """\
Nothing is decided by the name: a relay that starts again is another one to the database, with the same name.""",
    "MAIL_DIR": """\
The Maildir of user `bob` is its subdirectory `bob`.""",
    "DNS_SERVERS": """\
They replace the servers in `/etc/resolv.conf`, and its search list is not used. If the setting is unset, that file is
read again when it changes, unless it then names no server.""",
    "RETRY_SCHEDULE": """\
Rules as in Exim, separated by `;`. `F,2h,15m`: until two hours after the message arrived, every fifteen minutes.
`G,16h,1h,1.5`: until sixteen hours, first after one hour, then after 1.5 times the previous interval. Units: `w`, `d`,
`h`, `m`, `s`. At start all messages in the queue are tried at once.""",
    "MESSAGE_SIZE_LIMIT": """\
A larger message is refused with 552, before it is sent if the client announces its size.""",
    "LINE_LENGTH_LIMIT": """\
RFC 5322 allows 998 octets. A message with a longer line is refused with 550, which gives the number of the line.""",
    "LINE_ENDINGS": """\
Scripts, scanners and `curl -T` without `--crlf` send bare LFs. With either value only CRLF.CRLF ends a message: a line
that becomes a single dot is part of the message. A bare CR or a NUL is refused from all clients.""",
    "WORKERS": """\
One process uses one core, which is enough for thousands of messages a second; DKIM signatures and TLS may need more.
Each worker takes the memory of a whole relay. Operator commands, the log and the limits of a destination remain those
of one relay. At a start with fewer workers than before, the queues that are left over are merged. See
docs/workers.md.""",
    "METRICS_LISTEN": """\
`/metrics` has figures for Prometheus, `/healthz` says whether the relay is alive and `/readyz` whether it takes mail.
No answer has an address, a sender or a subject, but destinations are named: let only the monitoring reach the port.
An IPv6 address is written in brackets. With several workers the figures are those of one relay. See
docs/metrics.md.""",
    "ADMIN_LISTEN": """\
The page tells whether all is well, finds and explains messages, and takes orders; programs use the API below `/api/v1`.
An address that other hosts reach needs `ADMIN_PASSWORD`, and without HTTPS it is named by a notice. An IPv6 address is
written in brackets. See docs/page.md.""",
    "ADMIN_PASSWORD": """\
Programs send it as `Authorization: Bearer`. On a loopback address it is not needed: then every program of this host may
use the page.""",
    "ADMIN_CERTIFICATE_PATH": """\
A renewed certificate is used without a restart. A browser must trust it; its names must be those by which the page is
opened.""",
    "EVENTS_URL": """\
The relay sends `accepted`, `delivered`, `deferred`, `failed` and `reported` in batches, each event at least once and in
the order of its message. `https` is verified; `http` goes only to loopback or private addresses. Events wait in
`QUEUE_DIR`, and mail does not wait for them. See docs/events.md.""",
    "EVENTS_SECRET": """\
The header `Smtprelay-Signature` has a time, and the HMAC-SHA-256 of time and body. `EVENTS_URL` without this setting is
an error.""",
    "POSTMASTER": """\
A copy is made of each message with the null sender that fails (Postfix: `notify_classes = 2bounce`; Exim freezes such a
message and tells `freeze_tell`). A copy that fails is not copied again. The digest comes at 06:00 UTC if a
recipient failed since the last one: counts by reason, 20 examples, and the command that shows all. Without this setting
only the log has such failures.""",
    "HISTORY_DAYS": """\
`smtprelay queue list --all` shows it. Addresses, times and replies are kept, contents are not. `0` disables it. When
the disk is almost full, the oldest entries are deleted earlier.""",
    "PRIVATE_DESTINATIONS": """\
Mail is returned if the MX hosts of an ordinary domain have such addresses only. An IPv6 address counts as the IPv4
address that it maps to, also under the network's own NAT64 prefix. Teredo addresses and other addresses that are not
global are refused.""",
    "TLSRPT_FROM": """\
The relay counts its sessions with MX hosts, and after each day in UTC reports them by mail and HTTPS to the domains
that have a record `_smtp._tls`. See docs/secure-delivery.md.""",
    "TLS_POLICY": """\
Patterns are `example.org`, `*.example.org` for its sub-domains, and `*`. The first entry that matches decides, and an
entry that never decides is an error at start. `none`: TLS is not used. `opportunistic`: TLS if it is offered, with any
certificate. `require`: TLS with any certificate. `verify`: the certificate must come from a known authority and contain
the name of the MX host; DNS without DNSSEC can be made to name another host. `dane`: the host must prove itself by TLSA
records that DNSSEC proves. Mail that does not get its level waits.
An entry beats MTA-STS and DANE of the domain, and a notice tells where it is weaker. The entry `*` does not: it is the
level of domains that demand nothing themselves. A `[[transport]]` rule can only make TLS stricter than that; if it sets
another port, TLSA records are still those of `SMTPPORTOUT`.""",
    "MTA_STS": """\
A domain publishes a policy (RFC 8461) to have its mail sent only to hosts that it names, over TLS with a certificate of
a known authority. The policy is fetched by HTTPS and kept in `QUEUE_DIR`; mail that cannot follow it waits. With
`testing` such mail is delivered all the same, and the log tells the failure. Without effect with a smarthost.""",
    "DANE": """\
A domain with DNSSEC publishes the certificates or keys of its MX hosts in TLSA records (RFC 7672). Mail to such a host
goes over TLS with a matching certificate, and otherwise waits; so it does if the answer of the DNS is forged. Domains
without DNSSEC are not affected. It needs `DNSSEC`. Without effect with a smarthost.""",
    "DNSSEC": """\
libunbound asks the servers of `DNS_SERVERS`, or the system's, and checks all signatures itself. `trust` and `auto`
without libunbound believe the AD bit of a reply, which the name server sets if it has checked the signatures; on
another host than this one, an attacker on the way can set it. If the name server removes signatures, DANE stays off and
a notice says so.""",
    "MACROS_FILE": """\
Lines have the form `NAME = value`. Environment variables override them. Supported are:
`MAIN_HARDCODE_PRIMARY_HOSTNAME` (`MAILNAME`), `MESSAGE_SIZE_LIMIT`, `IGNORE_SMTP_LINE_LENGTH_LIMIT` (no limit),
`DKIM_PRIVATE_KEY` (`DKIM_KEY_PATH`), `DKIM_SELECTOR`, `DKIM_CANON`,
`REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS = :` (with a login: TLS with any certificate, `SMARTHOST_TLS=require`),
`REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS = *` (TLS is required, verified unless the line above says otherwise) and
`REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps` (TLS from the first byte on every port, verified likewise).
Exim's `${...}` is not expanded, except `${if exists{FILE}{FILE}{0}}`.""",
}
