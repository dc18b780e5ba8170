"""`smtprelay run`: becomes the relay in the foreground, as `twistd -n --pidfile= smtprelay` does.

twistd itself searches all installed packages for plugins and keeps a list of them beside its own, which often only root
can write. This command names the one plugin, and needs neither search nor list.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mta.cli.environment import env_file_option, relay_environment
from mta.config.setting import SettingsError
from mta.daemon.garbage import imports_without_search
from mta.reactor.late_modules import load_late

if TYPE_CHECKING:
    from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]


@click.command()
@env_file_option
def run() -> None:
    """Run the relay in the foreground until a signal stops it.

    SIGTERM and SIGINT stop it; SIGHUP has it read certificates, keys, users and rules again. The log goes to standard
    output, and the exit status is 78 if a setting is wrong. `twistd smtprelay` runs the same relay, with the options of
    twistd.
    """
    with imports_without_search():
        # Twisted imports it for older programs, with all of urllib and of email. It takes 1 MB (measured).
        load_late("http.cookiejar")
        from twisted.scripts.twistd import runApp  # noqa: PLC0415

        from mta.daemon.process_end import fail  # noqa: PLC0415

        options = _relay_only()
    try:
        os.environ.update(relay_environment())
    except SettingsError as error:
        fail(*error.mistakes, status=os.EX_CONFIG)
    try:
        options.parseOptions(["--nodaemon", "--pidfile=", "smtprelay"])
        runApp(options)
    except OSError as error:
        fail(f"the relay cannot start: {error}")


def _relay_only() -> "ServerOptions":
    """Return the options of twistd, with the relay as the only plugin."""
    from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # noqa: PLC0415

    from twisted.plugins.smtprelay import serviceMaker  # noqa: PLC0415

    class RelayOnly(ServerOptions):
        """These options."""

        @property
        def subCommands(self) -> Iterator[tuple[str, None, Callable[[], Any], str]]:  # noqa: N802  Twisted names it
            """Yield the relay's subcommand, and keep its plugin where twistd looks for it."""
            self.loadedPlugins = {serviceMaker.tapname: serviceMaker}  # noqa: N815  Twisted names it
            yield serviceMaker.tapname, None, serviceMaker.options, serviceMaker.description

    return RelayOnly()
