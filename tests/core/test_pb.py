"""The message classes are those of the specification, whatever protobuf is installed."""

import re
import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message import Message

from mimc_proto import pb

GENERATE = Path(__file__).parents[2] / "proto" / "generate.py"

# Copied from the specification, as the official clients have them: this and the .proto files must agree.
ENUMS = """
MIMC_MSG_TYPE: P2P_MESSAGE 1, P2T_MESSAGE 2, SEQUENCE_ACK 3, PACKET_ACK 4, PULL 5, COMPOUND 6, RTS_SIGNAL 7,
  UC_PACKET 8, P2P_PUSH_MESSAGE 9, P2T_PUSH_MESSAGE 10, ONLINE_MESSAGE 11, ONLINE_MESSAGE_ACK 12
MIMC_PUSH_STATUS: STATUS_NORMAL 1, STATUS_EXCEED_COUNT_LIMIT 2
UC_MSG_TYPE: PING 1, PONG 2, JOIN 3, JOIN_RESP 4, QUIT 5, QUIT_RESP 6, SEQ_ACK 7, MESSAGE 8, MESSAGE_LIST 9,
  DISMISS 10, QUERY_ONLINE_USERS 11, QUERY_ONLINE_USERS_RESP 12
MSG_DIR_FLAG: CS_ONEWAY 1, CS_REQ 2, CS_RESP 3, SC_ONEWAY 4, SC_REQ 5, SC_RESP 6
"""

# A field is optional unless marked.
MESSAGES = """
PullMessageRequest: 1 uuid uint64 (required), 2 resource string (required), 3 appId uint64
MIMCPacket: 1 packetId string, 2 package string, 3 sequence int64, 4 type MIMC_MSG_TYPE, 5 payload bytes, 6
  timestamp int64, 7 conversation bool, 8 convIndex int64
MIMCPacketList: 1 uuid uint64, 2 resource string, 3 maxSequence int64, 4 packets MIMCPacket (repeated), 5
  status MIMC_PUSH_STATUS, 6 minSequence int64
MIMCPacketAck: 1 packetId string, 2 uuid uint64, 3 resource string, 4 sequence int64, 5 timestamp int64, 6
  package string, 7 errorMsg string, 8 code int32, 9 convIndex int64
MIMCP2PMessage: 1 from MIMCUser, 2 to MIMCUser, 3 payload bytes, 4 isStore bool, 5 bizType string
MIMCP2TMessage: 1 from MIMCUser, 2 to MIMCGroup, 3 payload bytes, 4 isStore bool, 5 bizType string
MIMCSequenceAck: 1 uuid uint64, 2 resource string, 3 sequence int64, 4 appId uint64
MIMCOnlineMessageAck: 1 packetId string (required), 2 uuid uint64, 3 resource string, 4 code int32
  (required), 5 errorMsg string
P2PPushMesage: 1 from MIMCUser, 2 to MIMCUser (repeated), 3 payload bytes, 4 isStore bool, 5 bizType string,
  6 isSystemMsg bool
P2TPushMesage: 1 from MIMCUser, 2 to MIMCGroup (repeated), 3 payload bytes, 4 isStore bool, 5 bizType
  string, 6 isSystemMsg bool
MIMCUser: 1 appId uint64, 2 appAccount string, 3 uuid uint64, 4 resource string
MIMCGroup: 1 appId uint64, 2 topicId uint64
UCGroup: 1 appId uint64, 2 topicId uint64
UCPacket: 1 user MIMCUser (required), 2 type UC_MSG_TYPE (required), 3 payload bytes (required), 4 packetId
  string (required)
UCJoin: 1 group UCGroup (required)
UCJoinResp: 1 group UCGroup (required), 2 code int32 (required), 3 message string
UCQuit: 1 group UCGroup (required)
UCQuitResp: 1 group UCGroup (required), 2 code int32 (required), 3 message string
UCPing: 1 group UCGroup (repeated)
UCMessage: 1 group UCGroup (required), 2 payload bytes (required), 3 sequence int64, 4 isStore bool, 5 user
  MIMCUser, 6 timestamp int64, 7 packetId string, 8 bizType string
UCPushMessage: 1 user MIMCUser (required), 2 group UCGroup (repeated), 3 payloads bytes (repeated), 4
  isStore bool, 5 timestamp int64, 6 packetId string, 7 bizType string
UCMessageList: 1 group UCGroup (required), 2 message UCMessage (repeated), 3 maxSequence int64
UCSequenceAck: 1 group UCGroup (required), 2 sequence int64 (required)
UCDismiss: 1 group UCGroup (required)
UCQueryOnlineUsers: 1 group UCGroup (required)
UCQueryOnlineUsersResp: 1 group UCGroup (required), 2 userCount int64 (required)
ClientHeader: 1 chid int32, 2 uuid int64, 3 server string, 4 resource string, 5 cmd string, 6 subcmd string,
  7 id string, 8 dir_flag MSG_DIR_FLAG, 9 cipher int32, 10 err_code int32, 11 err_str string
XMMsgConn: 1 version uint32, 2 model string, 3 os string, 4 udid string, 5 sdk int32, 6 connpt string, 7
  host string, 8 locale string, 9 psc PushServiceConfigMsg, 10 andver int32, 11 publicKeyN bytes, 12
  publicKeyE bytes
XMMsgConnResp: 1 challenge string, 2 host string, 3 psc PushServiceConfigMsg, 4 sessionKey bytes
XMMsgBind: 1 token string, 2 kick string, 3 method string, 4 client_attrs string, 5 cloud_attrs string, 6
  sig string, 7 sso bool
XMMsgBindResp: 1 result bool, 2 error_type string, 3 error_reason string, 4 error_desc string
XMMsgPing: 1 stats bytes, 2 psc PushServiceConfigMsg
XMMsgNotify: 1 err_code int32, 2 err_str string
XMMsgKick: 1 type string, 2 reason string, 3 desc string
XMMsgU: 1 url string, 2 token string, 3 start uint64, 4 end uint64, 5 force bool, 6 maxlen int32
PushServiceConfigMsg: 1 fetchBucket bool, 2 useBucketV2 bool, 3 clientVersion int32, 4 cloudVersion int32, 5
  dots int32
"""

Field = tuple[str, str, str]
PROTO_TYPES = {
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_INT32: "int32",
    FieldDescriptorProto.TYPE_INT64: "int64",
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_UINT32: "uint32",
    FieldDescriptorProto.TYPE_UINT64: "uint64",
}
PROTO_LABELS = {
    FieldDescriptorProto.LABEL_OPTIONAL: "optional",
    FieldDescriptorProto.LABEL_REPEATED: "repeated",
    FieldDescriptorProto.LABEL_REQUIRED: "required",
}


def entries(table: str) -> Iterable[tuple[str, list[str]]]:
    """Name and comma-separated items of each entry; an indented line continues the one before."""
    for entry in re.split(r"\n(?! )", table.strip()):
        name, items = entry.split(": ")
        yield name, [" ".join(item.split()) for item in items.split(",")]


def specified_enums() -> dict[str, dict[str, int]]:
    return {name: {value: int(number) for value, number in map(str.split, items)} for name, items in entries(ENUMS)}


def specified_messages() -> dict[str, dict[int, Field]]:
    messages: dict[str, dict[int, Field]] = {}
    for name, items in entries(MESSAGES):
        messages[name] = {}
        for number, field, type_name, *label in map(str.split, items):
            messages[name][int(number)] = (field, type_name, label[0].strip("()") if label else "optional")
    return messages


def described_field(field: FieldDescriptorProto) -> Field:
    type_name = field.type_name.rpartition(".")[2] if field.type_name else PROTO_TYPES[field.type]
    return field.name, type_name, PROTO_LABELS[field.label]


def proto_of(message: type[Message]) -> DescriptorProto:
    proto = DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)
    return proto


def public(*, messages: bool) -> dict[str, Any]:
    return {name: value for name in pb.__all__ if isinstance(value := getattr(pb, name), type) is messages}


def test_every_message_of_the_specification_is_there_and_no_other() -> None:
    assert {
        name: {field.number: described_field(field) for field in proto_of(message).field}
        for name, message in public(messages=True).items()
    } == specified_messages()


def test_every_enum_of_the_specification_is_there_and_no_other() -> None:
    assert {name: dict(enum.items()) for name, enum in public(messages=False).items()} == specified_enums()


def test_enum_values_are_attributes_and_plain_numbers() -> None:
    assert pb.MIMC_MSG_TYPE.PULL == 5
    assert pb.MIMC_MSG_TYPE.Name(5) == "PULL"


def test_a_message_survives_the_wire() -> None:
    packet = pb.MIMCPacket(packetId="a_1", type=pb.MIMC_MSG_TYPE.COMPOUND, sequence=2**62, payload=b"\xff")
    assert packet.SerializeToString() == b"\x0a\x03a_1\x18" + b"\x80" * 8 + b"\x40\x20\x06\x2a\x01\xff"
    assert pb.MIMCPacket.FromString(packet.SerializeToString()) == packet


def test_a_message_of_one_file_is_a_field_in_another() -> None:
    conn = pb.XMMsgConn(psc=pb.PushServiceConfigMsg(clientVersion=7))
    assert pb.XMMsgConn.FromString(conn.SerializeToString()).psc.clientVersion == 7


def test_the_field_called_from_is_reached_by_getattr() -> None:
    message = pb.MIMCP2PMessage()
    getattr(message, "from").appAccount = "alice"
    assert message.HasField("from")
    assert message.SerializeToString() == b"\x0a\x07\x12\x05alice"


def test_the_default_pool_of_protobuf_stays_untouched() -> None:
    assert pb.ClientHeader.DESCRIPTOR.file.pool is not descriptor_pool.Default()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("mimc.ClientHeader")


def test_the_checked_in_files_are_what_the_proto_files_give() -> None:
    pytest.importorskip("grpc_tools", reason="protoc is in the extra `dev`")
    check = subprocess.run([sys.executable, GENERATE, "--check"], capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (0, "")


def test_the_real_time_stream_files_compile() -> None:
    pytest.importorskip("grpc_tools", reason="protoc is in the extra `dev`")
    generate = runpy.run_path(str(GENERATE))
    files = FileDescriptorSet.FromString(generate["compile_files"](generate["RTS_FILES"])).file
    described = {file.package: (len(file.enum_type), [message.name for message in file.message_type]) for file in files}
    assert described == {
        "mimc.rts": (
            6,
            [
                "UserInfo",
                "CallInfo",
                "RTSMessage",
                "CreateRequest",
                "InviteRequest",
                "InviteResponse",
                "CreateResponse",
                "UpdateRequest",
                "UpdateResponse",
                "PingRequest",
                "PingResponse",
                "ByeRequest",
                "ByeResponse",
                "CreateChannelRequest",
                "CreateChannelResponse",
                "JoinChannelRequest",
                "JoinChannelResponse",
                "LeaveChannelRequest",
                "LeaveChannelResponse",
                "UserJoinNotification",
                "UserLeaveNotification",
            ],
        ),
        "mimc.rts.relay": (
            6,
            [
                "UserPacket",
                "BindRelayRequest",
                "StreamConfig",
                "BindRelayResponse",
                "PingRelayRequest",
                "PingRelayResponse",
                "UnBindRelayRequest",
                "UnBindRelayResponse",
                "RelayKickRequest",
                "RelayKickResponse",
                "BurrowPacket",
            ],
        ),
    }
