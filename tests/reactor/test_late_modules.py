"""Modules that are executed when they are used first."""

import subprocess
import sys

import pytest

from harness.daemon import ROOT


def printed(program: str) -> str:
    """Return the output of a program that has imported nothing of Twisted before."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


_LATE = """
import sys
from mta.reactor.late_modules import load_late
load_late("http.cookiejar")
from http import cookiejar
print("urllib.request" in sys.modules, end=" ")
print(cookiejar.CookieJar.__name__, "urllib.request" in sys.modules, end=" ")
import http.cookiejar
print(http.cookiejar.CookieJar is cookiejar.CookieJar)
"""


def test_a_module_is_executed_when_a_name_of_it_is_used():
    assert printed(_LATE) == "False CookieJar True True"


def test_a_module_that_was_imported_stays_as_it_is():
    program = (
        "import http.cookiejar\n"
        "from mta.reactor.late_modules import load_late\n"
        "before = vars(http.cookiejar)\n"
        "load_late('http.cookiejar')\n"
        "print(vars(http.cookiejar) is before)"
    )
    assert printed(program) == "True"


@pytest.mark.parametrize("name", ["http.no_such_module", "no_such_module"])
def test_a_module_that_does_not_exist_is_left_to_its_importer(name):
    assert printed(f"from mta.reactor.late_modules import load_late\nload_late({name!r})\nprint('done')") == "done"


def test_a_module_without_a_package_is_executed_when_a_name_of_it_is_used():
    program = (
        "import sys\n"
        "import mta.dns.client\n"
        "from mta.smtp.address import parse_domain\n"
        "print('idna.core' in sys.modules, parse_domain('b\xfccher.example'), 'idna.core' in sys.modules)"
    )
    assert printed(program) == "False xn--bcher-kva.example True"


def test_the_reactor_has_tls_whose_module_is_executed_when_it_is_used():
    program = (
        "import sys\n"
        "from mta.reactor.epoll import RelayReactor\n"
        "print('twisted.internet._sslverify' in sys.modules, end=' ')\n"
        "from twisted.internet.ssl import CertificateOptions\n"
        "from twisted.internet.interfaces import IReactorSSL\n"
        "print(CertificateOptions.__name__, IReactorSSL.implementedBy(RelayReactor))"
    )
    assert printed(program) == "False OpenSSLCertificateOptions True"


def test_a_module_that_puts_another_object_in_its_place_has_its_names():
    # The first use is no import of a name, but a look at one.
    program = (
        "import mta.reactor.epoll\n"
        "from twisted.internet import ssl\n"
        "print(ssl.__file__.endswith('ssl.py'), ssl.CertificateOptions.__name__)"
    )
    assert printed(program) == "True OpenSSLCertificateOptions"
