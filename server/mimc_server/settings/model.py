"""What can be set, with its defaults; the texts below the fields are their documentation."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from mimc_proto.errors import shown

from ..frontend import FrontendConfig
from ..service import ServiceConfig
from ..store import StoreConfig
from .addresses import Address, parse_address
from .sections import OUT_OF_RANGE, Flag, Number, Whole, section

__all__ = ["BESIDE", "Admin", "Http", "Listen", "Log", "Metrics", "Public", "Settings", "Tls", "Tokens"]

SOCKET = "admin.sock"


def _address(value: object) -> object:
    if isinstance(value, tuple):
        return Address(*value)
    if not isinstance(value, str):
        problem = f"expected HOST:PORT as text, got {shown(value)}"
        raise PydanticCustomError("address", "{problem}", {"problem": problem})
    try:
        return parse_address(value)
    except ValueError as error:
        raise PydanticCustomError("address", "{problem}", {"problem": str(error)}) from None


def _ipv4(address: Address) -> Address:
    try:
        ipaddress.IPv4Address(address.host)
    except ValueError:
        problem = f"expected an IPv4 literal and a port, for clients take nothing else, got {address}"
        raise PydanticCustomError("address", "{problem}", {"problem": problem}) from None
    return address


def _separated(value: object) -> object:
    """Environment variables and options have no lists."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _path(value: object) -> object:
    """What the system takes for a path: not a byte of 0, and not nothing."""
    if isinstance(value, str) and ("\0" in value or not value):
        problem = f"expected the path of a file, got {shown(value)}"
        raise PydanticCustomError("path", "{problem}", {"problem": problem})
    return value


def _none_if_empty(value: object) -> object:
    """TOML and environment variables have no None."""
    return None if value == "" else value


ListenAddress = Annotated[Address, BeforeValidator(_address)]
Addresses = Annotated[tuple[ListenAddress, ...], BeforeValidator(_separated)]
PublicAddresses = Annotated[tuple[Annotated[ListenAddress, AfterValidator(_ipv4)], ...], BeforeValidator(_separated)]
File = Annotated[Path, BeforeValidator(_path)]
MaybeFile = Annotated[File | None, BeforeValidator(_none_if_empty)]
MaybeSecret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]

BESIDE = "beside"
"""Marks paths that in a file are relative to its folder, as people expect; elsewhere they are to the working one."""
Domain = Annotated[str, Field(min_length=1, max_length=255)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Listen(_Section):
    """Where clients connect to: any number of addresses of each kind; port 0 takes a free one."""

    tcp: Addresses = (Address("127.0.0.1", 5222),)
    """Plain TCP, what every official client but WebJS speaks."""
    tls: Addresses = ()
    """The same inside TLS, for clients that can."""
    websocket: Addresses = (Address("127.0.0.1", 5280),)
    """WebSocket (`ws://`), for browsers; also for a proxy in front that does TLS."""
    websocket_tls: Addresses = ()
    """WebSocket inside TLS (`wss://`)."""
    http: Addresses = (Address("127.0.0.1", 5223),)
    """Tokens, the resolver, groups and histories over HTTP; also for a proxy in front that does TLS."""
    https: Addresses = ()
    """The same inside TLS."""

    @property
    def encrypted(self) -> Addresses:
        """Those that need a certificate."""
        return (*self.tls, *self.websocket_tls, *self.https)

    @property
    def all(self) -> Addresses:
        """All of every kind."""
        return (*self.tcp, *self.websocket, *self.http, *self.encrypted)


class Tls(_Section):
    """The certificate of all that is inside TLS."""

    certificate: Annotated[MaybeFile, BESIDE] = None
    """File in PEM: the certificate, and after it those that vouch for it. Read again at SIGHUP."""
    key: Annotated[MaybeFile, BESIDE] = None
    """File in PEM with its private key, unless that is in the file of the certificate."""
    password: MaybeSecret = None
    """What the private key is encrypted with."""


class Public(_Section):
    """What clients are told, for the world often knows other names than this machine."""

    addresses: PublicAddresses = ()
    """What the resolver answers: IPv4 literals with the port of a plain TCP frontend; `0.0.0.0` stands for the address
    at which the request came in. Empty: where `listen.tcp` listens."""
    frontend_domain: Domain = "app.chat.xiaomi.net"
    """`feDomainName` of the token answer. Java and C++ go to its port 5222 when the resolver fails them."""
    relay_domain: Domain = "relay.mimc.chat.xiaomi.net"
    """`relayDomainName` of the token answer, of calls. There is no relay yet."""


class Tokens(_Section):
    """What users log in with."""

    lifetime: Annotated[Number, Field(ge=1, le=1e9)] = 86_400.0
    """Seconds that a token is good for."""


class Http(_Section):
    """Limits of each HTTP address."""

    max_connections: Annotated[Whole, Field(ge=1)] = 1_000
    """Connections at a time; more are cut."""
    max_of_address: Annotated[Whole, Field(ge=1)] = 250
    """Connections from one address at a time; more are cut."""
    patience: Annotated[Number, Field(ge=0.1, le=3600)] = 30.0
    """Seconds that a request and its answer may take."""


class Metrics(_Section):
    """Figures for Prometheus, at the path `/metrics`; the admin socket always has them."""

    listen: Addresses = ()
    """Addresses that serve nothing else, without TLS. Whoever reaches them sees how much is going on."""
    http: Flag = False
    """Whether the addresses of `listen.http` and `listen.https` have them as well."""


class Log(_Section):
    """What is written to standard error: never a token, a key or what a message says."""

    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written. Logins are info, refusals warnings."""
    rate: Annotated[Number, Field(ge=0.01, le=1e6)] = 20.0
    """Lines a second of each kind of event that are written in the long run; the next one says how many were not."""
    burst: Annotated[Whole, Field(ge=1, le=1_000_000)] = 200
    """Lines of each kind that are written at once after a quiet time."""


class Admin(_Section):
    """The socket that `mimc admin` talks to; only the user who runs the service may use it."""

    socket: MaybeFile = Path(SOCKET)
    """Its file, in the data folder unless the path is absolute; empty for none. Without a data folder there is none
    either, unless the path is absolute."""


class Settings(_Section):
    """All settings of `mimc serve` and of `Server`. Raises `ValueError` for what cannot be; `load` reads them."""

    data: Annotated[MaybeFile, BESIDE] = None
    """The folder that keeps everything; it is made if need be. There is no default."""
    database: File = Path("mimc.db")
    """The SQLite database, in the data folder unless the path is absolute."""
    memory: Flag = False
    """Keep everything in memory only, and forget it at the end: for trials."""
    stop_timeout: Annotated[Number, Field(ge=0.1, le=3600)] = 5.0
    """Seconds that connections get at the end to take what waits for them."""
    listen: Listen = Listen()
    tls: Tls = Tls()
    public: Public = Public()
    tokens: Tokens = Tokens()
    http: Http = Http()
    metrics: Metrics = Metrics()
    log: Log = Log()
    admin: Admin = Admin()
    frontend: Annotated[FrontendConfig, section(FrontendConfig)] = FrontendConfig()
    """Limits and times of connections, before and besides what the service has of them."""
    service: Annotated[ServiceConfig, section(ServiceConfig)] = ServiceConfig()
    """Limits and times of the messaging service."""
    store: Annotated[StoreConfig, section(StoreConfig)] = StoreConfig()
    """Limits and times of what is kept."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.listen.encrypted and self.tls.certificate is None:
            problem = f"expected a certificate, as {self.listen.encrypted[0]} is to be inside TLS, got none"
            raise PydanticCustomError(OUT_OF_RANGE, "{problem}", {"problem": problem, "where": "tls.certificate"})
        return self

    @property
    def database_path(self) -> Path | None:
        """The database; None with ``memory``."""
        return None if self.memory or self.data is None else self.data / self.database

    @property
    def admin_socket(self) -> Path | None:
        """The admin socket, if there is to be one."""
        socket = self.admin.socket
        if socket is None or (self.data is None and not socket.is_absolute()):
            return None
        return socket if self.data is None else self.data / socket
