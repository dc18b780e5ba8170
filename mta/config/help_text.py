"""What an operator may want to know about a setting beyond its one line: Markdown that reads well in a terminal too."""

from collections.abc import Mapping

DETAILS: Mapping[str, str] = {
    "PORT": """\
There is this one port, for IPv4 and IPv6. Below 1024 it takes root, the capability `CAP_NET_BIND_SERVICE`, or a low
`net.ipv4.ip_unprivileged_port_start`. It has STARTTLS if there is a certificate, never TLS from the first byte.""",
    "BIND_IP": """\
One address. One that this host does not have ends the start with an error.""",
    "MAILNAME": """\
Remote servers look this name up: give one that leads to this host, best also backwards (PTR).
Reports come from `Mailer-Daemon@` this name. Mail to the name itself stays here only if `OTHER_HOSTNAMES` has it.
An address without a domain, which trusted networks may give, gets it.
Without it the host's own name counts, with a dash in place of what a name cannot have.""",
    "RUN_AS": """\
Ports, settings, secrets, certificate and keys are opened and read as root; `QUEUE_DIR` is handed over to the user if it
is root's; then the relay is that user, without a way back, before it takes mail. Below 1024 it does not start where it
would stay root; on other ports it does, unless a user is set, and says so. New certificates and keys are read by the
user, who must be allowed to. Not needed if another user than root starts the relay.
With `RUN_AS` the relay has no capability and its bounding set is empty. With and without `RUN_AS` neither the relay nor
a program that it starts can get new rights (`no_new_privs`).""",
    "NET_DEV": """\
The networks are asked for at start. If there is no such interface, nothing is added and the log says so: in Kubernetes
or with the host's own network set `RELAY_NETWORKS` instead. `127.0.0.1` and `::1` may always send anywhere, the rest
of `127.0.0.0/8` only if `RELAY_NETWORKS` has it: `NET_DEV=lo` adds nobody.""",
    "RELAY_NETWORKS": """\
Items stand between colons, `;`, commas or blanks; the first colon may be left out. An item is a network, an address,
a host name, `*` (everyone: an open relay), or one of these behind `!`, which excludes.
The order is: `127.0.0.1` and `::1`, the networks of `NET_DEV`, these items. The first that matches decides.
IPv6 addresses are taken with doubled colons as Exim wants them (`fd00::::/8`), or as usual (`fd00::/8`) where that can
mean one thing only; else the start ends with an error that shows the right spelling.
A host name is looked up, and again when its time to live is over; one that has no address matches no client. While the
look-up fails, the addresses that the name had last count; if it had none yet, other clients hear `451`, not `550`.""",
    "RELAY_DOMAINS": """\
For a secondary MX: strangers may send to these domains, and the mail goes to the MX hosts that come before us.
With a smarthost it goes there like all other mail. Items stand between colons, `;`, commas or blanks.
For these domains private and loopback addresses are good, too. A domain that `OTHER_HOSTNAMES` has too is local.""",
    "OTHER_HOSTNAMES": """\
Items stand between colons, `;`, commas or blanks. Mail for a user who is not known is refused at once, with 550.
Mail for `postmaster` is always taken.""",
    "LOCAL_DELIVERY": """\
With `maildir` a user is known if there is a directory `MAIL_DIR/user` that is a Maildir.
With `lmtp` the mail store decides who is known; it listens at a host and port, `lmtp:dovecot:24` or
`lmtp:[2001:db8::1]:24`, or at a Unix socket, `lmtp:/run/dovecot/lmtp`.""",
    "ALIASES_FILE": """\
Lines read `name: target, target`. A target is a local user or an address anywhere; commands, files and lists in other
files are not run or read. Aliases come first, then the Maildirs or the mail store. Changes count without a restart.
A file that is set must be there; `/etc/aliases` is used if it is.""",
    "CERTIFICATE_PATH": """\
The host's own certificate comes first, then those that lead to its root. If one of the two files is missing or empty,
STARTTLS is not offered and the log says so; a pair that does not fit ends the start with an error.
New files are taken up as they come, without a restart. TLS gives a client no right to send.""",
    "KEY_PATH": """\
An RSA or EC key. It must be readable by the relay's own user.""",
    "SMTPPORTOUT": """\
For all delivery by MX, whatever the domain. Firewalled hosts and tests want it, the world's mail servers do not.""",
    "SMARTHOST_ADDRESS": """\
A name, an address, or several between colons or `;`. They are tried in turn; the address is looked up, never the MX.
A port takes two colons, `smtp.example.com::587`, because one colon separates hosts; so `smtp.example.com:587` is an
error. An IPv6 address takes brackets: `[2001:db8::1]`, or with doubled colons as Exim wants them.""",
    "SMARTHOST_PORT": """\
Hosts before the last have port 25, unless written with one of their own.""",
    "SMARTHOST_USER": """\
User and password belong together: one without the other is an error at start, and so are both without
`SMARTHOST_ADDRESS`.""",
    "SMARTHOST_PASSWORD": """\
Every character counts, but for blanks and line ends at its end, in the variable and in a file. It is used with
CRAM-MD5, PLAIN or LOGIN, and the mail waits in the queue if the smarthost refuses it.""",
    "SMARTHOST_ALIASES": """\
A pattern is matched against the name as configured and against the name it is a CNAME for; one match is enough.
Set it only if the password is for some of several hosts. If no host may have the password, mail waits in the queue.""",
    "SMARTHOST_TLS": """\
`verify`: the certificate must come from a known authority and bear the name as configured. Else the mail waits and the
log says why. `require`: TLS, but with any certificate, so whoever poses as the smarthost gets the password.
`opportunistic`: without TLS if the smarthost, or who stands between, offers none. `none`: never TLS.
On the ports 465 and 2465 TLS begins with the first byte.""",
    "SMARTHOST_CA_FILE": """\
For a smarthost whose certificate comes from a private authority. The system's authorities do not count then.""",
    "GMAIL_USER": """\
With user and password Gmail comes before all other smarthosts, on port 587, with a verified certificate.""",
    "GMAIL_PASSWORD": """\
Google wants an app password, sixteen letters, not the account's own.""",
    "SES_USER": """\
With user and password, and without Gmail's, mail goes to `email-smtp.<SES_REGION>.amazonaws.com`, with a verified
certificate.""",
    "SES_PASSWORD": """\
The SMTP credentials of Amazon SES are made in its console; they are not the keys of the account.""",
    "SES_PORT": """\
25, 587 and 2587 use STARTTLS; 465 and 2465 are TLS from the first byte.""",
    "DKIM_KEY_PATH": """\
Mail is signed for the domain of `From:`, in every mode, reports too, but not what strangers send to `RELAY_DOMAINS`. A
key for every domain is one file. In a directory a domain without a file is not signed. RSA and Ed25519 keys are good.
A key that cannot be read ends the start with an error, for mail that should be signed must not leave unsigned.
`smtprelay dkim keygen` makes a key and prints its DNS record.""",
    "DKIM_SELECTOR": """\
The record of the public key is at `<selector>._domainkey.<domain>`. A key file that names a selector has its own.""",
    "QUEUE_DIR": """\
It is one SQLite file and large bodies beside it, for one relay only; not on a network file system.""",
    "MAIL_DIR": """\
User `bob` has the Maildir `bob` in it.""",
    "DNS_SERVERS": """\
They are asked in place of those in `/etc/resolv.conf`, and without its search list. That file is read again when it
changes; one that names no server changes nothing.""",
    "RETRY_SCHEDULE": """\
Rules as Exim's, between `;`. `F,2h,15m`: up to two hours after the mail came, every fifteen minutes.
`G,16h,1h,1.5`: up to sixteen hours, after one hour, then each wait 1.5 times as long. Units: `w`, `d`, `h`, `m`, `s`.
At start everything in the queue is tried at once.""",
    "MESSAGE_SIZE_LIMIT": """\
A larger message is refused with 552, before it is sent if the client announces its size.""",
    "LINE_LENGTH_LIMIT": """\
RFC 5322 allows 998 octets. A message with a longer line is refused with 550, which names the line.""",
    "LINE_ENDINGS": """\
Scripts, scanners and `curl -T` without `--crlf` send bare LFs. Only CRLF.CRLF ends a message under either value: a line
that becomes a single dot is part of the message. A bare CR or a NUL is refused to all clients.""",
    "WORKERS": """\
One process uses one core, and that is enough for thousands of messages a second; signing and TLS are what a second one
is for. Each takes the memory of a whole relay. Operator commands, the log and the limits of a destination stay those of
one relay. With fewer than before, the queues that are left over are merged at the start. See
docs/workers.md.""",
    "HISTORY_DAYS": """\
`smtprelay queue list --all` shows it. Only addresses, times and replies are kept, no content. `0` keeps nothing. While
room for mail is short, the oldest messages are forgotten sooner.""",
    "PRIVATE_DESTINATIONS": """\
An ordinary domain whose MX hosts have nothing else cannot be delivered to, and the mail is returned. An IPv6 address
counts as the IPv4 address that it leads to, under the network's own NAT64 prefix too; Teredo addresses, and all others
that are not global, are refused.""",
    "MACROS_FILE": """\
Lines read `NAME = value`. The environment wins over them. Honoured are:
`MAIN_HARDCODE_PRIMARY_HOSTNAME` (`MAILNAME`), `MESSAGE_SIZE_LIMIT`, `IGNORE_SMTP_LINE_LENGTH_LIMIT` (no limit),
`DKIM_PRIVATE_KEY` (`DKIM_KEY_PATH`), `DKIM_SELECTOR`, `DKIM_CANON`,
`REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS = :` (with a login: TLS with any certificate, `SMARTHOST_TLS=require`),
`REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS = *` (TLS or wait, verified unless the line above says otherwise) and
`REMOTE_SMTP_SMARTHOST_PROTOCOL = smtps` (TLS from the first byte on every port, verified likewise).
Exim's `${...}` is not run, but for `${if exists{FILE}{FILE}{0}}`.""",
}
