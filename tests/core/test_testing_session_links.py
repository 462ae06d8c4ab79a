"""The connections of a session: opened, written to, closed and lost."""

from __future__ import annotations

from collections.abc import Callable

from mimc_proto.session.requests import OpenLink
from mimc_proto.testing import Conditions, Endpoint, Network, VirtualClock
from mimc_proto.testing.session_links import SessionLink


class Far:
    """The server's end of a connection: keeps what came."""

    def __init__(self) -> None:
        self.received = b""
        self.wants_to_close: float | None = None

    def accept(self, now: float, wake: Callable[[], None]) -> Endpoint:
        """A connection arrived."""
        return self

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came."""
        self.received += data

    def receive_eof(self, now: float) -> None:
        """The end came."""
        self.received += b"|"
        self.wants_to_close = now

    def send_failed(self, now: float) -> None:
        """The connection broke."""

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        """Nothing to say."""
        return []

    def get_timer(self) -> float | None:
        """Nothing due."""
        return None

    def handle_timer(self, now: float) -> None:
        """Nothing due."""

    def close_expected(self) -> float | None:
        """When the test says."""
        return self.wants_to_close


class Owner:
    """A network with one listener, and all that the link to it says."""

    def __init__(self, capacity: int = 65_536) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock, conditions=Conditions(capacity=capacity))
        self.far = Far()
        self.network.listen("fe", 5222, self.far)
        self.told: list[object] = []
        self.link = SessionLink(self, self.network, OpenLink(link_id=3, host="fe", port=5222))

    def run(self) -> list[object]:
        """What the link said until now."""
        self.clock.run_for(1.0)
        return self.told

    def link_opened(self, link: SessionLink) -> None:
        """Connected."""
        self.told.append("opened")

    def link_received(self, link: SessionLink, data: bytes) -> None:
        """Bytes came."""
        self.told.append(data)

    def link_lost(self, link: SessionLink, error: Exception) -> None:
        """Over."""
        self.told.append(("lost", type(error)))

    def link_writable(self) -> None:
        """Room."""
        self.told.append("writable")


def test_a_link_is_opened_and_carries_bytes_both_ways() -> None:
    owner = Owner()
    assert owner.told == []
    owner.run()
    frames = [[b"one", b"two"], []]
    asked: list[int] = []

    def take(link_id: int, size: int) -> list[bytes]:
        asked.append(link_id)
        return frames.pop(0) if frames and size > 0 else []

    assert owner.link.flush(take)
    assert not owner.link.flush(take)
    assert asked == [3, 3, 3]
    owner.network.pipe.server.write([b"answer"])
    assert owner.run() == ["opened", b"answer"]
    assert owner.far.received == b"onetwo"


def test_a_link_that_cannot_be_opened_is_lost() -> None:
    owner = Owner()
    owner.network.refuse("fe", 5222)
    assert owner.run() == ["opened"]  # it was on its way before
    again = SessionLink(owner, owner.network, OpenLink(link_id=4, host="fe", port=5222))
    assert owner.run() == ["opened", ("lost", ConnectionRefusedError)]
    assert again.end is None


def test_a_link_that_is_not_open_yet_carries_nothing_and_may_be_left() -> None:
    owner = Owner()
    owner.link.pause_reading(True)
    owner.link.pump()
    assert not owner.link.flush(lambda *asked: [b"%d" % len(asked)])
    assert not owner.link.may_close(0.0)
    owner.link.close_by = 9.0
    assert owner.link.may_close(0.0)
    owner.link.leave()
    assert owner.run() == []


def test_the_end_of_a_link_and_its_break_are_told_apart() -> None:
    first, second = Owner(), Owner()
    first.run()
    second.run()
    first.far.wants_to_close = first.clock.now
    second.network.pipe.cut()
    assert first.run()[1:] == [("lost", EOFError)]
    assert second.run()[1:] == [("lost", ConnectionResetError)]


def test_a_link_takes_frames_only_while_the_pipe_takes_them() -> None:
    owner = Owner(capacity=10)
    owner.run()
    owner.network.pipe.up.stall()
    asked: list[int] = []

    def frames(link_id: int, size: int) -> list[bytes]:
        asked.append(size)
        return [bytes(6 * (link_id == 3))]

    owner.link.flush(frames)
    assert asked == [10, 4]
    owner.link.close_by = 5.0
    assert not owner.link.may_close(4.0)
    assert owner.link.may_close(5.0)
    owner.network.pipe.up.resume()
    assert owner.run() == ["opened", "writable"]
    assert owner.link.may_close(0.0)


def test_a_link_that_pauses_is_pumped_when_it_reads_again() -> None:
    owner = Owner()
    owner.run()
    owner.link.pause_reading(True)
    owner.network.pipe.server.write([b"waits"])
    owner.clock.run_for(1.0)
    owner.link.pump()
    assert owner.told == ["opened"]
    owner.link.pause_reading(False)
    owner.link.pump()
    assert owner.told == ["opened", b"waits"]


def test_leaving_closes_the_connection() -> None:
    owner = Owner()
    owner.run()
    owner.link.leave()
    assert owner.run() == ["opened"]
    assert owner.far.received == b"|"
