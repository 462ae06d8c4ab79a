"""Who a user was when it ran last: resource, token and addresses, in a file, so that the next login is quick.

A file for each application and account. It is locked while it is in use: two programs on one resource would kick each
other out, so the second one runs without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mimc_proto.errors import LocalProtocolError, TokenError
from mimc_proto.session import Address, ClientSession

from ._shared import Token

__all__ = ["IdentityCache", "default_folder", "token_text"]

VERSION = 1
MOST_BYTES = 256 * 1024
"""A larger file is none of ours."""

_log = logging.getLogger("mimc.cache")


def default_folder() -> Path:
    """Where identities are kept if the program does not say: the user's folder for caches, ``mimc-proto`` in it."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "mimc-proto")


class IdentityCache:
    """The file of one user, held until `close`. What cannot be read is set aside; what cannot be written is logged.

    ``resource`` is what the program asks for: a file of another one is left alone.
    """

    def __init__(self, folder: Path, app_id: int, account: str, resource: str | None) -> None:
        self._who: dict[str, object] = {"app_id": app_id, "account": account}
        name = hashlib.sha256(f"{app_id}\0{account}\0{resource or ''}".encode(errors="surrogatepass")).hexdigest()[:32]
        self._path = folder / f"{name}.json"
        self._lock: weakref.finalize[..., Any] | None = None  # lets go of it, also if all is forgotten
        self._asked = self.resource = resource
        self.token: str | None = None
        self.addresses: tuple[Address, ...] = ()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = weakref.finalize(self, os.close, _locked(folder / f"{name}.lock"))
        except BlockingIOError:
            how = "another resource" if resource is None else f"the same resource {resource!r}, as it was told to"
            _log.warning("the identity of %r is in use: this program logs in with %s", account, how)
            return
        except OSError as error:
            _log.warning("identities cannot be kept in %s: %s", folder, error)
            return
        self._load()

    def _load(self) -> None:
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            self._set_aside(str(error))
            return
        try:
            self._read(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._set_aside(f"{type(error).__name__}: expected an identity of version {VERSION}")

    def _read(self, data: bytes) -> None:
        if len(data) > MOST_BYTES:
            raise ValueError
        kept: Mapping[str, Any] = json.loads(data)
        if kept["version"] != VERSION or any(kept[name] != value for name, value in self._who.items()):
            raise ValueError
        resource, token = kept["resource"], kept["token"]
        addresses = tuple((host, port) for host, port in kept["addresses"])
        texts = [resource, *(host for host, _ in addresses), *([] if token is None else [token])]
        if not all(type(text) is str and text for text in texts):
            raise TypeError
        if not all(type(port) is int and 0 < port < 65536 for _, port in addresses):
            raise TypeError
        self.resource, self.token, self.addresses = self.resource or resource, token, addresses

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_suffix(".unreadable")
        _log.warning("an identity cannot be read and is set aside as %s: %s", aside, problem)
        with contextlib.suppress(OSError):
            self._path.replace(aside)

    def session(self, make: Callable[..., ClientSession]) -> ClientSession:
        """A session that goes on with what was kept. ``make`` takes the arguments of that name."""
        try:
            return self._session(make)
        except LocalProtocolError as error:  # what the program itself gives was tried before
            self.resource, self.token, self.addresses = self._asked, None, ()
            self._set_aside(str(error))
            return make(resource=self.resource)

    def _session(self, make: Callable[..., ClientSession]) -> ClientSession:
        if self.token is not None:
            try:
                return make(resource=self.resource, token=self.token, known_addresses=self.addresses)
            except TokenError as error:
                _log.warning("a token that was kept cannot be used: %s", error)
                self.token = None
        return make(resource=self.resource, known_addresses=self.addresses)

    def save(self, resource: str, token: str | None, addresses: tuple[Address, ...]) -> None:
        """Keep this. The file is replaced as a whole, and only its owner can read it."""
        if self._lock is None or (resource, token, addresses) == (self.resource, self.token, self.addresses):
            return
        kept = {"version": VERSION, **self._who, "resource": resource, "token": token, "addresses": addresses}
        try:
            handle, name = tempfile.mkstemp(prefix=self._path.stem, dir=self._path.parent)  # 0600
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(kept, file)
                os.replace(name, self._path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            _log.warning("an identity cannot be kept: %s", error)
        else:
            self.resource, self.token, self.addresses = resource, token, addresses

    def close(self) -> None:
        """Let others have the file."""
        if self._lock is not None:
            self._lock()
            self._lock = None


def _locked(path: Path) -> int:
    """An open file that nobody else has locked. Raises `BlockingIOError` if somebody has."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            except OSError as error:
                raise BlockingIOError(str(error)) from error
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def token_text(answer: Token) -> str | None:
    """A token answer as text; None if it is none: the session says what is wrong with it."""
    try:
        return (
            answer if isinstance(answer, str) else answer.decode() if isinstance(answer, bytes) else json.dumps(answer)
        )
    except (TypeError, ValueError, RecursionError):
        return None
