#!/usr/bin/python3 -I
"""The smtprelay command, and with links to it sendmail, mailq and newaliases."""

import sys

sys.path.insert(0, "/usr/share/smtprelay")

from mta.cli.main import main

main()
