"""The certificate of a server, from its files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .model import Tls

__all__ = ["Certificates"]


class Certificates:
    """What listens inside TLS, with a certificate that can be renewed while it does. Raises `SettingsError` if the
    files cannot be used."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self.context = _Renewed(_context(tls))

    def renew(self) -> None:
        """Read the files again, for all connections from now on. Raises `SettingsError` if they cannot be used; then
        nothing has changed."""
        self.context.newest = _context(self._tls)


class _Renewed(ssl.SSLContext):
    """Each connection gets the newest context. (A `ssl.SSLContext.sni_callback` would change it as well, but names
    that are no ASCII are said to standard error before it is asked, as often as any stranger likes.)"""

    def __new__(cls, newest: ssl.SSLContext) -> _Renewed:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context.newest = newest
        return context

    newest: ssl.SSLContext

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """What asyncio, uvloop and uvicorn call for each connection."""
        return self.newest.wrap_bio(*arguments, **options)


def _context(tls: Tls) -> ssl.SSLContext:
    """What listens inside TLS (1.2 or newer). Raises `SettingsError` if the files cannot be used."""
    if tls.certificate is None:
        raise SettingsError("expected a certificate, got none", key="tls.certificate")
    key = tls.key or tls.certificate
    _content(tls.certificate, "tls.certificate")
    encrypted = b"ENCRYPTED" in _content(key, "tls.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    password = "" if tls.password is None else tls.password.get_secret_value()
    try:
        context.load_cert_chain(tls.certificate, key, lambda: password)  # else OpenSSL asks the terminal
    except (OSError, ValueError) as error:  # the latter for a password that is too long
        files = str(key) if key == tls.certificate else f"{tls.certificate} and {key}"
        problem = f"{_problem(error, encrypted)}: {files}"
        raise SettingsError(problem, key="tls.password" if encrypted else "tls.certificate") from None
    return context


def _content(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}", key=key) from None


def _problem(error: Exception, encrypted: bool) -> str:
    """OpenSSL's own words are for programmers, and few."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return "expected the key of the certificate, got another one"
    if encrypted:
        return "expected the password of the private key, got none or another one"
    return "expected a certificate and its private key in PEM, got something else"
