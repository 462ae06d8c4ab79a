"""Applications: what a service serves, and how it knows their servers and users again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Self

from mimc_proto._checks import MAX_NAME, check_text
from mimc_proto._record import Record
from mimc_proto.errors import LocalProtocolError

__all__ = ["Application", "Applications"]


class Application(Record, secret=("key_digest", "secret_digest")):
    """An application whose users the service serves.

    Its key and secret are kept as digests: nothing that a store holds lets anybody ask for tokens. ``package`` is the
    ``appPackage`` of the token answer; packets carry it.
    """

    __slots__ = ()
    app_id: int
    package: str
    key_digest: bytes
    secret_digest: bytes

    @classmethod
    def of(cls, *, app_id: int, app_key: str, app_secret: str, package: str) -> Self:
        """An application with this key and secret. Raises `LocalProtocolError` for ids and texts that cannot be."""
        if not 0 < app_id < 1 << 63:
            raise LocalProtocolError(f"expected a number from 1 to 2**63 - 1, got {app_id}", where="app_id")
        check_text(app_key, "app_key", MAX_NAME, secret=True)
        check_text(app_secret, "app_secret", MAX_NAME, secret=True)
        check_text(package, "package", MAX_NAME)
        return cls(
            app_id=app_id,
            package=package,
            key_digest=_digest(app_id, "key", app_key),
            secret_digest=_digest(app_id, "secret", app_secret),
        )

    def check(self, app_key: str, app_secret: str) -> bool:
        """Whether these are the application's; takes the same time for all wrong ones."""
        key = hmac.compare_digest(_digest(self.app_id, "key", app_key), self.key_digest)
        secret = hmac.compare_digest(_digest(self.app_id, "secret", app_secret), self.secret_digest)
        return key & secret


class Applications:
    """Those that are served now; a program that makes another while it runs adds it here and to its store."""

    def __init__(self, applications: Iterable[Application] = ()) -> None:
        self._by_id = {application.app_id: application for application in applications}

    def __iter__(self) -> Iterator[Application]:
        return iter(list(self._by_id.values()))

    def add(self, application: Application) -> None:
        """Serve it from now on, in place of the one that had its id."""
        self._by_id[application.app_id] = application

    def remove(self, app_id: int) -> None:
        """Serve it no more; without effect if it is not there."""
        self._by_id.pop(app_id, None)

    def get(self, app_id: int) -> Application | None:
        """The application with this id."""
        return self._by_id.get(app_id)

    def package_of(self, app_id: int) -> str | None:
        """For `Service`."""
        application = self._by_id.get(app_id)
        return None if application is None else application.package

    def with_secret(self, app_id: int | None, app_key: str, app_secret: str) -> Application | None:
        """The application with this key and secret; ``app_id`` None: any whose they are."""
        asked = self._by_id.values() if app_id is None else filter(None, [self._by_id.get(app_id)])
        for application in list(asked):
            if application.check(app_key, app_secret):
                return application
        return None


def _digest(app_id: int, what: str, text: str) -> bytes:
    """Of one length for any text, and of text that JSON can carry but UTF-8 cannot; the id is its salt."""
    return hashlib.sha256(f"MIMC application {app_id} {what}\0{text}".encode(errors="surrogatepass")).digest()
