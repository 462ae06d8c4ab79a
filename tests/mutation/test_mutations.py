"""The mutants that `make mutate` makes of a module."""

from __future__ import annotations

import textwrap
from types import FunctionType
from typing import Any

import pytest

from tools.mutation.mutations import Module, Mutant


def mutants(source: str) -> list[Mutant]:
    return Module("example.py", textwrap.dedent(source)).mutants()


def changes(source: str) -> set[str]:
    return {mutant.change for mutant in mutants(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a < b -> a <= b", "a < b -> a >= b"}),
        ("a and b", {"a and b -> a or b", "a and b -> a", "a and b -> b"}),
        ("not a", {"not a -> a"}),
        ("a + 1", {"a + 1 -> a - 1", "1 -> 2", "1 -> 0"}),
        ("f(a, b)", {"f(a, b) -> f(b, a)"}),
        ("f(x=a)", {"f(x=a) -> f()"}),
        ("min(a, b)", {"min(a, b) -> max(a, b)"}),
        ("'text'", {"'text' -> 'textX'"}),
        ("a if b else c", {"b -> True", "b -> False"}),
    ],
)
def test_an_expression_is_changed_in_one_place(source: str, expected: set[str]) -> None:
    whole = f"return {source} -> return None"
    assert changes(f"def f(a, b, c):\n    return {source}\n") == {*expected, whole}


def test_statements_are_left_out_or_turned_round() -> None:
    source = """
        def f(self, items):
            for item in items:
                if item:
                    continue
                self.a = item
                self.b += item
                self.c(item)
    """
    assert changes(source) == {
        "item -> True",
        "item -> False",
        "continue -> break",
        "self.a = item -> pass",
        "self.b += item -> self.b -= item",
        "self.b += item -> pass",
        "self.c(item) -> pass",
    }


def test_what_only_people_read_is_left_alone() -> None:
    source = '''
        """Documentation."""
        __all__ = ["f"]

        class Kind(enum.Enum):
            ONE = "one"

        def f(a: "int") -> "int":
            """Documentation."""
            raise Wrong(f"{a + 1}", "text")
    '''
    assert changes(source) == {
        "raise Wrong(f'{a + 1}', 'text') -> pass",
        "Wrong(f'{a + 1}', 'text') -> Wrong('text', f'{a + 1}')",
    }


def function(mutant: Mutant) -> Any:
    scope: dict[str, Any] = {}
    exec(mutant.compiled(), scope)
    [found] = [value for value in scope.values() if isinstance(value, FunctionType)]
    return found


def test_a_mutant_is_the_module_with_that_change_only() -> None:
    found = {mutant.change: mutant for mutant in mutants("def f(a, b=2):\n    return a - b * 3\n")}
    assert function(found["a - b * 3 -> a + b * 3"])(10) == 16
    assert function(found["3 -> 4"])(10) == 2
    assert function(found["2 -> 1"])(10) == 7
    assert function(found["a - b * 3 -> a + b * 3"])(10) == 16


def test_a_default_belongs_to_the_module_and_the_rest_to_its_function() -> None:
    found = {mutant.change: mutant.first_line for mutant in mutants("\n\ndef f(b=7):\n    return b + 3\n")}
    inside = dict.fromkeys(["return b + 3 -> return None", "b + 3 -> b - 3", "3 -> 4", "3 -> 2"], 3)
    assert found == {"7 -> 8": None, "7 -> 6": None, **inside}


def test_keys_are_different_and_stay_when_another_function_changes() -> None:
    one, other = "def f(a):\n    return a + a + a\n", "def g(a):\n    return a * 2\n"
    keys = [mutant.key for mutant in mutants(one + other)]
    assert len(set(keys)) == len(keys)
    assert {mutant.key for mutant in mutants(one)} < set(keys)
    assert {mutant.key for mutant in mutants("X = 1\n" + one)} & set(keys) == {mutant.key for mutant in mutants(one)}
