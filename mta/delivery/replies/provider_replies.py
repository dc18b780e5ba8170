"""Replies of providers and block lists that every operator meets: their usual meaning and remedy, as data.

The facts come from the public document that each group of rows names; the words are this project's. Every repetition
in a pattern is bounded.
"""

from mta.delivery.replies.common_replies import all_rows, known, status

_GUIDELINES = "Follow Google's sender guidelines, and look at the address and the domain in Google Postmaster Tools."
_DNS_RECORDS = "Publish it in the DNS of the domain in From, then retry."

_GMAIL = known(
    "Google, Gmail SMTP errors and codes",
    (
        r"\bunusual rate of (?:unsolicited|spam|mail|email)|(?<![\d.])4\.7\.28(?!\.?\d)",
        "Gmail sees an unusual amount of unwanted mail from this address, domain or link and limits its rate.",
        f"Wait, send less, and end the cause of complaints. {_GUIDELINES}",
    ),
    (
        r"\bvery low reputation of the sending (?:ip|domain)",
        "Gmail has a bad opinion of this address or of the sender's domain.",
        _GUIDELINES,
    ),
    (
        r"\bipv6 sending guidelines",
        "Mail over IPv6 needs a PTR record of the outgoing address and a pass of SPF or DKIM, and lacks one of them.",
        "Set the PTR record of the IPv6 address and its SPF entry, or set DISABLE_IPV6 until that is done.",
    ),
    (
        rf"\bip address sending this message does not have a ptr\b|{status('7.23', '7.25')}.{{0,300}}gsmtp",
        "Gmail finds no PTR record for the outgoing address, or its name does not lead back to the address.",
        "Have the provider of the address set its PTR record to MAILNAME, and give that name the same address.",
    ),
    (
        r"\bunauthenticated email from\b|\bdue to domain's dmarc policy",
        "The message does not pass DMARC, and the domain in From asks for the refusal of such mail.",
        "Sign with DKIM for the domain in From, or add this relay's address to its SPF record.",
    ),
    (
        status("7.26"),
        "Neither SPF nor DKIM passes for the sender, so the message is refused.",
        (
            "Add this relay's address to the SPF record of the sender's domain, and sign with DKIM (smtprelay dkim"
            " keygen)."
        ),
    ),
    (
        rf"{status('7.27')}.{{0,300}}(?:\bspf\b|gsmtp)",
        "SPF does not pass: the record of the sender's domain does not permit this relay's address.",
        "Add this relay's outgoing address to the SPF record of the domain in MAIL FROM.",
    ),
    (
        rf"{status('7.30')}.{{0,300}}(?:\bdkim\b|gsmtp)",
        "The DKIM signature is missing or does not verify.",
        "Compare the relay's key with the DNS (smtprelay dkim check), and see that the mail is signed.",
    ),
    (
        rf"{status('7.31', '7.40')}.{{0,300}}(?:\bdmarc\b|gsmtp)",
        "The domain in From has no DMARC record, or one without a policy.",
        f"The least record is _dmarc TXT v=DMARC1; p=none. {_DNS_RECORDS}",
    ),
    (
        rf"{status('7.32')}",
        "SPF or DKIM pass for another domain than the one in From, so they do not count for DMARC.",
        "Sign with a DKIM key of the domain in From, or send with MAIL FROM in that domain.",
    ),
    (
        rf"{status('7.29')}.{{0,300}}(?:\btls\b|gsmtp)",
        "Gmail takes mail of this sender only inside TLS.",
        "Leave TLS on, and look for a firewall between here and Gmail that removes STARTTLS.",
    ),
    (
        r"\blikely (?:unsolicited|suspicious)|\bdetected that this message is (?:likely )?(?:unsolicited|suspicious)",
        "Gmail considers the message spam, by its content, its links or the history of the address.",
        f"Compare it with mail that arrives. {_GUIDELINES}",
    ),
    (
        r"\b421\b.{0,20}(?<![\d.])4\.7\.0(?!\.?\d).{0,120}(?:try again later|temporary).{0,200}(?:gsmtp|closing)",
        "Gmail does not take the connection or the message now, because of load or of doubts about the sender.",
        "Wait: the relay tries again by its schedule. If it lasts, look at SPF, DKIM and PTR of the sender.",
    ),
    (
        r"\bapplication-specific password required\b|(?<![\d.])5\.7\.9(?!\.?\d).{0,200}gsmtp",
        "The Google account has two-step verification and takes no ordinary password here.",
        "Make an app password for the account and set it as SMARTHOST_PASSWORD, or log in with a token.",
    ),
    (
        r"\bdaily (?:user )?sending (?:limit|quota)|\bdaily smtp relay limit",
        "The Google account has sent as much as it may in 24 hours.",
        "Wait: the limit ends within a day. Use an account or relay service with a higher limit.",
    ),
    (
        r"\binvalid credentials for relay\b",
        "The relay service of Google Workspace does not know this address or login.",
        "Add the outgoing address to the SMTP relay service in the Admin console, or log in.",
    ),
    (
        r"\bpotential security issue\b|\bblocked because its content\b",
        "Gmail refuses the type of an attachment or a link in the message.",
        "Have the sender leave out programs and encrypted archives, and share them in another way.",
    ),
)

_EXCHANGE = known(
    "Microsoft, Email nondelivery reports in Exchange Online",
    (
        r"\bsmtpclientauthentication is disabled",
        "Authenticated SMTP is off for the tenant or the mailbox.",
        "Have the administrator turn it on for the mailbox: Set-CASMailbox -SmtpClientAuthenticationDisabled $false.",
    ),
    (
        r"(?<![\d.])5\.7\.139(?!\.?\d)",
        "Microsoft 365 refuses the login: a wrong password, security defaults, or a rule of conditional access.",
        "Check the login; if it is right, log in with a token (O365_CLIENT_ID), and look at the sign-in log of Entra.",
    ),
    (
        r"\bbasic authentication is (?:disabled|not supported)",
        "Microsoft 365 accepts no passwords here any more.",
        "Log in with a token: set O365_USER and O365_CLIENT_ID.",
    ),
    (
        r"(?<![\d.])5\.7\.57(?!\.?\d)|\bnot authenticated to send\b",
        "The host takes mail only from clients that have logged in, and this relay did not.",
        "Set the login of the smarthost, or send to the MX host of the tenant over a connector.",
    ),
    (
        r"(?<![\d.])5\.7\.60(?!\.?\d)|\bsendasdenied\b|\bpermissions to send as this sender",
        "The mailbox that has logged in may not send with this sender's address.",
        "Give the mailbox the right SendAs for that address, or have the application use the mailbox's own address.",
    ),
    (
        r"(?<![\d.])5\.7\.708(?!\.?\d)",
        "The tenant sends from an address with a low reputation, as new and trial tenants do.",
        "Have the administrator of the tenant ask Microsoft's support to verify it.",
    ),
    (
        r"(?<![\d.])5\.7\.(?:705|750)(?!\.?\d)|\btenant has exceeded threshold",
        "The tenant has sent too much spam or mail of unregistered domains, so its mail is blocked.",
        "Find the account or connector that was misused, then have Microsoft's support lift the block.",
    ),
    (
        r"(?<![\d.])5\.1\.8(?!\.?\d).{0,120}\b(?:bad outbound sender|access denied)|(?<![\d.])5\.7\.50[1-8](?!\.?\d)",
        "The sender's account is blocked because it sent mail that looked like spam.",
        "Secure the account, then remove it from the restricted entities in the Defender portal.",
    ),
    (
        r"(?<![\d.])5\.7\.509(?!\.?\d)",
        "The domain in From does not pass DMARC, and its policy asks for refusal.",
        "Sign with DKIM for the domain in From, or add this relay's address to its SPF record.",
    ),
    (
        r"(?<![\d.])5\.7\.511(?!\.?\d)|\bbanned sender\b",
        "The outgoing address is banned, and only Microsoft can lift the ban.",
        "Forward the report to delist@microsoft.com, with the address in the reply.",
    ),
    (
        r"(?<![\d.])5\.7\.6(?:0[6-9]|[1-4]\d)(?!\.?\d)|\bbanned sending ip\b",
        "The outgoing address is on Microsoft's own block list.",
        "Ask for its removal at https://sender.office.com, after the cause has ended.",
    ),
    (
        r"(?<![\d.])4\.7\.(?:5\d\d|6[0-4]\d)(?!\.?\d)",
        "Microsoft 365 takes less from this address for now, because it is new, sends unusually much, or is suspect.",
        "Wait: the limit ends by itself. Keep the volume even, and let the relay send more slowly.",
    ),
    (
        r"(?<![\d.])5\.7\.64(?!\.?\d)|\btenantattribution\b",
        "No connector of the tenant fits this relay's address or certificate.",
        "Compare address and certificate with the inbound connector in the Exchange admin center.",
    ),
    (
        r"(?<![\d.])5\.4\.1(?!\.?\d).{0,400}\brecipient address rejected: access denied",
        "The tenant has no recipient with this address.",
        "Have the sender correct the address; if it is right, the administrator of the tenant must add it.",
    ),
)

_OUTLOOK = known(
    "Microsoft, Outlook.com Postmaster",
    (
        r"(?<![\d.])5\.7\.515(?!\.?\d)|\brequired authentication level\b",
        "Outlook.com wants SPF, DKIM and DMARC of a domain that sends much, and one of them does not pass.",
        "Publish SPF, DKIM and DMARC of the domain in From, and see that SPF or DKIM pass for that domain.",
    ),
    (
        r"\b(?:as|s)\(?31[1-5]0\b|\bpart of their network is on our block ?list",
        "The outgoing address, or the network around it, is on the block list of Outlook.com.",
        "Ask for removal by the form at https://olcsupport.office.com, and watch the address in SNDS.",
    ),
    (
        r"\(s775\)|(?<![\d.])4\.7\.65\d(?!\.?\d)|\brate limited due to ip reputation",
        "Outlook.com takes little mail from this address because of its reputation.",
        "Wait, keep the volume even, and watch the address in SNDS.",
    ),
    (
        r"\brp-00[1-3]\b",
        "Outlook.com limits the rate or the connections of this address.",
        "Wait: the relay sends more slowly by itself.",
    ),
)

# After the block lists, because replies about those carry such a code too.
_ANTISPAM_CODES = known(
    "Microsoft, Anti-spam message headers and codes of Exchange Online Protection",
    (
        r"\bas\(?\d{3,12}\)|\(s\d{3,9}\)",
        "A filter of Exchange Online Protection decided; the AS or S number is its name for the rule.",
        "Read the words before the number. The administrator of the recipient's tenant can trace the message by it.",
    ),
)

_YAHOO = known(
    "Yahoo, Sender Hub: SMTP error codes",
    (
        r"\[tss09\]|\[ts03\]|\bpermanently deferred\b",
        "Yahoo takes no mail from this address until its reputation is better.",
        "End the cause of the complaints, then use the form of Yahoo's Sender Hub.",
    ),
    (
        r"\[tss?0[1-8]\]",
        "Yahoo defers mail from this address, because of its volume or of complaints by users.",
        "Wait and send less, only to people who asked for the mail. The deferral ends after some quiet hours.",
    ),
    (
        r"\[(?:bl|phb?)\d\d\]",
        "Yahoo refuses the address because of a block list, or the message because of a link in it.",
        "Look the address up at https://check.spamhaus.org, and check the links in the message.",
    ),
    (
        r"\bnot accepted for policy reasons\b",
        "Yahoo refuses the message: it fails authentication, or its content is suspect.",
        "See that SPF and DKIM pass for the domain in From.",
    ),
)

_SES = known(
    "Amazon, SES Developer Guide: SMTP response codes and quotas",
    (
        r"\bmaximum sending rate exceeded\b",
        "The account sends more messages a second than its quota.",
        "Wait: the relay slows down by itself. Ask for a higher rate in the console, or set a rate in a rule.",
    ),
    (
        r"\bdaily message quota exceeded\b",
        "The account has sent as many messages as it may within 24 hours.",
        "Wait: the count is over any 24 hours. Ask for a higher quota in the console.",
    ),
    (
        r"\b454\b.{0,30}\btemporary (?:authentication failure|service failure)",
        "Amazon SES has a temporary trouble of its own.",
        "Wait: the relay tries again by its schedule.",
    ),
    (
        r"\bemail address is not verified\b|\bnot verified\. the following identities",
        "Amazon SES does not know the sender's domain in this region, or the account is still in the sandbox.",
        "Verify the domain of the sender in this region; in the sandbox, recipients must be verified too.",
    ),
    (
        r"\bnot authorized to perform\b",
        "The user of the SMTP credentials lacks the right to send.",
        "Allow ses:SendRawEmail for the identity in the policy of that IAM user.",
    ),
    (
        r"\bsending (?:is )?paused\b|\baccount is (?:currently )?(?:paused|suspended|under review)",
        "Amazon has stopped the sending of this account, mostly because of bounces or complaints.",
        "Read the message of AWS in the console under Account health, and answer it there.",
    ),
)

_FILTERS = known(
    "Spamhaus, Blocklist FAQs",
    (
        r"\bdbl\.spamhaus|\bspamhaus dbl\b|\bspamhaus\.org/(?:dbl|query/domain)|\bhelo domain is listed in spamhaus",
        "A domain of the message or of this relay is on the Domain Blocklist of Spamhaus.",
        "Look the domain up at https://check.spamhaus.org and follow the steps there.",
    ),
    (
        r"\bpbl\b|\bspamhaus\.org/pbl",
        "The outgoing address is in a range from which no mail should come directly, such as homes and clouds.",
        "Send through a smarthost, or have the owner of the range take the address off the PBL.",
    ),
    (
        r"\bspamhaus\b",
        "The outgoing address is on a block list of Spamhaus, because spam came from it or its network.",
        "Look it up at https://check.spamhaus.org, end the cause, and ask for removal there.",
    ),
)

_OTHERS = all_rows(
    known(
        "SpamCop, FAQ about the blocking list",
        (
            r"\bspamcop\b",
            "Spam from the outgoing address was reported to SpamCop.",
            "Find its source; the entry ends by itself about a day after the last report.",
        ),
    ),
    known(
        "Barracuda, Barracuda Reputation Block List",
        (
            r"\bbarracuda",
            "The outgoing address has a poor reputation at Barracuda.",
            "Ask for removal at https://www.barracudacentral.org/rbl/removal-request.",
        ),
    ),
    known(
        "Apple, Postmaster information for iCloud Mail",
        (
            r"\[(?:cs|hm|hr)\d\d\]",
            "iCloud refuses the message by its content or by the reputation of the sender.",
            "See that SPF, DKIM and DMARC pass and that recipients asked for the mail, then write to its postmaster.",
        ),
    ),
    known(
        "Proofpoint, Dynamic Reputation IP lookup",
        (
            r"\bproofpoint\b|\bpdr\b.{0,80}\bblock",
            "The outgoing address has a poor reputation at Proofpoint.",
            "Look it up at https://ipcheck.proofpoint.com and ask for removal there.",
        ),
    ),
    known(
        "Deutsche Telekom, Postmaster FAQ of T-Online",
        (
            r"\btosa@rx\.t-online\.de\b",
            "T-Online does not know this address as a mail server of a named operator.",
            (
                "Give the address a PTR record that names its operator, with a web page there, and write to the"
                " address in"
                " the reply."
            ),
        ),
    ),
    known(
        "Twilio SendGrid, SMTP errors and troubleshooting",
        (
            r"\bmaximum credits exceeded\b",
            "The account at SendGrid has used up its messages.",
            "Wait for the next period, or buy a larger plan.",
        ),
        (
            r"\bverified sender identity\b",
            "SendGrid does not know the address in From as one of this account.",
            "Verify the sender or its domain in the account.",
        ),
    ),
)

#: In this order the first row that fits decides, before the common ones.
PROVIDER_REPLIES = all_rows(_SES, _YAHOO, _OUTLOOK, _FILTERS, _GMAIL, _EXCHANGE, _OTHERS, _ANTISPAM_CODES)
