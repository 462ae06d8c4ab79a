"""Certificates from files."""

from __future__ import annotations

import contextlib
import gc
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from mimc_server.settings import Certificates, SettingsError, Tls
from pydantic import SecretStr

FOLDER = Path(__file__).parents[2] / "transports"
BOTH = FOLDER / "loopback.pem"


def refusal(tls: Tls) -> str:
    with pytest.raises(SettingsError) as caught:
        Certificates(tls)
    return str(caught.value)


def parts(path: Path) -> tuple[str, str]:
    """Certificate and key of a file that has both."""
    text = path.read_text()
    certificate = text[text.index("-----BEGIN CERT") :].partition("-----END CERTIFICATE-----\n")
    start = text.index("-----BEGIN PRIVATE KEY")
    key = text[start:].partition("-----END PRIVATE KEY-----\n")
    return "".join(certificate[:2]), "".join(key[:2])


def test_a_file_may_have_certificate_and_key() -> None:
    context = Certificates(Tls(certificate=BOTH)).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_certificate_and_key_may_be_in_two_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, content in zip((certificate, key), parts(BOTH), strict=True):
        path.write_text(content)
    Certificates(Tls(certificate=certificate, key=key))


def test_without_a_certificate_there_is_no_tls() -> None:
    assert refusal(Tls()) == "tls.certificate: expected a certificate, got none"


def test_a_file_that_is_not_there_is_said_with_its_key(tmp_path: Path) -> None:
    nowhere = tmp_path / "none.pem"
    assert refusal(Tls(certificate=nowhere)) == f"tls.certificate: cannot read {nowhere}: No such file or directory"
    assert refusal(Tls(certificate=BOTH, key=nowhere)) == f"tls.key: cannot read {nowhere}: No such file or directory"


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("no certificate")
    assert refusal(Tls(certificate=file)) == (
        f"tls.certificate: expected a certificate and its private key in PEM, got something else: {file}"
    )


def test_the_key_of_another_certificate_is_said() -> None:
    other = FOLDER / "other.pem"
    assert refusal(Tls(certificate=BOTH, key=other)) == (
        f"tls.certificate: expected the key of the certificate, got another one: {BOTH} and {other}"
    )


@pytest.fixture
def locked(tmp_path: Path) -> Tls:
    """With a private key that is encrypted."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to encrypt a key")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text(parts(BOTH)[0])
    command = [openssl, "pkcs8", "-topk8", "-in", str(BOTH), "-out", str(key), "-passout", "pass:sesame"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return Tls(certificate=certificate, key=key)


def test_an_encrypted_key_needs_its_password(locked: Tls) -> None:
    Certificates(locked.model_copy(update={"password": SecretStr("sesame")}))
    for password in (None, SecretStr("an0ther")):
        said = refusal(locked.model_copy(update={"password": password}))
        assert said.startswith("tls.password: expected the password of the private key, got none or another one: ")
        assert "an0ther" not in said


def handshake(context: ssl.SSLContext, hello: bytes) -> bytes:
    """What the server answers."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    coming.write(hello)
    connection = context.wrap_bio(coming, going, server_side=True)
    with contextlib.suppress(ssl.SSLError):
        connection.do_handshake()
    return going.read()


def hello(name: str) -> bytes:
    """Of a client that names the server so."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(coming, going, server_hostname=name).do_handshake()
    return going.read()


def test_a_name_of_the_server_that_is_no_ascii_is_nothing_to_write_about(capfd: pytest.CaptureFixture[str]) -> None:
    certificates = Certificates(Tls(certificate=BOTH))
    good = hello("an.example")
    assert handshake(certificates.context, good)
    assert handshake(certificates.context, good.replace(b"an.example", b"\xff" * 10))
    gc.collect()
    assert capfd.readouterr() == ("", "")
