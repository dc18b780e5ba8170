"""Makes `twistd smtprelay` known; everything else waits in mta.tap until it is asked for."""

from typing import Any

from twisted.application.service import ServiceMaker


class _RelayMaker(ServiceMaker):
    """Imports the relay without a search for garbage among all that is made by it."""

    @property
    def options(self) -> Any:
        """The options of `twistd smtprelay`, read by twistd when that is its subcommand."""
        from mta.daemon.garbage import imports_without_search  # noqa: PLC0415

        with imports_without_search():
            return super().options


serviceMaker = _RelayMaker("smtprelay", "mta.tap", "A mail relay with a durable queue.", "smtprelay")  # noqa: N816  twistd looks for this name
