"""Names and words of made-up mail: domains of .test and .example, people, subjects in several languages, replies."""

#: Domains by the share of the mail that goes to them. The first two are in trouble.
DOWN, THROTTLING = "stadtwerke-hafen.example", "freemail.test"
DOMAINS = {
    THROTTLING: 210,
    "postfach.example": 150,
    "mailhaus.example": 90,
    "inbox-one.test": 80,
    "northwind-trading.example": 40,
    "lakeside-clinic.example": 34,
    "uni-sonnenberg.example": 30,
    "bakery-sommer.example": 24,
    DOWN: 22,
    "atelier-moreau.example": 20,
    "granja-del-sol.example": 18,
    "ksiegarnia-wisla.example": 16,
    "reisebuero-meer.example": 15,
    "velo-atlantic.example": 14,
    "museum-am-park.example": 12,
    "kanzlei-brandt.example": 12,
    "school-of-music.example": 11,
    "greenhouse-supply.example": 10,
    "taverna-nikos.example": 9,
    "harbour-pilots.example": 9,
    "kiezbuchladen.example": 8,
    "orchard-press.example": 8,
    "zahnarzt-linde.example": 7,
    "fjord-ferries.example": 7,
    "lighthouse-hotel.example": 7,
    "weingut-steinberg.example": 6,
    "theatre-du-pont.example": 6,
    "alpenverein-nord.example": 6,
    "river-city-library.example": 5,
    "carpentry-olsen.example": 5,
    "cafe-meridian.example": 5,
    "observatory.example": 4,
}
_FIRST = ("nord", "süd", "berg", "wald", "mill", "stone", "maple", "silver", "blue", "old", "high", "clear")
_LAST = ("werk", "field", "house", "bridge", "garten", "tech", "studio", "print", "foods", "tools", "media", "care")
#: Domains of which each gets a message now and then.
SMALL_DOMAINS = tuple(f"{first.replace('ü', 'ue')}{last}.example" for first in _FIRST for last in _LAST)

PEOPLE = (
    "anna.becker",
    "lucas.martin",
    "sofia.rossi",
    "jan.kowalski",
    "emma.larsen",
    "nikos.papadakis",
    "maria.garcia",
    "tom.walker",
    "irina.petrova",
    "paul.schneider",
    "chloe.dubois",
    "mehmet.yilmaz",
    "olivia.smith",
    "henrik.olsen",
    "laura.weber",
    "pedro.silva",
    "kate.murphy",
    "jonas.keller",
    "eva.novakova",
    "sam.taylor",
    "info",
    "office",
    "bestellung",
    "accounts",
    "hello",
    "kontakt",
)

#: Senders: the local part, the name in From, the login ("": a trusted network), the client, the share, the subjects.
SENDERS = (
    (
        "shop",
        "Harbour Shop",
        "shop",
        "10.20.0.11",
        40,
        (
            "Your order {number} is on its way",
            "Order {number} confirmed",
            "Ihre Bestellung {number} wurde versandt",
            "Bestellbestätigung {number}",
            "Votre commande n° {number} a été expédiée",
            "Su pedido {number} está en camino",
            "Twoje zamówienie {number} zostało wysłane",
            "Ваш заказ {number} отправлен",
            "Η παραγγελία σας {number} εστάλη",  # noqa: RUF001 (Greek)
        ),
    ),
    (
        "billing",
        "Harbour Billing",
        "billing",
        "10.20.0.12",
        22,
        ("Invoice {number}", "Rechnung {number}", "Facture {number}", "Payment received for {number}, thank you"),
    ),
    (
        "no-reply",
        "Harbour Accounts",
        "accounts",
        "10.20.0.13",
        18,
        (
            "Confirm your address",
            "Your sign-in code is {code}",
            "Passwort zurücksetzen",
            "Réinitialisation de votre mot de passe",
        ),
    ),
    (
        "anna.becker",
        "Anna Becker",
        "anna.becker",
        "10.20.3.41",
        7,
        ("Re: Termin am Donnerstag", "Angebot {number}", "Fwd: Meeting notes", "Re: Re: delivery dates"),
    ),
    (
        "tom.walker",
        "Tom Walker",
        "tom.walker",
        "10.20.3.57",
        6,
        ("Re: contract draft", "Minutes of Tuesday's meeting", "Quote {number}", "Photos from the pier"),
    ),
    ("scanner", "Scanner 2nd floor", "", "10.20.8.4", 3, ("Scan {number} from the 2nd floor",)),
    ("monitoring", "Monitoring", "", "10.20.0.5", 4, ("Daily summary", "Backup finished: {number} files")),
)
HOME = "harbour.example"
NEWSLETTER = ("newsletter", "Harbour News", "newsletter", "10.20.0.14", "Frühlingsbrief: vierzig neue Titel am Kai")

#: Failures for good, with their share. `{to}` is the recipient, `{sender}` the domain of the sender.
FAILURES = (
    (40, "5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table"),
    (14, "5.2.2", "552 5.2.2 <{to}> The email account that you tried to reach is over quota"),
    (
        12,
        "5.7.26",
        (
            "550 5.7.26 Unauthenticated email from {sender} is not accepted due to domain's DMARC policy. Please"
            " contact the administrator of {sender} domain if this was a legitimate mail."
        ),
    ),
    (9, "5.7.1", "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org"),
    (8, "5.3.4", "552 5.3.4 Message size exceeds fixed limit"),
    (6, "5.7.1", "550 5.7.1 Message rejected as spam by Content Filtering"),
)
NO_DOMAIN = ("5.1.2", "domain {domain} does not exist")
MISSPELT = ("postfahc.example", "freemial.test", "mailhuas.example")
GREYLISTED = "450 4.2.0 <{to}>: Recipient address rejected: Greylisted, please try again later"
#: The trouble of the two destinations.
UNREACHABLE = "connection refused"
TOO_MUCH = (
    "421 4.7.28 [192.0.2.25 15] Our system has detected an unusual rate of unsolicited mail originating from your IP"
    " address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited."
)
TLS = ("TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384")
