"""A model of the login in a server's session, which follows the driver's answers and judges the machine's events."""

from mta.smtp.replies import Reply
from mta.smtp.server.auth import MAX_RESPONSE
from mta.smtp.server.events import AuthBegin, AuthResponse, Closed, CommandRefused, Event, MailFrom

RESPONSE_TOO_LONG = "5.5.6"


class LoginModel:
    """Knows whether the client has logged in, and whether it was given a challenge that it has not responded to."""

    def __init__(self, *, required: bool) -> None:
        self._required = required
        self._logged_in = False
        self.challenged = False

    def check(self, event: Event) -> None:
        """Demand that the machine may pass on this event now."""
        match event:
            case AuthBegin():
                assert not self._logged_in, "a second login"
            case AuthResponse(data):
                assert self.challenged, "a response without a challenge"
                assert len(data) < MAX_RESPONSE
            case CommandRefused(reply=reply):
                assert reply.status != RESPONSE_TOO_LONG or self.challenged
            case MailFrom():
                assert self._logged_in or not self._required, "mail without a login"
            case _:
                pass
        if self.challenged:
            assert isinstance(event, AuthResponse | CommandRefused | Closed), "a command in place of a response"
            assert not isinstance(event, CommandRefused) or event.command == "AUTH"
        self.challenged = False

    def answered(self, event: Event | None, reply: Reply) -> None:
        """Take the driver's answer to an event."""
        if isinstance(event, AuthBegin | AuthResponse):
            self.challenged = reply.code == 334
            self._logged_in = reply.code == 235

    def tls_started(self) -> None:
        """Forget the login, as the server must."""
        self._logged_in = False
