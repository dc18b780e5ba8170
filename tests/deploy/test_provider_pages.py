"""The tables of errors in the pages of Microsoft 365 and Gmail: mail waits, and the relay has advice of its own."""

import re

import pytest

from mta.delivery.replies.login_hints import REFUSALS
from mta.delivery.replies.smarthost_refusals import OwnSmarthost
from mta.delivery.replies.throttling import limit_of
from mta.oauth.advice import advice
from mta.oauth.answers import TokenRefused
from mta.oauth.grants import Provider, RefreshToken
from mta.routing.route import Route, TokenCredentials
from mta.smtp.replies import Reply
from tests.deploy.manifests import ROOT
from tests.fakes.smarthosts import SMARTHOST

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("microsoft365", "gmail")}
GRANT = RefreshToken("https://login.test/token", "id", "", "token", provider=Provider.MICROSOFT)
ROUTE = Route("smtp.test", "192.0.2.1", 587, credentials=TokenCredentials("a@x.test", "O365"), smarthost=SMARTHOST)
# The first cells of the tables that quote a remote.
CELLS = [cell for page in PAGES.values() for cell in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)]
QUOTED = [quote for cell in CELLS for quote in re.findall(r"`([^`]*)`", cell)]
NUMBERS = sorted({number for quote in QUOTED for number in re.findall(r"AADSTS(\d+)", quote)})
REPLIES = [quote for quote in QUOTED if re.match(r"[45]\d\d\b", quote)]


def words_of(number: str) -> str:
    return advice(TokenRefused("invalid_grant", f"invalid_grant: AADSTS{number}: words"), GRANT)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_relay_has_advice_of_its_own_for_each_number_of_microsoft(number: str) -> None:
    assert words_of(number) != words_of("9999999")


def test_the_tables_have_numbers_and_replies() -> None:
    assert len(NUMBERS) > 10
    assert len(REPLIES) > 10


@pytest.mark.parametrize("quote", REPLIES)
def test_mail_waits_after_each_reply_of_the_tables(quote: str) -> None:
    match = re.fullmatch(r"(\d\d\d) ?(\d\.\d+\.\d+)? ?(.*)", quote)
    assert match is not None
    reply = Reply(int(match[1]), match[2] or "", (match[3],))
    # A reply to AUTH is never final.
    to_login = any(re.search(refusal.pattern, quote, re.IGNORECASE) for refusal in REFUSALS)
    waits = OwnSmarthost(ROUTE, SMARTHOST).advice(reply, to_mail=False) or limit_of(reply) or to_login
    assert reply.code < 500 or waits
