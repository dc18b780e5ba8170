"""Certificate and key files: the pairs that are accepted, and the error text for the others."""

import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from harness.certificates import authority, self_signed
from mta.tls.keypair import CertificateError, read_pair

ROOT = authority()
LEAF = ROOT.leaf(["mx.example.test", "mail.example.test"])
DAY = 86400.0
NOW = LEAF.certificate.not_valid_after_utc.timestamp() - 20 * DAY


def refusal(certificate, key) -> str:
    with pytest.raises(CertificateError) as caught:
        read_pair(certificate, key)
    words = str(caught.value)
    assert "\n" not in words
    return words


def unencrypted(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def test_a_pair_is_read_and_names_its_hosts(tmp_path):
    pair = read_pair(*LEAF.write(tmp_path))
    end = f"{LEAF.certificate.not_valid_after_utc:%Y-%m-%d}"
    assert str(pair) == f"mx.example.test mail.example.test, until {end}"


@pytest.mark.parametrize("kind", ["rsa:2048", "ec"])
def test_files_made_by_openssl_are_accepted(tmp_path, kind):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    options = ["-newkey", kind] + (["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else [])
    command = [
        "openssl",
        "req",
        "-x509",
        *options,
        "-nodes",
        "-subj",
        "/CN=mx.test",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert str(read_pair(certificate, key)).startswith("CN=mx.test, until")


def test_certificate_and_key_may_share_a_file(tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(LEAF.certificate_pem + LEAF.key_pem)
    read_pair(both, both)


def test_a_key_of_another_certificate_is_refused_with_both_settings_named(tmp_path):
    certificate, _ = LEAF.write(tmp_path)
    _, key = self_signed(["other.test"]).write(tmp_path, "other")
    words = refusal(certificate, key)
    assert f"KEY_PATH={key}" in words
    assert f"CERTIFICATE_PATH={certificate}" in words


def test_a_chain_in_the_wrong_order_is_distinguished_from_a_wrong_key(tmp_path):
    certificate, key = LEAF.write(tmp_path)
    certificate.write_bytes(ROOT.certificate_pem + LEAF.certificate_pem)
    assert "does not come first" in refusal(certificate, key)


def test_an_encrypted_key_is_named_as_such(tmp_path):
    certificate, key = LEAF.write(tmp_path)
    key.write_bytes(
        LEAF.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    assert "encrypted" in refusal(certificate, key)


def test_a_key_of_a_kind_that_few_know_is_refused(tmp_path):
    certificate, key = LEAF.write(tmp_path)
    key.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assert "use an EC or RSA key" in refusal(certificate, key)


NO_PEM = ("empty", "nonsense", "the other file", "cut short")


@pytest.mark.parametrize("content", [b"", b"nonsense", LEAF.certificate_pem, LEAF.key_pem[:90]], ids=NO_PEM)
def test_a_file_that_holds_no_key_is_named(tmp_path, content):
    certificate, key = LEAF.write(tmp_path)
    key.write_bytes(content)
    words = refusal(certificate, key)
    assert words.startswith(f"KEY_PATH={key}: the file holds no readable private key")


@pytest.mark.parametrize("content", [b"", b"nonsense", LEAF.key_pem, LEAF.certificate_pem[:90]], ids=NO_PEM)
def test_a_file_that_holds_no_certificate_is_named(tmp_path, content):
    certificate, key = LEAF.write(tmp_path)
    certificate.write_bytes(content)
    words = refusal(certificate, key)
    assert words.startswith(f"CERTIFICATE_PATH={certificate}: the file holds no readable certificate")


def test_a_missing_file_is_named_with_its_setting(tmp_path):
    certificate, key = LEAF.write(tmp_path)
    assert f"KEY_PATH={tmp_path}/no: the file cannot be read: No such file" in refusal(certificate, tmp_path / "no")
    assert f"CERTIFICATE_PATH={tmp_path}/no: the file" in refusal(tmp_path / "no", key)


def test_a_directory_and_a_pipe_are_refused_without_blocking(tmp_path):
    certificate, _ = LEAF.write(tmp_path)
    assert "cannot be read: Is a directory" in refusal(certificate, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no readable private key" in refusal(certificate, tmp_path / "pipe")


def test_a_key_too_short_for_openssl_is_refused_with_its_error_text(tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    key.write_bytes(unencrypted(rsa.generate_private_key(65537, 1024)))
    command = ["openssl", "req", "-x509", "-key", key, "-subj", "/CN=mx.test", "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    assert "key too small" in refusal(certificate, key)


def test_a_certificate_is_complained_about_shortly_before_its_end_and_after(tmp_path):
    pair = read_pair(*LEAF.write(tmp_path))
    assert pair.problem(NOW) == ""
    assert "expires on" in pair.problem(NOW + 14 * DAY)
    assert "expired on" in pair.problem(NOW + 21 * DAY)


def test_a_certificate_of_tomorrow_points_at_the_clock(tmp_path):
    pair = read_pair(*LEAF.write(tmp_path))
    assert "check this host's clock" in pair.problem(LEAF.certificate.not_valid_before_utc.timestamp() - 1)
