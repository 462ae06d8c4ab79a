"""ClientHeader and the payloads of every command but SECMSG (wire.md sections 2, 3 and 7)."""

from __future__ import annotations

import enum

from .. import pb
from .schema import WireRecord

__all__ = [
    "Bind",
    "BindAnswer",
    "Command",
    "Conn",
    "ConnAnswer",
    "Direction",
    "Header",
    "Kick",
    "KickReason",
    "Notify",
    "PingStats",
    "PushServiceConfig",
    "UploadRequest",
]


class Command(enum.StrEnum):
    """The values of ``ClientHeader.cmd``. After the handshake others are ignored, never an error."""

    CONN = "CONN"
    BIND = "BIND"
    PING = "PING"
    UBND = "UBND"
    SECMSG = "SECMSG"
    KICK = "KICK"
    NOTIFY = "NOTIFY"
    CTRL = "CTRL"
    SYNC = "SYNC"


class Direction(enum.IntEnum):
    """The values of ``ClientHeader.dir_flag``. WebJS and Java's CONN leave it out: a receiver cannot rely on it."""

    CS_ONEWAY = 1
    CS_REQ = 2
    CS_RESP = 3
    SC_ONEWAY = 4
    SC_REQ = 5
    SC_RESP = 6


class KickReason(enum.StrEnum):
    """The reasons that official clients tell apart, in a KICK and in a refused BIND."""

    SINGLE_RESOURCE = "single-resource-kick"
    TOKEN_EXPIRED = "token-expired"
    INVALID_TOKEN = "invalid-token"


class Header(WireRecord, message=pb.ClientHeader, enums={"dir_flag": Direction}):
    """The header of every frame. ``cipher`` 1: the payload is RC4-encrypted."""

    __slots__ = ()
    chid: int | None = None
    uuid: int | None = None
    server: str | None = None
    resource: str | None = None
    cmd: str
    subcmd: str | None = None
    id: str | None = None
    dir_flag: Direction | int | None = None
    cipher: int | None = None
    err_code: int | None = None
    err_str: str | None = None
    unknown: bytes = b""


class PushServiceConfig(WireRecord, message=pb.PushServiceConfigMsg):
    """Settings of Xiaomi's push service that CONN, its answer and PING may carry."""

    __slots__ = ()
    fetch_bucket: bool | None = None
    use_bucket_v2: bool | None = None
    client_version: int | None = None
    cloud_version: int | None = None
    dots: int | None = None
    unknown: bytes = b""


class Conn(WireRecord, message=pb.XMMsgConn, records={"psc": PushServiceConfig}):
    """CONN, the client's first packet. ``udid`` takes part in the body key."""

    __slots__ = ()
    version: int | None = None
    model: str | None = None
    os: str | None = None
    udid: str | None = None
    sdk: int | None = None
    connpt: str | None = None
    host: str | None = None
    locale: str | None = None
    psc: PushServiceConfig | None = None
    andver: int | None = None
    public_key_n: bytes | None = None
    public_key_e: bytes | None = None
    unknown: bytes = b""


class ConnAnswer(
    WireRecord, message=pb.XMMsgConnResp, records={"psc": PushServiceConfig}, secret=("challenge", "session_key")
):
    """The answer to CONN. The challenge is the key material of the connection."""

    __slots__ = ()
    challenge: str
    host: str | None = None
    psc: PushServiceConfig | None = None
    session_key: bytes | None = None
    unknown: bytes = b""


class Bind(WireRecord, message=pb.XMMsgBind, secret=("token", "sig")):
    """BIND, the login. ``sso`` is not signed."""

    __slots__ = ()
    token: str
    kick: str | None = None
    method: str | None = None
    client_attrs: str | None = None
    cloud_attrs: str | None = None
    sig: str
    sso: bool | None = None
    unknown: bytes = b""


class BindAnswer(WireRecord, message=pb.XMMsgBindResp):
    """The answer to BIND."""

    __slots__ = ()
    result: bool
    error_type: str | None = None
    error_reason: str | None = None
    error_desc: str | None = None
    unknown: bytes = b""


class PingStats(WireRecord, message=pb.XMMsgPing, records={"psc": PushServiceConfig}):
    """What a PING may carry; MIMC's clients send it empty."""

    __slots__ = ()
    stats: bytes | None = None
    psc: PushServiceConfig | None = None
    unknown: bytes = b""


class Notify(WireRecord, message=pb.XMMsgNotify):
    """NOTIFY: ignored by every client."""

    __slots__ = ()
    err_code: int | None = None
    err_str: str | None = None
    unknown: bytes = b""


class Kick(WireRecord, message=pb.XMMsgKick):
    """KICK. All fields may be missing (Go and C++ read the payload as a BindAnswer: wire.md section 7)."""

    __slots__ = ()
    type: str | None = None
    reason: str | None = None
    desc: str | None = None
    unknown: bytes = b""


class UploadRequest(WireRecord, message=pb.XMMsgU, secret=("token",)):
    """SYNC: asks a client to upload its log. Ours ignores it, and our server never sends it."""

    __slots__ = ()
    url: str | None = None
    token: str | None = None
    start: int | None = None
    end: int | None = None
    force: bool | None = None
    maxlen: int | None = None
    unknown: bytes = b""
