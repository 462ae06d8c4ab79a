"""Users and answers to play with: who logs in, and what token endpoint and resolver say of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping

from ..credentials import Credentials

__all__ = ["APP_ID", "FRONTEND", "PACKAGE", "example_user", "resolver_answer", "token_answer"]

APP_ID = 2882303761500000001
"""The application of all example users."""

PACKAGE = "com.example.mimc"
FRONTEND = "fe.example.net"
"""The frontends' domain in `token_answer`: what to ask the resolver for."""

RELAY = "relay.example.net"
SECURITY_KEY = "ZXhhbXBsZS1zZWNyZXQtMQ=="


def example_user(account: str = "alice", *, token: str | None = None) -> Credentials:
    """Credentials made of the account's name alone: the same name gives the same user.

    ``token`` replaces the token, as a token endpoint does when the old one has expired.
    """
    return Credentials(
        app_id=APP_ID,
        account=account,
        uuid=1 << 40 | zlib.crc32(account.encode()),
        token=token if token is not None else f"example-token-of-{account}",
        security_key=SECURITY_KEY,
        package=PACKAGE,
    )


def token_answer(
    user: Credentials | str = "alice", *, domain: str = FRONTEND, omit: Iterable[str] = (), **changes: object
) -> str:
    """The JSON that MIMC's token endpoint answers for a user (rest.md, section 1): ids as text, ``miChid`` a number.

    A ``str`` is the account of an `example_user`. ``changes`` replace fields of ``data``, ``omit`` leaves some out::

        token_answer("alice", miUserId="not a number", omit=["token"])
    """
    user = example_user(user) if isinstance(user, str) else user
    data: dict[str, object] = {
        "appId": str(user.app_id),
        "appPackage": user.package,
        "appAccount": user.account,
        "miChid": user.chid,
        "miUserId": str(user.uuid),
        "miUserSecurityKey": user.security_key,
        "token": user.token,
        "regionBucket": 0,
        "feDomainName": domain,
        "relayDomainName": RELAY,
    }
    data = {name: value for name, value in {**data, **changes}.items() if name not in set(omit)}
    return json.dumps({"code": 200, "message": "success", "data": data})


def resolver_answer(addresses: Mapping[str, Iterable[tuple[str, int]]]) -> str:
    """The JSON that the resolver answers: for each domain its (host, port) pairs (rest.md, Resolver).

    Hosts are literal IP addresses, or clients refuse them.
    """
    shown = {
        domain: [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs]
        for domain, pairs in addresses.items()
    }
    return json.dumps({"S": "Ok", "R": {"wifi": shown}})
