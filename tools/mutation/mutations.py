"""The mutants of a module: one small change each, made in its syntax tree.

Left alone is what no test of behaviour can see: docstrings, annotations, decorators, texts for people (those of errors,
f-strings, values of enumerations), `__all__` and `__slots__`.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from types import CodeType

__all__ = ["Module", "Mutant"]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_NAMES = {"__all__", "__slots__", "__match_args__"}
_NOT_BEHAVIOUR = (ast.JoinedStr, ast.Import, ast.ImportFrom)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """``change`` is old and new code; ``first_line`` that of the outermost function it is in, None outside of any."""

    key: str
    where: str
    line: int
    first_line: int | None
    change: str
    compiled: Callable[[], CodeType]


class Module:
    """A module's syntax tree, and its mutants; ``path`` from the root of the repository."""

    def __init__(self, path: str, source: str) -> None:
        self._path, self._source = path, source
        self.tree = ast.parse(source, path)

    def mutants(self) -> list[Mutant]:
        """All of them; their keys stay the same as long as their function does."""
        self._seen: dict[str, int] = {}
        return list(self._visit(self.tree, [], None))

    def _visit(self, node: ast.AST, names: list[str], function: Function | None) -> Iterator[Mutant]:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "bases", "type_params"):
                continue
            if isinstance(value, ast.AST):
                yield from self._child(node, field, None, value, names, function)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, ast.AST) and not (index == 0 and field == "body" and _is_docstring(item)):
                        yield from self._child(node, field, index, item, names, function)

    def _child(
        self, parent: ast.AST, field: str, index: int | None, node: ast.AST, names: list[str], function: Function | None
    ) -> Iterator[Mutant]:
        if _left_alone(node) or (isinstance(parent, ast.If) and ast.unparse(parent.test) == "TYPE_CHECKING"):
            return
        if isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler):
            for new in _changes(node, parent, field):
                yield self._mutant(parent, field, index, node, new, names, function)
        if isinstance(node, Function | ast.ClassDef):
            names = [*names, node.name]
            function = function or (node if isinstance(node, Function) else None)
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return
        if isinstance(node, ast.Assign) and isinstance(parent, ast.ClassDef) and _is_enum(parent):
            return
        if isinstance(parent, ast.Raise) and field == "exc" and isinstance(node, ast.Call):
            for keyword in node.keywords:  # `where` and `offset` count, the text does not
                yield from self._visit(keyword, names, function)
            return
        if isinstance(parent, Function) and field == "args":  # defaults are made where the function is defined
            function = None if parent is function else function
        yield from self._visit(node, names, function)

    def _mutant(
        self,
        parent: ast.AST,
        field: str,
        index: int | None,
        old: ast.stmt | ast.expr | ast.ExceptHandler,
        new: ast.AST,
        names: list[str],
        function: Function | None,
    ) -> Mutant:
        where, change = ".".join(names), f"{_text(old)} -> {_text(new)}"
        context = ast.get_source_segment(self._source, function) if function else ""
        seed = f"{self._path}\n{where}\n{change}\n{context}"
        number = self._seen[seed] = self._seen.get(seed, 0) + 1

        def compiled() -> CodeType:
            ast.fix_missing_locations(ast.copy_location(new, old))
            _put(parent, field, index, new)
            try:
                code: CodeType = compile(self.tree, os.path.abspath(self._path), "exec")
            finally:
                _put(parent, field, index, old)
            return code

        return Mutant(
            key=sha256(f"{seed}\n{number}".encode()).hexdigest()[:16],
            where=where,
            line=old.lineno,
            first_line=None
            if function is None
            else min([function.lineno, *(d.lineno for d in function.decorator_list)]),
            change=change,
            compiled=compiled,
        )


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _text(node: ast.AST) -> str:
    """The code on one line; of a compound statement or a long one the beginning."""
    line = " ".join(ast.unparse(node).split())
    return line if len(line) <= 90 else f"{line[:87]}..."


def _is_docstring(node: ast.AST) -> bool:
    """Or the dots of a method that has no code."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_enum(node: ast.ClassDef) -> bool:
    """Whether its values are texts for people; those of an IntEnum are numbers on the wire."""
    return any(ast.unparse(base) in ("enum.Enum", "_Singleton") for base in node.bases)


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, _NOT_BEHAVIOUR) or _is_docstring(node):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id in _NAMES for target in targets):
            return True
        made = node.value.func if isinstance(node.value, ast.Call) else None
        return isinstance(made, ast.Name) and made.id == "TypeVar"
    return False


def _changes(node: ast.AST, parent: ast.AST, field: str) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple):
        for kept in _without_one(node.type.elts):
            yield ast.ExceptHandler(type=ast.Tuple(elts=kept, ctx=ast.Load()), name=node.name, body=node.body)
    elif isinstance(node, ast.expr):
        if field == "test" and isinstance(parent, ast.If | ast.IfExp | ast.While):
            for value in (False,) if isinstance(parent, ast.While) else (True, False):
                yield ast.Constant(value=value)
        yield from _expressions(node)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return) and node.value is not None and not _is_constant(node.value, None):
        yield ast.Return(value=ast.Constant(value=None))
    if isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.AugAssign):
        if type(node.op) in _ARITHMETIC:
            yield ast.AugAssign(target=node.target, op=_ARITHMETIC[type(node.op)](), value=node.value)
        yield ast.Pass()
    elif isinstance(node, ast.Expr | ast.Raise | ast.Delete):
        yield ast.Pass()
    elif isinstance(node, ast.Assign):  # names that were never set only break what reads them
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            yield ast.Pass()
    elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Attribute):
        yield ast.Pass()


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for index, op in enumerate(ops):
                for other in _COMPARISONS[type(op)]:
                    yield ast.Compare(
                        left=left, ops=[*ops[:index], other(), *ops[index + 1 :]], comparators=comparators
                    )
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(op=ast.Or() if isinstance(op, ast.And) else ast.And(), values=values)
            for kept in _without_one(values):
                yield kept[0] if len(kept) == 1 else ast.BoolOp(op=op, values=kept)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if not _is_text(left) and not _is_text(right):
            yield ast.BinOp(left=left, op=_ARITHMETIC[type(op)](), right=right)
        case ast.Call():
            yield from _calls(node)
        case ast.Constant(value=value):
            yield from (ast.Constant(value=other) for other in _constants(value))
        case ast.Dict(keys=keys, values=values):
            for index in range(len(keys)):
                yield ast.Dict(keys=[*keys[:index], *keys[index + 1 :]], values=[*values[:index], *values[index + 1 :]])
        case ast.Yield(value=value) if value is not None:
            yield ast.Yield(value=ast.Constant(value=None))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    function, arguments, keywords = node.func, node.args, node.keywords
    if isinstance(function, ast.Name) and function.id in _TWINS:
        yield ast.Call(func=ast.Name(id=_TWINS[function.id], ctx=ast.Load()), args=arguments, keywords=keywords)
        return  # the order of what is compared is nothing
    for index in range(len(arguments) - 1):
        pair = arguments[index : index + 2]
        if not any(isinstance(argument, ast.Starred) for argument in pair) and ast.dump(pair[0]) != ast.dump(pair[1]):
            swapped = [*arguments[:index], *reversed(pair), *arguments[index + 2 :]]
            yield ast.Call(func=function, args=swapped, keywords=keywords)
    for index, keyword in enumerate(keywords):
        if keyword.arg == "strict":  # of zip: says what is so
            continue
        yield ast.Call(func=function, args=arguments, keywords=[*keywords[:index], *keywords[index + 1 :]])


def _constants(value: object) -> tuple[bool | int | float | str | bytes, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1) if value else (1,)
    if isinstance(value, float):
        return (value * 1.5 + 0.5,)
    if isinstance(value, str):
        return (f"{value}X",)
    if isinstance(value, bytes):
        return (value + b"X",)
    return ()


def _without_one(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for index in range(len(items)):
        yield [*items[:index], *items[index + 1 :]]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
