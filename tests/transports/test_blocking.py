"""What only threads can do to a user: end it while others wait, interrupt it, forget it, send from many at once."""

from __future__ import annotations

import contextlib
import gc
import linecache
import signal
import socket
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from mimc_server.testing import LoopbackService
from mimc_transports import _blocking_threads, blocking
from mimc_transports.blocking import User

from mimc_proto import LoginTimeout, MimcError, QueueFull, SendFailed, SessionConfig, SessionEnded
from mimc_proto.session import Acknowledged, Ended, EndReason, LinkLost, Message

PATIENCE = 10.0
"""Seconds after which a thread that hangs is given up."""

MAIN = threading.main_thread()


class Clock:
    """Seconds that pass only when a test says so; those who sleep meanwhile are woken."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, user: Watched, seconds: float) -> None:
        self.now += seconds
        user._io.wake()


class _Announced(threading.Condition):
    """A condition that says when somebody waits."""

    def __init__(self, lock: Any, waits: threading.Event) -> None:
        super().__init__(lock)
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        self._waits.set()
        return super().wait(timeout)


def _ignore(data: bytes) -> None:
    """A message that is not heard."""


class Watched(User):
    """A user who says when somebody waits, and can be deaf."""

    def _prepare(self) -> Callable[[], float]:
        clock = super()._prepare()
        self.waits, self.sends = threading.Event(), threading.Event()
        self._changed = _Announced(self._lock, self.waits)
        return clock

    def _flush(self) -> None:
        super()._flush()
        if self._unsettled:
            self.sends.set()

    def deafen(self) -> None:
        """Hear nothing from the server any more."""
        with self._lock:
            assert self._link is not None
            self._link.received = _ignore  # type: ignore[method-assign]
            self.waits.clear()

    def hear(self) -> None:
        """Undo that."""
        with self._lock:
            del self._link.received  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread() as running:
        yield running


class Bed:
    """Makes users, and sees to it that nothing of them is left."""

    _count = 0

    def __init__(self, service: LoopbackService) -> None:
        self.service = service
        self.sockets: list[socket.socket] = []
        self.clock: Clock | None = None
        Bed._count += 1
        self._suffix = f"-{Bed._count}"

    def name(self, account: str) -> str:
        return account + self._suffix

    def user(self, account: str = "alice", kind: type[Watched] = Watched, **options: Any) -> Watched:
        def make(*arguments: Any) -> socket.socket:
            self.sockets.append(socket.socket(*arguments))
            return self.sockets[-1]

        attributes: dict[str, Any] = {"_socket": staticmethod(make)}
        if self.clock is not None:
            attributes["_monotonic"] = self.clock
        name = self.name(account)
        options = {"addresses": [self.service.address], "resource": "pc", **options}
        made = type("BedUser", (kind,), attributes)(self.service.app_id, name, self.service.token(name), **options)
        assert isinstance(made, Watched)
        return made

    def assert_nothing_is_left(self) -> None:
        for thread in threading.enumerate():
            if thread.name.startswith("mimc ") and thread is not threading.current_thread():
                thread.join(PATIENCE)
                assert not thread.is_alive(), f"left: {thread}"
        assert [used for used in self.sockets if used.fileno() != -1] == []


@pytest.fixture
def bed(service: LoopbackService) -> Iterator[Bed]:
    made = Bed(service)
    yield made
    made.assert_nothing_is_left()


class Beside:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._value: object = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        """Wait for its end; gives what it gave, raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a call hangs"
        if self._error is not None:
            raise self._error
        return self._value


# ------------------------------------------------------------------------------------- ended while others wait

ENDINGS: dict[str, Callable[[Watched], object]] = {
    "abort": lambda user: user.abort(),
    "logout": lambda user: user.logout(),
    "leaving": lambda user: user.__exit__(None, None, None),
    "leaving by an error": lambda user: user.__exit__(ValueError, ValueError(), None),
}


@pytest.fixture(params=ENDINGS)
def end(request: pytest.FixtureRequest) -> Callable[[Watched], object]:
    return ENDINGS[request.param]


WAITS: dict[str, tuple[Callable[[Watched], object], type[Exception] | None]] = {
    "iterating": (lambda user: list(user), None),
    "receiving": (lambda user: user.receive(timeout=600.0), SessionEnded),
    "waiting for room": (lambda user: user.wait_room(10**9, timeout=600.0), SessionEnded),
    "waiting for events": (lambda user: list(user.events()), None),
}


@pytest.mark.parametrize("wait", WAITS)
def test_whoever_waits_hears_of_the_end(bed: Bed, wait: str, end: Callable[[Watched], object]) -> None:
    call, error = WAITS[wait]
    with bed.user() as alice:
        alice.waits.clear()
        waiting = Beside(lambda: call(alice))
        assert alice.waits.wait(PATIENCE)
        end(alice)
        with contextlib.nullcontext() if error is None else pytest.raises(error):
            waiting.result()
        assert isinstance(alice.status, Ended)
        assert alice._deadlines == []


@pytest.mark.parametrize("ending", ["abort", "leaving by an error"])
def test_a_send_without_its_verdict_fails_when_the_user_is_ended(bed: Bed, ending: str) -> None:
    with bed.user() as alice:
        alice.deafen()
        sending = Beside(lambda: alice.send("bob", b"hi"))
        assert alice.sends.wait(PATIENCE)
        ENDINGS[ending](alice)
        with pytest.raises(SendFailed, match="may have arrived"):
            sending.result()


def test_waiting_to_be_online_ends_with_the_user(bed: Bed) -> None:
    bed.clock = Clock()
    with bed.user() as alice:
        with alice._lock:
            alice._link.lost("a test")  # type: ignore[union-attr]
        assert not alice.online
        alice.waits.clear()
        waiting = Beside(alice.wait_online)
        assert alice.waits.wait(PATIENCE)
        alice.abort()
        with pytest.raises(SessionEnded):
            waiting.result()


def test_a_logout_without_an_answer_can_be_cut_short(bed: Bed) -> None:
    bed.clock = Clock()
    with bed.user() as alice:
        alice.deafen()
        leaving = Beside(alice.logout)
        assert alice.waits.wait(PATIENCE)
        alice.abort()
        leaving.result()
        assert alice.status == Ended(reason=EndReason.CLOSED)


def test_a_login_without_an_answer_can_be_cut_short(bed: Bed) -> None:
    bed.clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alice = bed.user(addresses=[silent.getsockname()])
        entering = Beside(alice.__enter__)
        assert alice.waits.wait(PATIENCE)
        alice.abort()
        with pytest.raises(MimcError):
            entering.result()


def test_one_who_was_never_entered_can_be_ended(bed: Bed) -> None:
    alice = bed.user()
    alice.send_nowait("bob", b"never")
    alice.abort()
    assert alice.status == Ended(reason=EndReason.CLOSED)
    bed.user().logout()


# --------------------------------------------------------------------------------------------- an injected clock


@pytest.mark.parametrize("wait", ["receive", "wait_room", "wait_online"])
def test_a_timeout_is_as_long_as_the_clock_says(bed: Bed, wait: str) -> None:
    clock = bed.clock = Clock()
    with bed.user() as alice:
        if wait == "wait_online":
            with alice._lock:
                alice._link.lost("a test")  # type: ignore[union-attr]
        alice.waits.clear()
        arguments = (10**9,) if wait == "wait_room" else ()
        if wait == "wait_online":
            clock.now -= 100.0  # before the back-off ends
        waiting = Beside(lambda: getattr(alice, wait)(*arguments, timeout=20.0))
        assert alice.waits.wait(PATIENCE)
        clock.advance(alice, 19.0)
        with alice._lock:
            assert len(alice._deadlines) == 1
        clock.advance(alice, 1.0)
        with pytest.raises(TimeoutError, match="within 20 s"):
            waiting.result()
        assert alice._deadlines == []


def test_a_login_takes_as_long_as_the_clock_says(bed: Bed) -> None:
    clock = bed.clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alice = bed.user(addresses=[silent.getsockname()], login_timeout=4.0)
        entering = Beside(alice.__enter__)
        assert alice.waits.wait(PATIENCE)
        clock.advance(alice, 4.0)
        with pytest.raises(LoginTimeout, match="within 4 s"):
            entering.result()


def test_names_that_cannot_be_found_and_addresses_that_refuse_are_tried_again_as_the_back_off_says(bed: Bed) -> None:
    clock = bed.clock = Clock()
    found: list[float] = []
    lost: list[LinkLost] = []
    failed = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    answers: list[Any] = [
        socket.gaierror(socket.EAI_NONAME, "no such name"),
        [(socket.AF_INET, socket.SOCK_STREAM, 0, "", nobody)],
        [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (nobody, bed.service.address)],
    ]

    def look_up(*_: object, **__: object) -> Any:
        found.append(clock.now)
        answer = answers[len(found) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    class Resolving(Watched):
        _getaddrinfo = staticmethod(look_up)

        def _on_event(self, event: Any) -> None:
            super()._on_event(event)
            if isinstance(event, LinkLost):
                lost.append(event)
                failed.release()

    alice = bed.user(kind=Resolving, addresses=[("frontend", 5222)])
    entering = Beside(alice.__enter__)
    expected = [0.0]
    for _ in range(2):
        assert failed.acquire(timeout=PATIENCE)
        expected.append(clock.now + lost[-1].retry_in)
        clock.advance(alice, lost[-1].retry_in)
    entering.result()
    assert found == pytest.approx(expected)
    assert [event.problem for event in lost] != []
    alice.logout()


# --------------------------------------------------------------------------------------------- KeyboardInterrupt

signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals for threads")


class Interrupting:
    """Ctrl-C for this thread, once, as soon as an event says so."""

    def __init__(self, when: threading.Event) -> None:
        self._when = when
        self._taken = threading.Event()

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._take)
        self._sending = Beside(self._send)

    def __exit__(self, *_: object) -> None:
        self._sending.result()
        signal.signal(signal.SIGINT, self._before)

    def _send(self) -> None:
        assert self._when.wait(PATIENCE)
        while not self._taken.is_set():  # Python misses one that comes just before a thread begins to wait for a lock
            signal.pthread_kill(MAIN.ident or 0, signal.SIGINT)
            self._taken.wait(0.01)

    def _take(self, *_: object) -> None:
        if not self._taken.is_set():
            self._taken.set()
            raise KeyboardInterrupt


def assert_usable(bed: Bed, alice: Watched) -> None:
    """It sends and receives, each once."""
    assert isinstance(alice.send(alice.session.account, b"to myself"), Acknowledged)
    while True:
        message = alice.receive(timeout=PATIENCE)
        assert isinstance(message, Message)
        if message.payload == b"to myself":
            return


@signals
def test_ctrl_c_while_a_send_waits_leaves_a_user_who_works(bed: Bed) -> None:
    with bed.user(close_timeout=0.0) as alice:
        alice.deafen()
        alice.sends.clear()
        with Interrupting(alice.sends), pytest.raises(KeyboardInterrupt):
            alice.send("bob", b"interrupted")
        alice.hear()
        assert_usable(bed, alice)


@signals
@pytest.mark.parametrize("wait", ["iterating", "receiving", "waiting for room", "waiting for events"])
def test_ctrl_c_while_something_waits_leaves_a_user_who_works(bed: Bed, wait: str) -> None:
    with bed.user() as alice:
        alice.waits.clear()
        with Interrupting(alice.waits), pytest.raises(KeyboardInterrupt):
            WAITS[wait][0](alice)
        assert_usable(bed, alice)


@signals
def test_ctrl_c_ends_the_block_at_once(bed: Bed) -> None:
    alice = bed.user()
    with pytest.raises(KeyboardInterrupt), alice:
        alice.waits.clear()
        with Interrupting(alice.waits):
            list(alice)
    assert alice.status == Ended(reason=EndReason.CLOSED)


class Interruption:
    """Raises KeyboardInterrupt at the n-th line of the adapter that this thread comes to.

    Not at the lines of ``with`` and ``try``: to a tracer it comes to the first once more before the lock is released,
    and what it raises at the second leaves the lock held; Python handles no signals at either.
    """

    def __init__(self, at: int) -> None:
        self._left = at
        self.happened = False

    def __enter__(self) -> Interruption:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in ADAPTER or frame.f_code.co_name in ("_pump", "_flush"):
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not self.happened and not line.startswith(("with ", "try:")):
            self._left -= 1
            if self._left == 0:
                self.happened = True
                raise KeyboardInterrupt
        return self._trace


ADAPTER = (blocking.__file__, _blocking_threads.__file__)

OPERATIONS: dict[str, Callable[[Watched], object]] = {
    "send": lambda user: user.send(user.session.account, b"interrupted"),
    "receive": lambda user: user.receive(timeout=PATIENCE),
    "iterate": lambda user: next(user),
    "wait_room": lambda user: user.wait_room(1),
    "wait_online": lambda user: user.wait_online(),
    "logout": lambda user: user.logout(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_interrupted_at_any_line_it_leaves_a_user_who_works_or_has_ended(bed: Bed, operation: str) -> None:
    for at in range(1, 1000):
        with bed.user() as alice:
            if operation in ("receive", "iterate"):
                alice.send_nowait(alice.session.account, b"for me")
            with contextlib.suppress(KeyboardInterrupt), Interruption(at) as interruption:
                OPERATIONS[operation](alice)
            if alice.session.ended is None:
                assert_usable(bed, alice)
            assert len(alice._deadlines) <= 1  # one that is left is dropped when it is over
        if not interruption.happened:
            assert at > 5
            return


# ------------------------------------------------------------------------------------------------------ forgotten


def test_one_who_is_forgotten_warns_and_ends(bed: Bed) -> None:
    alice = bed.user()
    alice.__enter__()
    thread = alice._io.thread
    users = [alice]
    del alice
    with pytest.warns(ResourceWarning, match="was not closed") as caught:
        _forget(users)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(caught) == 1  # nothing else has to be warned of


def _forget(users: list[Watched]) -> None:
    users.clear()
    gc.collect()


def test_one_who_was_ended_does_not_warn(bed: Bed) -> None:
    with bed.user() as alice:
        pass
    left = weakref.ref(alice)
    del alice
    gc.collect()  # a warning would be an error
    assert left() is None


# --------------------------------------------------------------------------------------------------- many threads


def test_many_threads_send_while_one_iterates(bed: Bed) -> None:
    threads, each = 8, 150
    with bed.user("bob", config=SessionConfig(max_pending=64)) as bob, bed.user("alice") as alice:
        account = bob.session.account

        def send(number: int) -> None:
            for count in range(each):
                payload = b"%d:%d" % (number, count)
                if count % 2:
                    bob.send(alice.session.account, payload)
                else:
                    alice.send(account, payload)

        def receive(user: Watched) -> list[bytes]:
            got: list[bytes] = []
            while len(got) < threads * each // 2:
                message = user.receive(timeout=PATIENCE)
                assert isinstance(message, Message)
                got.append(message.payload)
            return got

        receivers = [Beside(lambda user=user: receive(user)) for user in (alice, bob)]  # type: ignore[misc]
        for sender in [Beside(lambda number=number: send(number)) for number in range(threads)]:  # type: ignore[misc]
            sender.result()
        odd, even = (receiver.result() for receiver in receivers)
    expected = Counter(b"%d:%d" % (number, count) for number in range(threads) for count in range(each))
    assert Counter(odd) + Counter(even) == expected
    for number in range(threads):  # in the order in which each thread sent them
        own = [payload for payload in odd if payload.startswith(b"%d:" % number)]
        assert own == [b"%d:%d" % (number, count) for count in range(1, each, 2)]


def test_a_send_nowait_from_many_threads_waits_for_room(bed: Bed) -> None:
    with bed.user("alice", config=SessionConfig(max_pending=8)) as alice:

        def send() -> None:
            for _ in range(200):
                while True:
                    try:
                        alice.send_nowait("bob", b"hi")
                        break
                    except QueueFull:
                        alice.wait_room(timeout=PATIENCE)

        for sender in [Beside(send) for _ in range(4)]:
            sender.result()
    assert alice.session.unsettled == 0
