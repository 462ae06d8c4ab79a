"""The habits of the official C++ and C# clients."""

from __future__ import annotations

from support.links import APP_ID, ME, RESOURCE, UUID, ScriptedClient, accept, commands, names, new_server

from mimc_proto import ServerConnection, ServerState
from mimc_proto.events import BindRequested, ClientConnected, PacketReceived
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Kick, P2PMessage, Packet, PacketAck, SequenceAck, User

BODY = P2PMessage(sender=ME, recipient=User(app_id=APP_ID, account="bob"), payload=b"hi", is_store=True, biz_type="")


def cpp() -> tuple[ServerConnection, ScriptedClient]:
    """A C++ client that is online: its udid of 10 characters is in the body key."""
    link, peer = new_server(), ScriptedClient(udid="aB3dE6gH9j")
    link.receive_data(peer.conn(os="linux", model="", connpt="", locale="", andver=0), 0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)
    assert commands(peer, link) == ["CONN", "BIND"]
    link.events()
    return link, peer


def test_the_udid_of_cpp_is_in_the_body_key() -> None:
    link, peer = cpp()
    link.receive_data(peer.send(BODY), 0.0)
    assert names(link.events()) == ["PacketReceived"]


def test_cpp_signs_client_attributes_with_a_trailing_comma() -> None:
    link, peer = new_server(), ScriptedClient(udid="aB3dE6gH9j")
    link.receive_data(peer.conn(), 0.0)
    link.receive_data(peer.bind(signed={"client_attrs": "version:1,os:linux,"}), 0.0)
    assert accept(link) is True


def test_cpp_numbers_headers_and_packets_apart_and_the_packets_id_is_acknowledged() -> None:
    link, peer = cpp()
    packet = Packet(packet_id="abcdefghijklmno_2", package="p", body=BODY, timestamp=1526354160).encode()
    link.receive_data(peer.send(packet, "abcdefghijklmno_1"), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert (event.id, event.packet.packet_id) == ("abcdefghijklmno_1", "abcdefghijklmno_2")
    link.send(PacketAck(packet_id=event.packet.packet_id or ""), now=0.0)
    [frame] = link.data_to_send()
    assert peer.read_packet(frame).body.packet_id == "abcdefghijklmno_2"  # type: ignore[union-attr]


def test_cpp_stamps_packets_in_seconds_which_nobody_minds() -> None:
    link, peer = cpp()
    packet = Packet(packet_id="x_2", package="p", conversation=True, body=BODY, timestamp=1526354160).encode()
    link.receive_data(peer.send(packet, "x_1"), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert (event.packet.timestamp, event.packet.conversation) == (1526354160, True)


def test_cpp_pings_with_an_empty_frame_and_gets_one() -> None:
    link, _ = cpp()
    link.receive_data(EMPTY_FRAME, 15.0)
    assert link.data_to_send() == [EMPTY_FRAME]
    assert link.get_timer() == 255.0


def test_cpp_sends_bind_again_while_it_waits_and_either_answer_will_do() -> None:
    link, peer = new_server(), ScriptedClient(udid="aB3dE6gH9j")
    link.receive_data(peer.conn(), 0.0)
    for now in (0.1, 6.1, 12.1):
        link.receive_data(peer.bind(), now)
    assert [event.id for event in link.events() if isinstance(event, BindRequested)] == [
        "client_2",
        "client_3",
        "client_4",
    ]
    assert accept(link, now=12.2)
    assert commands(peer, link) == ["CONN", "BIND"]


def test_cpp_sends_bind_again_on_the_same_link_after_it_was_accepted() -> None:
    link, peer = cpp()
    link.receive_data(peer.bind(), 6.0)
    link.receive_data(peer.send(BODY), 6.1)
    assert accept(link, now=6.2)
    link.receive_data(peer.send(BODY), 6.3)
    assert names(link.events()) == ["BindRequested", "PacketReceived", "PacketReceived"]


def test_cpp_counts_as_logged_out_by_an_empty_kick_and_its_link_is_kept() -> None:
    link, peer = cpp()
    link.receive_data(peer.command("UBND"), 0.0)
    [kick] = peer.read_all(link.data_to_send())
    assert (kick.command, Kick.decode(kick.payload)) == ("KICK", Kick())
    assert link.close_expected() is None


def csharp() -> tuple[ServerConnection, ScriptedClient]:
    """A C# client that is online: no sdk in CONN, client_attrs absent but signed as empty."""
    link, peer = new_server(), ScriptedClient()
    link.receive_data(peer.conn(os="macOS", sdk=None), 0.0)
    link.receive_data(peer.bind(client_attrs=None, cloud_attrs=None), 0.0)
    assert accept(link)
    link.data_to_send()
    return link, peer


def test_csharp_names_no_sdk_and_leaves_out_what_it_signs_as_empty() -> None:
    link, _ = csharp()
    connected, bind = link.events()
    assert isinstance(connected, ClientConnected)
    assert (connected.conn.sdk, connected.conn.os) == (None, "macOS")
    assert isinstance(bind, BindRequested)
    assert (bind.bind.client_attrs, bind.bind.sso) == (None, None)
    assert link.state is ServerState.BOUND


def test_csharp_pings_with_empty_frames() -> None:
    link, _ = csharp()
    for now in (15.0, 30.0, 45.0):
        link.receive_data(EMPTY_FRAME, now)
        assert link.data_to_send() == [EMPTY_FRAME]


def test_csharp_acknowledges_without_naming_the_application() -> None:
    link, peer = csharp()
    link.events()
    link.receive_data(peer.send(SequenceAck(uuid=UUID, resource=RESOURCE, sequence=9)), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert event.packet.body == SequenceAck(uuid=UUID, resource=RESOURCE, sequence=9)


def test_csharp_stamps_packets_in_milliseconds_which_nobody_minds_either() -> None:
    link, peer = csharp()
    link.events()
    packet = Packet(packet_id="x-2", package="p", body=BODY, timestamp=1526354160772).encode()
    link.receive_data(peer.send(packet, "x-2"), 0.0)
    assert names(link.events()) == ["PacketReceived"]
