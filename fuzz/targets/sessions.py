"""A user across links, and the whole service."""

from __future__ import annotations

import itertools
import json
import struct
from random import Random

import conversations as base
import program
import stories
from mutate_json import mutate_json
from program import CONFIGS, Program

from mimc_proto.session import ClientSession, FetchToken, MessagesDelivered, OpenLink, Resolve, TooManyWaiting
from mimc_proto.testing import FRONTEND, resolver_answer, token_answer

from .target import TCP, cuts, frames, stream_mutator, target

__all__ = ["service", "session", "session_program", "session_start"]


def _session_says(pieces: list[bytes]) -> list[str]:
    """All that a session with small limits says."""
    session, link_id = base.online_session(CONFIGS[1])
    said: list[str] = []

    def drive() -> None:
        nonlocal link_id
        requests = session.requests()
        said.extend(sorted(map(repr, requests)))  # what one read and what two ask for may come in another order
        for request in requests:
            if isinstance(request, FetchToken):
                session.token_fetched(request.request_id, token_answer(base.ALICE), 1.0)
            elif isinstance(request, OpenLink):
                link_id = request.link_id
                session.link_opened(link_id, 1.0)
        for event in session.events():
            said.append(repr(event))
            if isinstance(event, MessagesDelivered | TooManyWaiting):
                session.consumed(event.receipt, 1.0)
        said.extend(frame.hex() for frame in session.data_to_send(link_id))

    session.send("bob", b"queued", now=1.0)
    session.pull(1.0)
    for piece in pieces:
        session.receive_data(link_id, piece, 1.0)
    drive()
    session.handle_timer(100.0)
    drive()
    session.close(200.0)
    return said


@target(stream_mutator(TCP), lambda: base.after_login(base.downward(TCP)) + stories.of_sessions(), share=3)
def session(data: bytes) -> None:
    """A session raises nothing for what a server says, and does the same however the stream is cut."""
    assert _session_says([data]) == _session_says(cuts(data))


# ------------------------------------------------------------------------------------------------------ with a program


def _program_says(data: bytes, *, cut: bool) -> list[str]:
    kind, whole = program.kind_of(data), frames(data, TCP)
    running = Program(kind)
    for number, frame in enumerate(whole):
        running.act()
        running.drive()
        if kind.drain is not None and number == len(whole) - 1:
            running.leave(kind.drain)
        for piece in cuts(frame) if cut else [frame]:
            running.session.receive_data(running.link_id, piece, running.now)
        running.drive()
    running.end()
    return running.said


def _for_programs() -> list[bytes]:
    return program.downward() + base.after_login(base.downward(TCP)) + stories.of_programs()


@target(stream_mutator(TCP), _for_programs, share=1)
def session_program(data: bytes) -> None:
    """The same while a program does all that it can, between frames that may even answer it."""
    assert _program_says(data, cut=False) == _program_says(data, cut=True)


# ------------------------------------------------------------------------------------------------------- from the start

_SIZE = struct.Struct(">I")


def _parts(data: bytes) -> tuple[str, str, bytes]:
    """Token answer, resolver answer, and what the frontend says: the first two have their sizes before them."""
    texts = []
    for _ in range(2):
        [size] = _SIZE.unpack_from(data.ljust(4, b"\0"))
        texts.append(data[4 : 4 + size].decode(errors="replace"))
        data = data[4 + size :]
    return texts[0], texts[1], data


def _joined(token: str, resolver: str, stream: bytes) -> bytes:
    texts = [text.encode(errors="replace") for text in (token, resolver)]
    return b"".join(_SIZE.pack(len(text)) + text for text in texts) + stream


def _starts() -> list[bytes]:
    token, resolver = token_answer(base.ALICE), resolver_answer({FRONTEND: [("10.0.0.1", 5222), ("::1", 80)]})
    refused = json.dumps({"code": 500, "message": "no", "data": None})
    lives = [_joined(token, resolver, stream) for stream in base.downward(TCP) + stories.of_starts()]
    life = base.downward(TCP)[0]
    nowhere = resolver_answer({FRONTEND: [("192.0.2.1", 5222), ("192.0.2.2", 5222), ("10.0.0.1", 80)]})
    others = [(refused, resolver), (token, '{"S": "Err"}'), (token, nowhere), ("", resolver), (token, "")]
    return [*lives, *[_joined(*answers, life) for answers in others]]


def _mutate_start(data: bytes, rng: Random) -> bytes:
    token, resolver, stream = _parts(data)
    match rng.randrange(10):
        case 0 | 1:
            token = mutate_json(token.encode(), rng).decode(errors="replace")
        case 2:
            resolver = mutate_json(resolver.encode(), rng).decode(errors="replace")
        case _:
            stream = _mutate_stream(stream, rng)
    return _joined(token, resolver, stream)


_mutate_stream = stream_mutator(TCP)

ROUNDS = 12
"""How often it is asked what it wants; when that is nothing, its timers ring."""


def _start_says(data: bytes, *, cut: bool) -> list[str]:
    """All that a session says whose every link hears the same; each second token is another user's."""
    token, resolver, stream = _parts(data)
    uuid = base.ALICE.uuid
    tokens = itertools.cycle((token, token.replace(str(uuid), str(uuid + 1))))  # the account was made again
    pieces = frames(stream, TCP)  # between two it may say something: an answer counts only behind its request
    if cut:
        pieces = [piece for frame in pieces for piece in cuts(frame)]
    now, link_id, late = 0.0, 0, 0
    session = ClientSession(base.ALICE.app_id, base.ALICE.account, rng=Random(1), now=now, resource=base.RESOURCE)
    session.connect(now)
    said: list[str] = []
    for _ in range(ROUNDS):
        requests = session.requests()
        said.extend(sorted(map(repr, requests)))
        for request in requests:
            match request:
                case FetchToken(request_id=request_id) if token:  # an empty one never comes
                    session.token_fetched(request_id, next(tokens), now)
                case Resolve(request_id=request_id) if resolver:
                    session.resolved(request_id, resolver, now)
                case OpenLink(host="192.0.2.1"):
                    session.link_lost(request.link_id, OSError("unreachable"), now)
                case OpenLink(link_id=late, host="192.0.2.2"):
                    pass  # it opens when a timer has rung
                case OpenLink(link_id=link_id):
                    session.link_opened(link_id, now)
                    for piece in pieces:
                        session.receive_data(link_id, piece, now)
                case _:
                    pass
        said.extend(frame.hex() for frame in session.data_to_send(link_id))
        for event in session.events():
            said.append(repr(event))
            if isinstance(event, MessagesDelivered | TooManyWaiting):
                session.consumed(event.receipt, now)
        due = session.get_timer() or now
        if not requests:
            now = max(now, due)
            session.handle_timer(now)
            session.link_opened(late, now)
    return said


@target(_mutate_start, _starts, share=1)
def session_start(data: bytes) -> None:
    """The same from the start: token, resolver, login, and new links that hear the same again."""
    assert _start_says(data, cut=False) == _start_says(data, cut=True)


# ------------------------------------------------------------------------------------------------------------- service


@target(stream_mutator(TCP), lambda: base.upward(TCP) + program.upward(), share=3)
def service(data: bytes) -> None:
    """A service raises nothing for what a client says."""
    running, store = program.new_service()
    link_id = running.link_opened(0.0)
    for piece in cuts(data):
        running.receive_data(link_id, piece, 1.0, 1_000)
        while running.run_store(store, 1.0, 1_000):
            pass
        running.data_to_send(link_id)
        running.events()
        running.hints()
    running.kick(base.ALICE.uuid, None, "kicked", 2.0, 2_000)
    running.data_to_send(link_id)
    running.handle_timer(1_000.0, 1_000_000)
    running.link_lost(link_id, 1_001.0, 1_000_000)
    while running.run_store(store, 1.0, 1_000):
        pass
