"""What only official clients do, with frames made by hand (clients.md)."""

from __future__ import annotations

from mimc_server.service import CheckSessions, EndReason, LoginRefused, PacketIgnored
from support.links import Frame, ScriptedClient
from support.service_bed import APP, Town

from mimc_proto import Framing
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    BindAnswer,
    ConnAnswer,
    Header,
    P2PMessage,
    Packet,
    PacketAck,
    PacketList,
    SequenceAck,
    User,
)


class Official:
    """An official client on a service, frame by frame."""

    def __init__(self, town: Town, account: str, framing: Framing = Framing.TCP) -> None:
        self.town = town
        self.peer = ScriptedClient(framing)
        self.link_id = town.node.service.link_opened(town.now, framing=framing)
        [frame] = self.tell(self.peer.conn())
        self.peer.challenge = ConnAnswer.decode(frame.payload).challenge
        self.peer.encrypt_bodies()
        self.credentials = town.credentials(account)
        self.peer.uuid, self.peer.token = self.credentials.uuid, self.credentials.token
        self.peer.security_key = self.credentials.security_key
        self.peer.resource = "official"

    def tell(self, data: bytes) -> list[Frame]:
        """What the service answers to a frame."""
        self.raw(data)
        return [self.peer.read(frame) for frame in self.taken]

    def raw(self, data: bytes) -> None:
        town = self.town
        town.node.service.receive_data(self.link_id, data, town.now, town.wall_ms)
        town.settle()
        self.taken = town.node.service.data_to_send(self.link_id, 1 << 30)

    def packets(self, data: bytes) -> list[Packet]:
        """The packets that the service answers to a frame."""
        self.raw(data)
        return [self.peer.read_packet(frame) for frame in self.taken]

    def bind(self) -> bool:
        answer, *_ = self.tell(self.peer.bind())
        return BindAnswer.decode(answer.payload).result


def commands(frames: list[Frame]) -> list[str]:
    return [frame.command for frame in frames]


def test_cpp_binds_again_on_its_link_every_six_seconds_and_stays_online() -> None:
    town = Town()
    cpp = Official(town, "alice")
    assert cpp.bind()
    before = town.node.service.sessions()
    assert commands(cpp.tell(cpp.peer.bind())) == ["BIND"]
    assert town.node.service.sessions() == before


def test_of_two_binds_in_one_read_the_newer_one_counts() -> None:
    town = Town()
    client = Official(town, "alice")
    forged, good = client.peer.bind(sig="forged"), client.peer.bind()
    [answer] = client.tell(forged + good)
    assert BindAnswer.decode(answer.payload).result
    assert town.node.said(LoginRefused) == []
    assert len(town.node.service.sessions()) == 1


def test_of_two_binds_in_one_read_the_newer_one_counts_also_if_it_is_bad() -> None:
    town = Town()
    client = Official(town, "alice")
    good, forged = client.peer.bind(), client.peer.bind(sig="forged")
    [answer] = client.tell(good + forged)
    assert not BindAnswer.decode(answer.payload).result
    assert len(town.node.said(LoginRefused)) == 1
    assert town.node.service.sessions() == []
    assert client.bind()


def test_a_session_that_has_a_newer_token_by_now_is_not_ended_for_the_old_one() -> None:
    town = Town()
    client = Official(town, "alice")
    assert client.bind()
    town.run_for(4.0)
    town.store.revoke_tokens(client.peer.uuid, town.wall_ms)
    newer = town.credentials("alice")
    town.node.hold()
    town.run_for(1.0)
    [check] = [request for request in town.node.held or [] if isinstance(request, CheckSessions)]
    answer = check.perform(town.store, town.wall_ms)
    town.node.held = None
    client.peer.token, client.peer.security_key = newer.token, newer.security_key
    assert client.bind()
    town.node.service.store_answered(check.request_id, answer, town.now, town.wall_ms)
    town.run_for(30.0)
    assert answer == [EndReason.TOKEN_EXPIRED]
    assert len(town.node.service.sessions()) == 1


def test_go_sends_uuid_0_and_its_bound_identity_counts() -> None:
    town = Town()
    bob = town.login("bob")
    go = Official(town, "alice")
    assert go.bind()
    message = P2PMessage(
        sender=User(app_id=APP, account="", uuid=0, resource=""),
        recipient=User(app_id=APP, account="bob", uuid=0, resource=""),
        payload=b"hi",
    )
    [ack] = go.packets(go.peer.send(message, uuid=0))
    assert isinstance(ack.body, PacketAck)
    assert ack.body.code == 0
    [received] = bob.messages
    assert received.sender == User(app_id=APP, account="alice", uuid=go.peer.uuid, resource="official")


def test_the_ack_names_the_packet_not_the_header() -> None:
    town = Town()
    cpp = Official(town, "alice")
    assert cpp.bind()
    inner = Packet(packet_id="inner", body=P2PMessage(recipient=User(account="bob"), payload=b"hi"))
    [ack] = cpp.packets(cpp.peer.send(inner.encode(), "outer"))
    assert isinstance(ack.body, PacketAck)
    assert ack.body.packet_id == "inner"


def test_a_sequence_ack_says_nothing_of_whose_it_is() -> None:
    town = Town()
    town.login("bob").send("alice")
    java = Official(town, "alice")
    java.raw(java.peer.bind())
    [pushed] = java.taken[1:]
    body = java.peer.read_packet(pushed).body
    assert isinstance(body, PacketList)
    ack = SequenceAck(uuid=1, resource="of somebody else", sequence=body.max_sequence or 0)
    assert java.packets(java.peer.send(ack)) == []
    assert town.login("alice", "official").payloads == []


def test_a_displaced_go_client_that_binds_again_at_once_is_kept_away() -> None:
    town = Town()
    go = Official(town, "alice")
    assert go.bind()
    town.login("alice", "official")
    go.raw(EMPTY_FRAME)
    answer, *_ = go.tell(go.peer.bind())
    refused = BindAnswer.decode(answer.payload)
    assert (refused.result, refused.error_type) == (False, "single-resource-kick")


def test_go_pings_on_after_its_logout_and_is_answered() -> None:
    town = Town()
    go = Official(town, "alice")
    assert go.bind()
    assert commands(go.tell(go.peer.command("UBND"))) == ["KICK"]
    assert commands(go.tell(go.peer.command("PING"))) == [""]
    assert town.node.service.sessions() == []


def test_webjs_sends_plain_packets_and_gets_encrypted_ones() -> None:
    town = Town()
    web = Official(town, "alice", Framing.WEBSOCKET)
    assert web.bind()
    message = P2PMessage(recipient=User(app_id=APP, account="alice"), payload=b"note")
    ack, note = web.packets(web.peer.send(message))
    assert isinstance(ack.body, PacketAck)
    assert isinstance(note.body, PacketList)


def test_whatever_goes_down_has_canonical_headers_of_the_bound_session() -> None:
    town = Town()
    java = Official(town, "alice")
    frames = java.tell(java.peer.bind())
    message = P2PMessage(recipient=User(app_id=APP, account="alice"), payload=b"note")
    frames += java.tell(java.peer.send(message))
    assert len(frames) == 3
    for frame in frames:
        header = frame.header
        assert header is not None
        assert header.encode() == frame.header_bytes
        assert (header.uuid, header.resource) == (java.peer.uuid, "official")
        assert Header.decode(frame.header_bytes) == header


def test_commands_that_mean_nothing_to_a_server_are_ignored() -> None:
    town = Town()
    client = Official(town, "alice")
    assert client.bind()
    assert client.tell(client.peer.command("NOTIFY")) == []
    assert [event.what for event in town.node.said(PacketIgnored)] == ["NOTIFY"]


def test_what_comes_behind_a_refused_bind_in_the_same_read_is_not_taken() -> None:
    town = Town()
    bob = town.login("bob")
    client = Official(town, "alice")
    assert client.bind()
    message = P2PMessage(recipient=User(app_id=APP, account="bob"), payload=b"hi")
    answers = client.tell(client.peer.bind(sig="forged") + client.peer.send(message))
    assert commands(answers) == ["BIND"]
    assert bob.payloads == []
