"""The table of relaying: clients, recipients, settings, and the recipients that each client reaches under each setting.

A recipient is what stands between the brackets of RCPT; behind it is the domain that its mail may go to, whatever else
is written in it.
"""

OWN, RELAY, OTHER = "own.test", "relay.test", "other.test"

#: Who connects, by the address that its socket has.
CLIENTS = {
    "loopback": ("127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"),
    "own network": ("172.17.0.5", "::ffff:172.17.0.5", "fd00:17::5", "fd00:17::5%eth0"),
    "relay network": ("198.51.100.7", "::ffff:198.51.100.7", "2001:db8:5::1", "::ffff:c633:6407"),
    "excluded": ("198.51.100.66", "::ffff:198.51.100.66"),
    "stranger": (
        "127.0.0.2",
        "::ffff:127.0.0.2",
        "203.0.113.9",
        "::ffff:203.0.113.9",
        "2001:db8:bad::1",
        # Link-local: the same on every link.
        "fe80::1",
        "fe80::1%eth0",
        "169.254.0.1",
        # Addresses that look like ours, or have one of ours in them.
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "::ffff:0:127.0.0.1",
        "0.0.0.0",
        "::",
        "172.18.0.5",
        "fd00:18::5",
        "2001:db8:6::1",
        "198.51.101.7",
        # No address: the peer of a Unix socket.
        "",
        "localhost",
    ),
}

#: Recipients by what they are, each with the domain its mail may go to.
RECIPIENTS = {
    "user": {
        "bob@own.test": OWN,
        "BOB@Own.TEST": OWN,
        '"bob"@own.test': OWN,
        '"b\\ob"@own.test': OWN,
        "bob@own\u3002test": OWN,
        "bob@\uff4f\uff57\uff4e.test": OWN,
        # RFC 5321 section 4.1.1.3: the route is stripped, whoever is on it.
        "@other.test:bob@own.test": OWN,
        "@own.test,@other.test:bob@own.test": OWN,
    },
    "nobody": {
        "eve@own.test": OWN,
        "@other.test:eve@own.test": OWN,
        "a\uff20other.test@own.test": OWN,
        "a\uff05other.test@own.test": OWN,
        "other.test\uff01a@own.test": OWN,
    },
    "postmaster": {"postmaster": "", "PostMaster": "", '"postmaster"': "", "@other.test:postmaster": ""},
    "postmaster here": {"postmaster@own.test": OWN, "POSTMASTER@OWN.TEST": OWN},
    "relay domain": {
        "x@relay.test": RELAY,
        "x@RELAY.Test": RELAY,
        '"x y"@relay.test': RELAY,
        "@other.test:x@relay.test": RELAY,
        "postmaster@relay.test": RELAY,
        "x@b\u00fccher.test": "xn--bcher-kva.test",
        "x@B\u00dcCHER.test": "xn--bcher-kva.test",
        "x@xn--bcher-kva.test": "xn--bcher-kva.test",
        "x@XN--BCHER-KVA.TEST": "xn--bcher-kva.test",
        "x@sub.wild.test": "sub.wild.test",
        "x@a.b.wild.test": "a.b.wild.test",
        "a\uff20other.test@relay.test": RELAY,
    },
    "elsewhere": {
        "a@other.test": OTHER,
        "bob@other.test": OTHER,
        "postmaster@other.test": OTHER,
        "@own.test:a@other.test": OTHER,
        "@relay.test:a@other.test": OTHER,
        "@own.test,@relay.test:a@other.test": OTHER,
        '"a b"@other.test': OTHER,
        # Below and around our domains.
        "bob@sub.own.test": "sub.own.test",
        "x@sub.relay.test": "sub.relay.test",
        "x@wild.test": "wild.test",
        "x@notwild.test": "notwild.test",
        "x@evilrelay.test": "evilrelay.test",
        "x@evil-relay.test": "evil-relay.test",
        "bob@own.test.other.test": "own.test.other.test",
        "bob@own": "own",
        "x@bucher.test": "bucher.test",
        "x@xn--own-test.other.test": "xn--own-test.other.test",
        # Our own name, and names and numbers that might be us.
        "bob@mx.example.test": "mx.example.test",
        "bob@localhost.localdomain": "localhost.localdomain",
        "bob@127.0.0.1": "127.0.0.1",
        "bob@2130706433": "2130706433",
        "bob@0x7f000001": "0x7f000001",
    },
    # Taken of those who may send anywhere, and read as they mean it.
    "forgiven": {
        "root": "mx.example.test",
        "bob": "mx.example.test",
        "a@other.test.": OTHER,
        "x@relay.test.": RELAY,
        "root@my_host": "my_host",
        "bob@[203.0.113.9]": "[203.0.113.9]",
    },
    # Taken of the same clients, if mail may go there at all.
    "private literal": {
        "bob@[127.0.0.1]": "[127.0.0.1]",
        "bob@[IPv6:::1]": "[IPv6:::1]",
        "bob@[ipv6:::1]": "[IPv6:::1]",
        "bob@[IPv6:::ffff:127.0.0.1]": "[IPv6:::ffff:7f00:1]",
        "postmaster@[127.0.0.1]": "[127.0.0.1]",
    },
    # Never taken, whoever asks: what made other mailers send on, and what is no address.
    "trick": dict.fromkeys(
        (
            "a%other.test@own.test",
            "bob%own.test@own.test",
            "a%other.test@relay.test",
            "a%own.test@other.test",
            "a%other.test",
            "postmaster%other.test@own.test",
            "bob%40other.test@own.test",
            "@own.test:a%other.test@own.test",
            '"a%other.test"@own.test',
            '"a@other.test"@own.test',
            '"a@other.test"@relay.test',
            '"a@other.test"@other.test',
            '"a\\@other.test"@own.test',
            "a@other.test@own.test",
            "a@own.test@other.test",
            "a@other.test@relay.test",
            "bob@own.test@own.test",
            "a\\@other.test@own.test",
            "other.test!a@own.test",
            "other.test!a@relay.test",
            "own.test!bob@other.test",
            '"other.test!a"@own.test',
            "other.test!a",
            "@own.test:@other.test:a@relay.test",
            "@own.test",
            "@other.test:@own.test",
            "bob@[own.test]",
            "bob@[127.0.0.1",
            "bob@127.0.0.1]",
            "bob@[]",
            "bob@.own.test",
            "bob@own..test",
            "bob@own%2etest",
            "bob@own.test%2f",
            "x@relay_.test/",
            "bob@own.test:25",
            "bob@own.test,a@other.test",
            "bob@own.test;a@other.test",
            "bob@own.test(a@other.test)",
            "bob@",
            "@",
            "postmaster@",
            "|/bin/sh@own.test",
            '"|/bin/sh"@own.test',
            "/etc/passwd@own.test",
            "../../etc/passwd@own.test",
            "./bob@own.test",
            "`id`@own.test",
            "#1@own.test",
            "bob&a@own.test",
            "bob?a@own.test",
            "=?utf-8?q?bob?=@own.test",
            "bob\x00@own.test",
            "bob@own.test\x00other.test",
            "bob\u202e@own.test",
            "bob@own.test\u2028",
            "bob\ufeff@own.test",
            "a@other\uff20own.test",
        ),
        "",
    ),
}

_OWN = {"OTHER_HOSTNAMES": OWN}
_RELAY = {"RELAY_DOMAINS": f"{RELAY} : *.wild.test : b\u00fccher.test", **_OWN}
_NETWORKS = {"RELAY_NETWORKS": ":!198.51.100.66:198.51.100.0/24:2001::db8::5::::/48", **_RELAY}
_SMARTHOST = {"SMARTHOST_ADDRESS": "smart.test", **_NETWORKS}

_TRUSTED = {"loopback", "own network"}
_HERE = {"postmaster", "user", "postmaster here"}

#: By the name of some settings: the environment, who may send anywhere, and what the rest of the world may reach.
#: Whoever may send anywhere reaches all but tricks, and users of ours that are not there.
SETTINGS = {
    "nothing set": ({}, _TRUSTED, {"postmaster"}),
    "no interface": ({"NET_DEV": "none0"}, {"loopback"}, {"postmaster"}),
    "OTHER_HOSTNAMES": (_OWN, _TRUSTED, _HERE),
    "RELAY_DOMAINS": (_RELAY, _TRUSTED, {*_HERE, "relay domain"}),
    "RELAY_NETWORKS": (_NETWORKS, {*_TRUSTED, "relay network"}, {*_HERE, "relay domain"}),
    "a network in place of all": (
        {"RELAY_NETWORKS": "198.51.100.0/24 ; 2001:db8:5::/48", "NET_DEV": "none0"},
        {"loopback", "relay network", "excluded"},
        {"postmaster"},
    ),
    "all but one": (
        {"RELAY_NETWORKS": "!198.51.100.66 ; !2001:db8:bad::/48"},
        _TRUSTED,
        {"postmaster"},
    ),
    "a smarthost": (_SMARTHOST, {*_TRUSTED, "relay network"}, {*_HERE, "relay domain"}),
    "Gmail": ({"GMAIL_USER": "u", "GMAIL_PASSWORD": "p", **_OWN}, _TRUSTED, _HERE),
    "SES": ({"SES_USER": "u", "SES_PASSWORD": "p", **_RELAY}, _TRUSTED, {*_HERE, "relay domain"}),
    "everyone has a mailbox": ({"LOCAL_DELIVERY": "maildir-create", **_OWN}, _TRUSTED, {*_HERE, "nobody"}),
    "a mail store": ({"LOCAL_DELIVERY": "lmtp:store.test:24", **_OWN}, _TRUSTED, {*_HERE, "nobody"}),
    "private destinations": ({"PRIVATE_DESTINATIONS": "allow", **_RELAY}, _TRUSTED, {*_HERE, "relay domain"}),
    "another port out": ({"SMTPPORTOUT": "2525", **_RELAY}, _TRUSTED, {*_HERE, "relay domain"}),
    "several workers": ({"WORKERS": "4", **_RELAY}, _TRUSTED, {*_HERE, "relay domain"}),
    "IPv4 alone": ({"DISABLE_IPV6": "yes", **_RELAY}, _TRUSTED, {*_HERE, "relay domain"}),
}
#: What asks for an open relay, which the log warns of at each start.
OPEN = ({"RELAY_NETWORKS": "*"}, {"RELAY_DOMAINS": "*"}, {"RELAY_NETWORKS": "0.0.0.0/0 ; ::/0"})
