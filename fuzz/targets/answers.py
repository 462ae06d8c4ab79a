"""Answers of token endpoint and resolver, the identity cache, and `mimc decode`."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from random import Random

import conversations as base
import vectors
from click.testing import CliRunner
from mimc_cli.main import mimc
from mimc_transports._cache import IdentityCache
from mutate_json import mutate_json

from mimc_proto import Framing
from mimc_proto.errors import ResolverError, TokenError
from mimc_proto.session import ClientSession
from mimc_proto.session.resolver import parse_resolver_answer
from mimc_proto.session.tokens import parse_token_answer
from mimc_proto.testing import FRONTEND, resolver_answer, token_answer

from .target import TCP, WEBSOCKET, stream_mutator, target

__all__ = ["decode", "identity_cache", "resolver_json", "token_json"]


@target(mutate_json, lambda: [token_answer(base.ALICE).encode()], share=6)
def token_json(data: bytes) -> None:
    """A token answer is read, or refused without being shown."""
    with contextlib.suppress(TokenError):
        parse_token_answer(data, app_id=base.ALICE.app_id, account=base.ALICE.account)


@target(mutate_json, lambda: [resolver_answer({FRONTEND: [("10.0.0.1", 5222), ("::1", 80)]}).encode()], share=6)
def resolver_json(data: bytes) -> None:
    """A resolver answer is read, or refused."""
    try:
        found = parse_resolver_answer(data, FRONTEND)
    except ResolverError:
        return
    assert all(0 < port < 65536 for _, port in found)


def _kept() -> list[bytes]:
    kept: dict[str, object] = {"version": 1, "app_id": base.ALICE.app_id, "account": base.ALICE.account}
    kept |= {"resource": base.RESOURCE, "token": token_answer(base.ALICE), "addresses": [["10.0.0.1", 5222]]}
    return [json.dumps(kept).encode()]


@target(mutate_json, _kept, share=1)
def identity_cache(data: bytes) -> None:
    """Whatever is in the file, there is a session, and what cannot be read is set aside."""
    with tempfile.TemporaryDirectory() as folder:
        cache = IdentityCache(Path(folder), base.ALICE.app_id, base.ALICE.account, None)
        path = cache._path
        cache.close()
        path.write_bytes(data)
        cache = IdentityCache(Path(folder), base.ALICE.app_id, base.ALICE.account, None)
        try:
            cache.session(
                lambda **kept: ClientSession(
                    base.ALICE.app_id, base.ALICE.account, rng=Random(1), now=0.0, **{"resource": None, **kept}
                )
            )
            cache.save("another", None, ())
        finally:
            cache.close()
        assert json.loads(path.read_bytes())["resource"] == "another"


def _decodable() -> list[bytes]:
    ours = [stream for framing in Framing for stream in (base.upward(framing)[0], base.downward(framing)[0])]
    return [*ours, *vectors.frames(WEBSOCKET), b"".join(vectors.frames(TCP))]


@target(stream_mutator(TCP), _decodable, share=1)
def decode(data: bytes) -> None:
    """`mimc decode` ends with a status it declares, and every line is JSON."""
    options = ["--challenge", base.CHALLENGE, "--security-key", base.ALICE.security_key, "-"]
    result = CliRunner().invoke(mimc, ["decode", *options], input=data, catch_exceptions=False)
    assert result.exit_code in (0, 1, 2)
    for line in result.stdout.splitlines():
        json.loads(line)
