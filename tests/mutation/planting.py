"""Puts a mutant into this process, in memory: the files stay as they are."""

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant

SQL_DOOR = "bifrost.storage.database"
"""The module that reads named queries; its `aiosql` is the one place where their text comes in."""


def module_name(file: str) -> str:
    parts = Path(file).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" else parts)


class _Finder(importlib.abc.MetaPathFinder):
    """Gives the mutant's text for one module."""

    def __init__(self, name: str, path: Path, code: types.CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._path))
        loader.code = self._code
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Loader(SourceFileLoader):
    code: types.CodeType

    def get_code(self, _fullname: str) -> types.CodeType:
        return self.code


def before_import(root: Path, mutant: Mutant) -> None:
    """For what is done when the module is loaded: it must not be loaded yet."""
    path, name = root / mutant.file, module_name(mutant.file)
    assert name not in sys.modules, f"{name} is loaded already"
    sys.meta_path.insert(0, _Finder(name, path, compile(mutant.text, str(path), "exec")))


def into_loaded(root: Path, mutant: Mutant) -> bool:
    """Change what is loaded, so that whoever imported it has the mutant; False where that cannot be."""
    module = sys.modules.get(module_name(mutant.file))
    if module is not None and not mutant.where:
        return _constants_into(module, mutant, root)
    found = _function(module, mutant.where)
    original = (root / mutant.file).read_text()
    if found is None or _signature(mutant.text, mutant.where) != _signature(original, mutant.where):
        return False
    for name, code in _codes(compile(ast.parse(mutant.text), str(root / mutant.file), "exec")):
        if name == mutant.where and len(code.co_freevars) == len(found.__code__.co_freevars):
            found.__code__ = code
            return True
    return False


def _function(module: Any, where: str) -> types.FunctionType | None:
    found = module
    for part in where.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
        if isinstance(found, property):
            found = found.fget
        found = getattr(found, "__func__", found)
        if hasattr(found, "cache_clear"):
            found.cache_clear()
        found = getattr(found, "__wrapped__", found)
    return found if isinstance(found, types.FunctionType) else None


def _signature(text: str, where: str) -> str:
    """The arguments of a function and their defaults, which are made when it is defined and are no part of its code."""
    node: Any = ast.parse(text)
    for part in where.split("."):
        named = (one for one in node.body if getattr(one, "name", "") == part)
        node = next(named, None)
        if node is None:
            return ""
    return ast.unparse(node.args) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""


def _constants_into(module: types.ModuleType, mutant: Mutant, root: Path) -> bool:
    """The constants of the mutant in every module that has them.

    Not when one was needed while modules were loaded, and not when they cannot be made without the rest of the module:
    that nothing could be planted is nothing that a test has noticed.
    """
    fresh = types.ModuleType(module.__name__)
    tree = ast.parse(mutant.text)
    plain: list[ast.stmt] = [one for one in tree.body if isinstance(one, ast.Assign | ast.Import | ast.ImportFrom)]
    try:
        exec(compile(ast.Module(plain, []), "constants", "exec"), vars(fresh))  # noqa: S102 - our own source
    except Exception:  # noqa: BLE001 - one is made of a function or a class, or of nothing that there is
        return False
    stored = [name for one in plain if isinstance(one, ast.Assign) for name in ast.walk(one) if _is_stored(name)]
    assigned = {name.id for name in stored if isinstance(name, ast.Name)}
    changed = {name for name in assigned if vars(fresh)[name] != vars(module).get(name)}
    ours = [one for one in list(sys.modules.values()) if _is_below(root, getattr(one, "__file__", None))]
    if not changed or any(_needs_while_loading(one, changed, module) for one in ours):
        return False
    for one in ours:
        for name in changed & set(vars(one)):
            if vars(one)[name] is vars(module)[name] and one is not module:
                setattr(one, name, vars(fresh)[name])
    for name in changed:
        setattr(module, name, vars(fresh)[name])
    return True


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _is_below(root: Path, file: str | None) -> bool:
    return file is not None and file.startswith((f"{root}/src/", f"{root}/tests/")) and file.endswith(".py")


def _needs_while_loading(module: types.ModuleType, names: set[str], owner: types.ModuleType) -> bool:
    """Whether one of them is read outside functions, or has another name there."""
    text = Path(str(module.__file__)).read_text()
    if not any(name in text for name in names):
        return False
    is_it = module is owner
    shared = {name for name in names if vars(module).get(name) is vars(owner).get(name)}
    waiting: list[ast.AST] = [one for one in ast.parse(text).body if not (is_it and isinstance(one, ast.Assign))]
    while waiting:
        node = waiting.pop()
        if (isinstance(node, ast.Name) and node.id in shared) or (
            isinstance(node, ast.Attribute) and node.attr in names
        ):
            return True
        if isinstance(node, ast.ImportFrom) and any(one.name in names and one.asname for one in node.names):
            return True
        for field, value in ast.iter_fields(node):
            if field != "body" or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                waiting += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.AST)]
    return False


def _codes(code: types.CodeType) -> Iterator[tuple[str, types.CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant)


def statements(root: Path, file: str, other: str | None = None, seen: set[str] | None = None) -> None:
    """Let the named queries of this file come from another text, and note which of them are asked for."""
    door: Any = importlib.import_module(SQL_DOOR)
    original, real = (root / file).read_text(), door.aiosql

    class Door:
        @staticmethod
        def from_str(text: str, *arguments: Any, **options: Any) -> Any:
            is_this = text == original
            found = real.from_str(other if is_this and other is not None else text, *arguments, **options)
            return _Noted(found, seen) if is_this and seen is not None else found

    door.aiosql = Door
    door.queries.cache_clear()


class _Noted:
    def __init__(self, queries: Any, seen: set[str]) -> None:
        self._queries, self._seen = queries, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add(name)
        return getattr(self._queries, name)
