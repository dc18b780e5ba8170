"""Smarthosts for tests whose routes need one."""

from mta.routing.route import Smarthost, TlsRule

#: The smarthost of SMARTHOST_ADDRESS, which is shown the client certificate if there is one.
SMARTHOST = Smarthost((("smtp.test", 587),), TlsRule.VERIFY, client_certificate=True)
