"""Immutable records: what packets and events are made of.

A record is a tuple with named, keyword-only fields. A frozen dataclass of a dozen fields costs five times as much
to make, and a link makes several for every message. Bytes are shown by their length and secret fields not at all.
"""

from __future__ import annotations

import inspect
import sys
from collections import namedtuple
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

__all__ = ["Record", "new_record"]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record(tuple[Any, ...]):
    """Base class; a subclass lists its fields as annotations, with ``__slots__ = ()`` above them.

    ``secret=`` names the fields that a repr must not show. Records compare by type and value.
    """

    __slots__ = ()
    __match_args__ = ()
    field_names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    _secret: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, *, secret: Iterable[str] = (), **options: Any) -> None:
        super().__init_subclass__(**options)
        own = [name for name, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind)]
        inherited = [name for name in cls.field_names if name not in own]
        names = (*inherited, *own)
        defaults = {**cls._defaults, **{name: cls.__dict__[name] for name in own if name in cls.__dict__}}
        cls.field_names, cls._defaults = names, defaults
        cls._secret = cls._secret | frozenset(secret)
        # namedtuple makes the fastest field getters there are in a public place
        getters = vars(namedtuple(cls.__name__, names))
        for name in names:
            setattr(cls, name, getters[name])
        cls.__new__ = _constructor(cls, names, defaults)  # type: ignore[method-assign]  # made for each class

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        """A record of all field values in order, unchecked: the way the codec makes them."""
        return tuple.__new__(cls, values)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{**dict(zip(self.field_names, self, strict=True)), **changes})

    __replace__ = replace

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __repr__(self) -> str:
        shown = []
        for name, value in zip(self.field_names, self, strict=True):
            if name in self._defaults and value == self._defaults[name]:
                continue
            shown.append(f"{name}={'***' if name in self._secret and value else _brief(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._make, (tuple(self),)


R = TypeVar("R", bound=Record)

new_record: Callable[[type[R], tuple[Any, ...]], R] = tuple.__new__
"""A record of all field values in order, unchecked: the hot path's way, without a Python call."""


def _brief(value: object) -> str:
    """A value as a log may show it: bytes (the text of messages) by their length."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if type(value) is tuple:
        return f"({''.join(f'{_brief(item)}, ' for item in value)})"
    return repr(value)


def _constructor(cls: type[Record], names: tuple[str, ...], defaults: dict[str, Any]) -> Any:
    arguments = ", ".join(f"{name}=_defaults[{name!r}]" if name in defaults else name for name in names)
    values = "".join(f"{name}, " for name in names)
    head = f"(_cls, *, {arguments})" if names else "(_cls)"
    scope = {"_defaults": defaults, "_new": tuple.__new__}
    exec(f"def __new__{head}: return _new(_cls, ({values}))", scope)
    function: Any = scope["__new__"]
    function.__qualname__ = f"{cls.__qualname__}.__new__"
    function.__module__ = sys.intern(cls.__module__)
    return function
