"""MIMC's protobuf messages and enums, one name each, as `proto/*.proto` define them.

The classes are made at import from the checked-in `mimc.desc`: generated `_pb2` modules would tie users to
one or two majors of protobuf. They live in a descriptor pool of their own: two libraries that register
different files or messages under one name in the default pool cannot be imported together.
`make proto` regenerates `mimc.desc` and the type stub.
"""

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

__all__: list[str] = []

_pool = DescriptorPool()

for _file in FileDescriptorSet.FromString(Path(__file__).with_name("mimc.desc").read_bytes()).file:
    _pool.AddSerializedFile(_file.SerializeToString())
    _added = _pool.FindFileByName(_file.name)
    _names = {
        **{name: GetMessageClass(message) for name, message in _added.message_types_by_name.items()},
        **{name: EnumTypeWrapper(enum) for name, enum in _added.enum_types_by_name.items()},
    }
    globals().update(_names)
    __all__ += sorted(_names)

del _file, _added, _names
