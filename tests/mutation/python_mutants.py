"""Python with one thing changed in its syntax tree. Sentences for people, annotations and docstrings are left alone."""

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.mutation import regex_mutants
from tests.mutation.mutants import Mutant

_BOUNDS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED = {
    "fullmatch": "match",
    "match": "search",
    "all": "any",
    "any": "all",
    "min": "max",
    "max": "min",
    "startswith": "endswith",
    "endswith": "startswith",
    "isdisjoint": "issuperset",
    "partition": "rpartition",
}
_LEFT_OUT = ("lower", "strip", "rstrip", "lstrip", "removeprefix", "casefold", "isascii")
_SYMMETRIC = ("same", "compare_digest", "isinstance", "min", "max", "partial", "getattr", "suppress")
_SENTENCE = re.compile(r"[a-z]+ [a-z]+")
_LONG, _AROUND = 90, 12
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Put = Callable[[Any], None]
"""Puts another node in the place of one; the old one puts it back."""


def mutants(file: str, text: str) -> Iterator[Mutant]:
    tree = ast.parse(text)
    for function in ast.walk(tree):
        if isinstance(function, _FUNCTIONS) and function.returns:
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    node.promised = ast.unparse(function.returns)  # type: ignore[attr-defined]
    for where, node, put in _places(tree, ""):
        for new in _others(node):
            what = _difference(_in_words(node), _in_words(new))
            put(new)
            changed = ast.unparse(ast.fix_missing_locations(tree))
            put(node)
            yield Mutant(file, where, node.lineno, what, changed)


def _in_words(node: Any) -> str:
    if isinstance(node, ast.If | ast.For | ast.While | ast.Try):
        return ast.unparse(node).partition("\n")[0]
    if isinstance(node, ast.Call) and _name_called(node) == "compile" and isinstance(node.args[0], ast.Constant):
        pattern = node.args[0].value
        return pattern.decode("latin-1") if isinstance(pattern, bytes) else str(pattern)
    return " ".join(ast.unparse(node).split())


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next(
        (n for n, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), min(len(one), len(other))
    )


def _difference(old: str, new: str) -> str:
    """Of something long only what differs, with a little of what stands around it."""
    if max(len(old), len(new)) < _LONG:
        return f"`{old}` becomes `{new}`"
    before = max(0, _alike(old, new) - _AROUND)
    after = max(0, _alike(old[before:][::-1], new[before:][::-1]) - _AROUND)
    shown = (f"{'…' if before else ''}{text[before : len(text) - after]}{'…' if after else ''}" for text in (old, new))
    return "`{}` becomes `{}`".format(*shown)


def _places(tree: ast.AST, where: str) -> Iterator[tuple[str, Any, Put]]:
    """Every statement and expression that may be changed, where it stands, and how to put another there."""
    for name, value in ast.iter_fields(tree):
        if _is_left_alone(tree, name):
            continue
        for number, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST):
                continue
            inside = where
            if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
                inside = f"{where}.{child.name}" if where else child.name
            elif isinstance(child, ast.stmt | ast.expr) and not _is_for_people(child):
                yield where, child, _putter(tree, name, number if isinstance(value, list) else None)
            if not _is_for_people(child):
                yield from _places(child, inside)


def _putter(parent: ast.AST, name: str, number: int | None) -> Put:
    def put(node: Any) -> None:
        if number is None:
            setattr(parent, name, node)
        else:
            getattr(parent, name)[number] = node

    return put


def _is_left_alone(parent: ast.AST, field: str) -> bool:
    if isinstance(parent, ast.ClassDef):
        return field != "body"
    if isinstance(parent, ast.Call) and _name_called(parent) == "compile":
        return field == "args"  # a regular expression is changed as one
    return field in ("annotation", "returns", "decorator_list", "ctx")


def _is_for_people(node: ast.AST) -> bool:
    """Docstrings, sentences, imports."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(_SENTENCE.search(node.value))
    return isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr) or _is_literal_type(node)


def _is_literal_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal"


def _others(node: Any) -> Iterator[ast.AST]:
    kind = type(node)
    for expected, make in _MAKERS:
        if isinstance(node, expected):
            yield from make(node)
    if kind is ast.Constant:
        yield from _constants(node)


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for number, op in enumerate(node.ops):
        ops = [*node.ops[:number], _BOUNDS[type(op)](), *node.ops[number + 1 :]]
        yield ast.Compare(node.left, ops, node.comparators)


def _joined(node: ast.BoolOp) -> Iterator[ast.AST]:
    """Without one of its operands; the other operator would differ from both wherever one of them does."""
    for number in range(len(node.values)):
        rest = node.values[:number] + node.values[number + 1 :]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
        if value:
            yield ast.Constant(value - 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "x")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"x")


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = _name_called(node)
    if name in _CALLED:
        other: ast.expr = ast.Name(_CALLED[name], ast.Load())
        if isinstance(node.func, ast.Attribute):
            other = ast.Attribute(node.func.value, _CALLED[name], ast.Load())
        yield ast.Call(other, node.args, node.keywords)
    if isinstance(node.func, ast.Attribute) and name in _LEFT_OUT:
        yield node.func.value
    written = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if name == "compile" and isinstance(written, str | bytes):
        for pattern in _patterns(written):
            yield ast.Call(node.func, [ast.Constant(pattern), *node.args[1:]], node.keywords)
    swappable = all(isinstance(one, ast.Name | ast.Attribute) for one in node.args)
    if len(node.args) == 2 and swappable and name not in _SYMMETRIC:
        yield ast.Call(node.func, node.args[::-1], node.keywords)


def _name_called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else str(getattr(node.func, "id", ""))


def _patterns(pattern: str | bytes) -> Iterator[str | bytes]:
    if isinstance(pattern, str):
        yield from regex_mutants.changed(pattern)
    else:
        yield from (other.encode("latin-1") for other in regex_mutants.changed(pattern.decode("latin-1")))


def _conditions(node: ast.If) -> Iterator[ast.AST]:
    yield ast.If(ast.Constant(value=False), node.body, node.orelse)
    yield ast.If(ast.Constant(value=True), node.body, node.orelse)


def _chosen(node: ast.IfExp) -> Iterator[ast.AST]:
    yield from (node.body, node.orelse)


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    """The other truth, or nothing where something is told; a caller that asks for truth cannot tell None from False."""
    if isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool):
        return
    promised = str(getattr(node, "promised", ""))
    if promised == "bool":
        yield from (ast.Return(ast.Constant(value=True)), ast.Return(ast.Constant(value=False)))
    elif node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield ast.Return(ast.Constant(None))


def _nothing(node: ast.stmt) -> Iterator[ast.AST]:
    yield ast.copy_location(ast.Pass(), node)


def _done(node: ast.Expr) -> Iterator[ast.AST]:
    if isinstance(node.value, ast.Call | ast.Await):
        yield ast.copy_location(ast.Pass(), node)


def _not(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not):
        yield node.operand


def _sums(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in _ARITHMETIC:
        yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)


def _caught(node: ast.Try) -> Iterator[ast.AST]:
    """Without one of the errors that are caught together."""
    for place, handler in enumerate(node.handlers):
        if not isinstance(handler.type, ast.Tuple):
            continue
        for number in range(len(handler.type.elts)):
            kinds = ast.Tuple(handler.type.elts[:number] + handler.type.elts[number + 1 :], ast.Load())
            fewer = ast.ExceptHandler(kinds, handler.name, handler.body)
            handlers = [*node.handlers[:place], fewer, *node.handlers[place + 1 :]]
            yield ast.Try(node.body, handlers, node.orelse, node.finalbody)


def _left_early(node: ast.stmt) -> Iterator[ast.AST]:
    yield ast.Break() if isinstance(node, ast.Continue) else ast.Continue()


_MAKERS: tuple[tuple[Any, Callable[[Any], Iterator[ast.AST]]], ...] = (
    (ast.Compare, _compared),
    (ast.BoolOp, _joined),
    (ast.Call, _calls),
    (ast.If, _conditions),
    (ast.IfExp, _chosen),
    (ast.Return, _returned),
    (ast.Raise, _nothing),
    (ast.Expr, _done),
    (ast.UnaryOp, _not),
    (ast.BinOp, _sums),
    (ast.Try, _caught),
    (ast.Continue | ast.Break, _left_early),
)
