"""Records are immutable values: named fields only, compared by type and value, shown without secrets."""

import copy
import pickle
from typing import Any, ClassVar

import pytest

from mimc_proto._record import Record


class Point(Record):
    """A record with a required and an optional field."""

    __slots__ = ()
    x: int
    y: int = 0
    origin: ClassVar[str] = "not a field"


class Place(Record):
    """Another class with the same fields."""

    __slots__ = ()
    x: int
    y: int = 0


class Spot(Point):
    """A record that adds a field, and gives an inherited one a default."""

    __slots__ = ()
    x: int = 7
    name: str = ""


class Login(Record, secret=("password", "pin")):
    """A record with secrets."""

    __slots__ = ()
    user: str
    password: str
    pin: bytes = b""
    nested: Any = None


class Login2(Login, secret=("code",)):
    """A record with inherited secrets and one more."""

    __slots__ = ()
    code: str = ""


class Nothing(Record):
    """A record without fields."""

    __slots__ = ()


# ---------------------------------------------------------------------------------------------------------- making


def test_fields_are_read_by_name() -> None:
    point = Point(x=1, y=2)
    assert (point.x, point.y) == (1, 2)


def test_a_field_left_out_has_its_default() -> None:
    assert Point(x=1).y == 0


def test_a_required_field_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="'x'"):
        Point(y=1)  # type: ignore[call-arg]


def test_fields_cannot_be_given_by_position() -> None:
    with pytest.raises(TypeError, match="positional"):
        Point(1, 2)  # type: ignore[call-arg]


def test_an_unknown_field_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="'z'"):
        Point(x=1, z=2)  # type: ignore[call-arg]


def test_a_record_may_have_no_fields() -> None:
    assert repr(Nothing()) == "Nothing()"


def test_a_record_without_fields_takes_none() -> None:
    with pytest.raises(TypeError, match="positional"):
        Nothing(1)  # type: ignore[arg-type]


def test_a_class_variable_is_no_field() -> None:
    assert Point.field_names == ("x", "y")


def test_a_subclass_has_the_inherited_fields_first() -> None:
    assert Spot.field_names == ("y", "x", "name")


def test_a_subclass_may_give_an_inherited_field_a_default() -> None:
    assert Spot().x == 7


def test_an_unknown_option_of_a_class_is_refused() -> None:
    with pytest.raises(TypeError, match="no keyword arguments"):
        type("Odd", (Point,), {"__slots__": ()}, secrets=("x",))


def test_a_subclass_does_not_change_its_base() -> None:
    with pytest.raises(TypeError, match="'x'"):
        Point()  # type: ignore[call-arg]


# -------------------------------------------------------------------------------------------------------- immutable


def test_no_field_can_be_set() -> None:
    with pytest.raises(AttributeError):
        Point(x=1).x = 2  # type: ignore[misc]


def test_no_other_attribute_can_be_set() -> None:
    with pytest.raises(AttributeError):
        Point(x=1).z = 2  # type: ignore[attr-defined]


def test_no_field_can_be_deleted() -> None:
    with pytest.raises(AttributeError):
        del Point(x=1).x


def test_a_record_has_no_dict() -> None:
    assert not hasattr(Point(x=1), "__dict__")


# -------------------------------------------------------------------------------------------------------- comparing


def test_records_of_the_same_fields_are_equal() -> None:
    assert Point(x=1, y=2) == Point(x=1, y=2)


def test_records_of_other_fields_are_not_equal() -> None:
    assert Point(x=1, y=2) != Point(x=1, y=3)


def test_records_of_two_classes_are_never_equal() -> None:
    assert Point(x=1, y=2) != Place(x=1, y=2)


def test_a_record_is_not_equal_to_the_tuple_of_its_fields() -> None:
    assert Point(x=1, y=2) != (1, 2)
    assert (1, 2) != Point(x=1, y=2)  # noqa: SIM300 (the tuple is asked first)


def test_equality_and_inequality_are_opposites() -> None:
    assert not Point(x=1) != Point(x=1)  # noqa: SIM202 (it is != that is tested)
    assert not Point(x=1) == Place(x=1)  # noqa: SIM201


def test_equal_records_are_one_key() -> None:
    assert {Point(x=1): "a", Point(x=1, y=0): "b"} == {Point(x=1): "b"}


def test_a_record_with_something_unhashable_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Login(user="a", password="b", nested=[]))


# --------------------------------------------------------------------------------------------------------- showing


def test_a_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(Point(x=0, y=0)) == "Point(x=0)"


def test_a_repr_can_be_evaluated_when_nothing_is_hidden() -> None:
    assert eval(repr(Spot(x=1, y=2, name="a")), {"Spot": Spot}) == Spot(x=1, y=2, name="a")


def test_a_repr_hides_secrets() -> None:
    assert repr(Login(user="alice", password="hunter2", pin=b"1234")) == "Login(user='alice', password=***, pin=***)"


def test_a_repr_says_that_a_secret_is_empty() -> None:
    assert repr(Login(user="alice", password="")) == "Login(user='alice', password='')"


def test_a_subclass_keeps_the_secrets_of_its_base() -> None:
    shown = repr(Login2(user="alice", password="hunter2", code="4711"))
    assert shown == "Login2(user='alice', password=***, code=***)"


def test_a_repr_shows_bytes_by_their_length() -> None:
    assert repr(Place(x=b"hello", y=())) == "Place(x=<5 bytes>, y=())"  # type: ignore[arg-type]


def test_a_repr_shows_bytes_in_a_tuple_by_their_length() -> None:
    assert repr(Place(x=(b"hello", 1))) == "Place(x=(<5 bytes>, 1, ))"  # type: ignore[arg-type]


def test_a_repr_hides_the_secrets_of_nested_records() -> None:
    inner = Login(user="bob", password="hunter2")
    assert repr(Place(x=(inner,))) == "Place(x=(Login(user='bob', password=***), ))"  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- copying


def test_replace_changes_some_fields() -> None:
    assert Point(x=1, y=2).replace(y=3) == Point(x=1, y=3)


def test_replace_leaves_the_original_alone() -> None:
    point = Point(x=1, y=2)
    point.replace(y=3)
    assert point == Point(x=1, y=2)


def test_replace_refuses_an_unknown_field_by_its_name() -> None:
    with pytest.raises(TypeError, match="'z'"):
        Point(x=1).replace(z=3)


def test_copy_replace_of_python_3_13_works_too() -> None:
    assert Spot(x=1).__replace__(name="a") == Spot(x=1, name="a")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_record_survives_pickling(protocol: int) -> None:
    record = Spot(x=1, name="a")
    twin = pickle.loads(pickle.dumps(record, protocol))
    assert twin == record
    assert type(twin) is Spot


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy])
def test_a_copy_is_equal_and_of_the_same_type(clone: Any) -> None:
    twin = clone(Login(user="a", password="b", nested=Point(x=1)))
    assert twin == Login(user="a", password="b", nested=Point(x=1))


def test_a_deep_copy_copies_what_is_inside() -> None:
    inner: list[int] = []
    twin = copy.deepcopy(Login(user="a", password="b", nested=inner))
    assert twin.nested == inner
    assert twin.nested is not inner


def test_a_shallow_copy_shares_what_is_inside() -> None:
    inner: list[int] = []
    assert copy.copy(Login(user="a", password="b", nested=inner)).nested is inner


# -------------------------------------------------------------------------------------------------------- matching


def test_a_pattern_matches_type_and_fields_by_name() -> None:
    match Spot(x=1, name="a"):
        case Place():
            matched = "another class"
        case Spot(x=2):
            matched = "another value"
        case Spot(x=1, name=name):
            matched = name
        case _:
            matched = "nothing"
    assert matched == "a"


def test_a_pattern_by_position_is_an_error() -> None:
    def matches(value: Any, cls: Any) -> bool:
        match value:
            case cls(1):
                return True
        return False

    with pytest.raises(TypeError, match="accepts 0 positional sub-patterns"):
        matches(Point(x=1), Point)


def test_the_constructor_names_itself_in_tracebacks() -> None:
    assert Point.__new__.__qualname__ == "Point.__new__"
    assert Point.__new__.__module__ == __name__
