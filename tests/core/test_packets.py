"""What the package of packets offers to the rest of the program."""

import enum

from support.strategies import wire_records

from mimc_proto import packets
from mimc_proto._record import Record
from mimc_proto.packets import WireRecord

PUBLIC = {name: getattr(packets, name) for name in packets.__all__}


def test_every_record_with_a_message_is_public() -> None:
    public = {cls for cls in PUBLIC.values() if isinstance(cls, type) and issubclass(cls, WireRecord)}
    assert public == {*wire_records(), WireRecord}


def test_every_public_name_is_there_once_and_in_order() -> None:
    assert packets.__all__ == sorted(set(packets.__all__))


def test_every_public_class_says_what_it_is() -> None:
    classes = [cls for cls in PUBLIC.values() if isinstance(cls, type)]
    assert all(cls.__doc__ and issubclass(cls, (Record, enum.Enum)) for cls in classes)


def test_no_protobuf_class_is_public() -> None:
    assert not any(hasattr(value, "SerializeToString") for value in PUBLIC.values())
