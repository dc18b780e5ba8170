"""Tests the reading and writing of keys and of their DNS records."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mta.dkim.keys import KeyFormatError, dns_record, new_key, public_tag, read_key, record_name, to_pem

OPEN = serialization.NoEncryption()


def pem(private, form=serialization.PrivateFormat.PKCS8, locked=OPEN):
    return private.private_bytes(serialization.Encoding.PEM, form, locked)


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_a_key_that_was_written_is_read_back(type):
    key = new_key("s1", type)
    again = read_key("s1", to_pem(key))
    assert (again.type, again.bits, public_tag(again)) == (type, key.bits, public_tag(key))
    assert again.weakness == ""


def test_the_older_form_of_rsa_keys_is_read():
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = read_key("s1", pem(private, serialization.PrivateFormat.TraditionalOpenSSL))
    assert key.algorithm == "rsa-sha256"


def test_1024_bits_work_and_are_called_weak():
    assert "1024 bits is weak" in read_key("s1", to_pem(new_key("s1", "rsa", 1024))).weakness


# The library makes none so short, so this one is OpenSSL's.
SHORT = b"""-----BEGIN RSA PRIVATE KEY-----
MIIBOQIBAAJBAMFXqCviFTWZi6R6pSiQ6BTz5O+CBfj1j6YAivmEGFLXuNA+ciDN
wQulE5fIpEWZwnuTekf24v3CJH5uymgjU8ECAwEAAQJAGBKx/cTIn0Pe/zvGFKb2
PqWfe7LUy4rHuAOZSjgIT0gU8gRdIck0g/rBC4fJhm2QJFJnTcFgLXmuj+WL7xA6
AQIhAP6z+pAUeME9lJ1C8HlSDym0eWVi5waKidi8Dnp8VO+NAiEAwlOw1c7k3UIK
R/Qw2zIQaglH5bSZ9xcNQGpneG9wvgUCID2oYhqo6gaVmrlrL/2ekM8ewlh51cVu
mioedD7QhFstAiB3Dn9Q/ykIxeU2oE0ufkXAMV9zRGrwD5d217n894nDYQIgbJc9
Sl6/DL5hYYt0wxMaX1Zz/P8VQJ/Wk5RAl13wPUk=
-----END RSA PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no private key in PEM form"),
        (b"\xff\x00junk", "no private key in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519 key"),
        (
            pem(ec.generate_private_key(ec.SECP256R1()), locked=serialization.BestAvailableEncryption(b"secret")),
            "encrypted",
        ),
        (SHORT, "receivers ignore RSA keys under 1024 bits and this has 512"),
    ],
)
def test_octets_that_are_not_a_usable_key_are_rejected_with_a_remedy(content, words):
    with pytest.raises(KeyFormatError, match=words) as caught:
        read_key("s1", content)
    assert "\n" not in str(caught.value)


def test_the_record_holds_the_public_key_as_each_standard_wants_it():
    key = new_key("s1", "ed25519")
    assert dns_record(key) == f"v=DKIM1; k=ed25519; p={public_tag(key)}"
    # RFC 8463 section 4: 32 octets and nothing around them.
    assert len(base64.b64decode(public_tag(key))) == 32
    wrapped = base64.b64decode(public_tag(new_key("s1", "rsa")))
    assert serialization.load_der_public_key(wrapped).key_size == 2048
    assert record_name("example.org", "s1") == "s1._domainkey.example.org"
