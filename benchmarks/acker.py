"""A frontend that logs anybody in and acknowledges everything, as cheaply as can be: the other end of the benchmarks.

Runs in a process of its own. Messages are not decrypted: an acknowledgement needs no more than the id in the header,
which our client uses as packet id as well. All acknowledgements have one header id, so one keystream does for all.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys

from mimc_proto import ServerConnection
from mimc_proto._checks import link_secret
from mimc_proto.crypto import BodyCipher, body_key
from mimc_proto.events import BindRequested, PacketReceived
from mimc_proto.framing import TcpDecoder, encode_tcp_frame, join_body, split_body
from mimc_proto.packets import Command, Direction, Header, P2PMessage, Packet, PacketList, Pull, User
from mimc_proto.packets.encoders import AckEncoder, HeaderTemplate

APP_ID = 2882303761517613988
SECURITY_KEY = "XOF8dTB2dOVVkEdZB9O21w=="
PACKAGE = "com.xiaomi.imc.test_app1"
CHALLENGE = "B7cZuZSa57fM0opU"
UUID = 6874178410250241
OWN_ID = b"0123456789ab"
FLOODED = "flooded"
"""Who logs in with this token gets `FLOOD` messages in lists of `IN_A_LIST` whenever it sends PULL."""
FLOOD, IN_A_LIST = 20_000, 20
TIMESTAMP = 1_526_354_160_772


class Acker(asyncio.Protocol):
    """One connection: a link until the client is logged in, then bytes to bytes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.now = asyncio.get_running_loop().time
        self.link: ServerConnection | None = ServerConnection(challenge=CHALLENGE, first_id=1, now=self.now())
        self.sequence = 15_263_541_607_720_001
        self.received: HeaderTemplate | None = None

    def data_received(self, data: bytes) -> None:
        if self.link is None:
            self.acknowledge(data)
            return
        self.link.receive_data(data, self.now())
        for event in self.link.events():
            if isinstance(event, PacketReceived) and isinstance(event.packet.body, Pull):
                self.transport.write(b"".join(self.flood))
            elif isinstance(event, BindRequested):
                self.link.accept_bind(
                    app_id=APP_ID,
                    account=event.bind.token,  # the benchmarks' tokens are account names
                    uuid=UUID,
                    security_key=SECURITY_KEY,
                    package=PACKAGE,
                    now=self.now(),
                )
                answer = b"".join(self.link.data_to_send())
                if event.bind.token == FLOODED:
                    self.prepare_flood(event.resource)
                self.transport.write(answer)
                if event.bind.token == FLOODED:
                    continue
                self.link = None
                self.bound(event.resource)
                return
        self.transport.write(b"".join(self.link.data_to_send()))

    def prepare_flood(self, resource: str) -> None:
        """Lists of messages, ready to be written when the client asks for them."""
        assert self.link is not None  # it was just bound
        sender = User(app_id=APP_ID, account="bob", uuid=UUID + 1, resource="pc")
        receiver = User(app_id=APP_ID, account=FLOODED, uuid=UUID)
        sequence, self.flood = self.sequence, list[bytes]()
        for _ in range(FLOOD // IN_A_LIST):
            packets = []
            for _ in range(IN_A_LIST):
                sequence += 1
                body = P2PMessage(sender=sender, recipient=receiver, payload=bytes(100), is_store=True)
                packets.append(Packet(packet_id=f"bob_{sequence}", sequence=sequence, timestamp=TIMESTAMP, body=body))
            it = PacketList(uuid=UUID, resource=resource, packets=tuple(packets), max_sequence=sequence)
            self.link.send(it, now=self.now())
            self.flood += self.link.data_to_send(1 << 30)

    def bound(self, resource: str) -> None:
        """From here on there are only messages."""
        self.decoder = TcpDecoder(1 << 20)
        self.cipher = BodyCipher(body_key(CHALLENGE, ""))
        self.payload_cipher = BodyCipher(link_secret(SECURITY_KEY) + OWN_ID)
        self.acks = AckEncoder(UUID, resource, PACKAGE)
        header = Header(
            chid=9,
            uuid=UUID,
            server="xiaomi.com",
            resource=resource,
            cmd=Command.SECMSG,
            id="",
            dir_flag=Direction.SC_ONEWAY,
            cipher=1,
        )
        self.header = HeaderTemplate(header).encode(OWN_ID)

    def acknowledge(self, data: bytes) -> None:
        """An acknowledgement for every message."""
        decoder, cipher = self.decoder, self.cipher
        decoder.feed(data)
        answers = []
        while (body := decoder.next_body()) is not None:
            body = cipher.apply(body)
            opened = None if self.received is None else self.received.open(body)
            if opened is None:
                raw, _ = split_body(body)
                header = Header.decode(raw)
                if header.cmd != Command.SECMSG:  # PING, UBND: the benchmarks need no answer
                    continue
                self.received = HeaderTemplate.learn(raw, header)
                packet_id = (header.id or "").encode()
            else:
                packet_id = opened[0].encode()
            self.sequence += 1
            ack = self.acks.encode(OWN_ID, packet_id, self.sequence, TIMESTAMP, 0, b"", None)
            answers.append(encode_tcp_frame(cipher.apply(join_body(self.header, self.payload_cipher.apply(ack)))))
        self.transport.write(b"".join(answers))


async def serve(port: int, certificate: str | None) -> None:
    """Listen until standard input ends; the port is printed first."""
    loop = asyncio.get_running_loop()
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await loop.create_server(Acker, "127.0.0.1", port, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certificate", help="a file with a key and its certificate: speak TLS")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.certificate))
