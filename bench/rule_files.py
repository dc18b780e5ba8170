"""Files of rules for measurements: twenty rules that all have something to do, and very many of one kind."""

from collections.abc import Iterator

#: Twenty rules, as a relay of a small company may have them. Each is asked about each message of the bench's senders;
#: the conditions of all [[rewrite]] rules hold, and no rule adds a recipient.
TWENTY = """\
[lists]
ours = ["example.test", "example.com", "*@*.example.test"]

[[acl]]
name = "no mail of former staff"
sender = ["old@example.test", "gone@example.test", "former-*@example.test"]
deny = "this address is not in use any more"

[[acl]]
name = "our senders"
client = "trusted"
unless.sender = ["+ours", "<>"]
deny = "senders at this relay are addresses of example.test"

[[acl]]
name = "the shop"
client = "10.0.3.0/24"
unless.sender = ["shop@example.test", "<>"]
deny = "the shop sends as shop@example.test"

[[acl]]
name = "the printers"
client = ["10.0.7.20", "10.0.7.21"]
unless.sender = "scan-*@example.test"
deny = "printers send as scan-<name>@example.test"

[[acl]]
name = "the test system writes to us only"
client = "10.0.9.0/24"
unless.recipient = "+ours"
deny = "the test system sends to example.test only"

[[acl]]
name = "the monitoring"
client = "10.0.11.5"
sender = "alerts@example.org"
accept = true

[[acl]]
name = "typing errors"
recipient = ["*@gmial.test", "*@hotmial.test", "*@outlok.test"]
deny = "this domain is a typing error"

[[acl]]
name = "names of dial-up hosts"
client = "stranger"
helo = ["*.dyn.test", "*.dialup.test"]
deny = "no dynamic names"

[[acl]]
name = "everyone at once"
recipient = "all@example.test"
unless.sender = "board@example.test"
deny = "only the board writes to all"

[[acl]]
name = "invoices are looked at"
header.Subject = ["*invoice*", "*rechnung*"]
unless.sender = "billing@example.test"
hold = true

[[acl]]
name = "large mail of the scanners"
client = "10.0.7.0/24"
larger = "20M"
deny = "552 5.3.4 scan with fewer dots per inch"

[[acl]]
name = "large mail"
larger = "40M"
deny = "552 5.3.4 too large"

[[rewrite]]
name = "names of hosts"
map = ["root@*.lan -> ops@example.com", "*@*.lan -> *@example.com", "*@example.test -> *@example.com"]

[[rewrite]]
name = "one author"
set.from = "Example Shop <noreply@example.com>"

[[rewrite]]
add.X-Environment = "production"

[[rewrite]]
client = "trusted"
add.X-Client = "{client}"

[[rewrite]]
sender = "*@example.com"
add.X-SES-CONFIGURATION-SET = "shop"

[[rewrite]]
unless.recipient = "*@customer.test"
add.X-Internal = "yes"

[[rewrite]]
remove = ["X-Mailer", "User-Agent", "X-Originating-IP"]

[[rewrite]]
hide = "client"
"""
#: Twenty rules of which all but the last ask about each recipient, also after the data, and apply to none.
_VIP = '[[acl]]\nrecipient = ["vip{0}@example.test", "*@far{0}.test"]\naccept = true\n'
BY_RECIPIENT = "".join(map(_VIP.format, range(19))) + '[[acl]]\nlarger = "20M"\ndeny = "too large"\n'


def many(count: int) -> str:
    """Return a file of so many rules of different kinds, each with conditions of its own."""
    return "\n".join(_rules(count))


def _rules(count: int) -> Iterator[str]:
    for number in range(count):
        match number % 4:
            case 0:
                yield f'[[acl]]\nname = "application {number}"\nclient = "10.{number % 250}.{number // 250}.0/24"'
                yield f'unless.sender = ["app{number}@example.com", "<>"]\ndeny = "send as app{number}@example.com"\n'
            case 1:
                yield f'[[acl]]\nsender = "*@customer{number}.test"\nrecipient = "sales{number}@example.com"'
                yield "accept = true\n"
            case 2:
                yield f'[[rewrite]]\nsender = "app{number}@host.lan"\nset.sender = "app{number}@example.com"\n'
            case _:
                yield f'[[rewrite]]\nname = "tag {number}"\nsender = "news{number}@example.com"'
                yield f'add.X-Tag = "tag-{number}"\nremove = ["X-Mailer", "User-Agent"]\n'
