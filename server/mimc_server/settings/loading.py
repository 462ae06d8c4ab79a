"""Settings out of a file, environment variables and options, the later over the earlier; what is wrong, in words."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mimc_proto.errors import shown

from .errors import SettingsError
from .keys import PREFIX, Key, environment_name, keys, sections
from .model import Settings

__all__ = ["Loaded", "load_settings"]

MOST_BYTES = 1 << 20
"""Of a file: beyond it somebody named another one."""

_TRUTH = {"true": True, "false": False}
_BOUNDS = {
    "ge": "at least {:.12g}",
    "le": "at most {:.12g}",
    "min_length": "at least {} character",
    "max_length": "at most {} characters",
}


class Loaded(NamedTuple):
    """Settings, and where each key came from that has not its default: a file, an environment variable, an option."""

    settings: Settings
    origins: dict[str, str]


class _Given(NamedTuple):
    value: object
    origin: str


def load_settings(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, tuple[str, str]] | None = None,
) -> Loaded:
    """The settings that a file, the environment (``os.environ``) and options make together.

    ``options`` are option names and texts by key: ``{"listen.tcp": ("--tcp", "0.0.0.0:5222")}``. Raises
    `SettingsError`.
    """
    given: dict[str, _Given] = {}
    if file is not None:
        given |= {key: _Given(value, str(file)) for key, value in _of_file(file)}
    given |= _of_environment(environment or {})
    for key, (option, text) in (options or {}).items():
        given[key] = _Given(_from_text(_known(key, option), text, option), option)
    return Loaded(_validated(given), {key: found.origin for key, found in given.items()})


# ------------------------------------------------------------------------------------------------------- where from


def _of_file(file: Path) -> Iterator[tuple[str, object]]:
    origin = str(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot read it: {error.strerror}", origin=origin) from None
    if len(content) > MOST_BYTES:
        raise SettingsError(f"expected a file of at most {MOST_BYTES} bytes", origin=origin)
    try:
        read = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise SettingsError(f"expected UTF-8, which byte {error.start} is not", origin=origin) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"expected TOML: {error}", origin=origin) from None
    except RecursionError:
        raise SettingsError("expected TOML that is not nested without end", origin=origin) from None
    for name, value in _leaves(read, "", origin):
        key = _known(name, origin)
        yield name, _from_here(value, file.absolute().parent) if key.beside else value


def _leaves(table: dict[str, Any], path: str, origin: str) -> Iterator[tuple[str, object]]:
    """Values by their dotted names; where a section should be, nothing else will do."""
    names = _section_names()
    for name, value in table.items():
        full = f"{path}.{name}" if path else name
        if full not in names:
            yield full, value
        elif isinstance(value, dict):
            yield from _leaves(value, full, origin)
        else:
            raise SettingsError(f"expected a section, as in [{full}], got {shown(value)}", key=full, origin=origin)


def _of_environment(environment: Mapping[str, str]) -> dict[str, _Given]:
    """Variables of other programs may begin as ours do; what has a section's two underscores is meant for us."""
    known = {environment_name(key): key for key in keys()}
    given: dict[str, _Given] = {}
    for name, text in environment.items():
        if name in known:
            key = keys()[known[name]]
            given[key.name] = _Given(_from_text(key, text, name), name)
        elif name.startswith(PREFIX) and "__" in name:
            raise SettingsError(f"there is no such setting{_meant(name, known)}", origin=name)
    return given


def _from_text(key: Key, text: str, origin: str) -> object:
    """What a text stands for where there is nothing but text."""
    if key.optional and not text:
        return None
    try:
        if key.kind is bool:
            return _TRUTH[text.lower()]
        if key.kind in (int, float):
            return key.kind(text)
    except (KeyError, ValueError):
        raise SettingsError(f"expected {key.expected}, got {shown(text)}", key=key.name, origin=origin) from None
    return _from_here(text, Path.cwd()) if key.beside else text


def _from_here(value: object, here: Path) -> object:
    """A path as it is meant where it was written; anything else is left to the model."""
    if not isinstance(value, str) or not value or "\0" in value:
        return value
    try:
        return here / Path(value).expanduser()
    except RuntimeError:  # nobody's home is known
        return here / value


def _known(name: str, origin: str) -> Key:
    key = keys().get(name)
    if key is None:
        raise SettingsError(
            f"there is no such setting{_meant(name, keys().keys() | _section_names())}", key=name, origin=origin
        )
    return key


def _section_names() -> set[str]:
    """What may stand in brackets; the keys of the first section stand above all brackets."""
    return {section.name for section in sections() if section.name}


def _meant(name: str, known: Iterable[str]) -> str:
    """What a name that is not known may have been meant to be."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


# ----------------------------------------------------------------------------------------------------- what is wrong


def _validated(given: Mapping[str, _Given]) -> Settings:
    nested: dict[str, Any] = {}
    for name, found in given.items():
        *path, last = name.split(".")
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[last] = found.value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    raise _in_words(problem, given)


def _in_words(problem: ErrorDetails, given: Mapping[str, _Given]) -> SettingsError:
    """What pydantic found, as all our errors say it."""
    context = problem.get("ctx", {})
    place = [*problem["loc"], *filter(None, [context.get("where")])]  # a config object names the rest of the way
    name = ".".join(part for part in place if isinstance(part, str))
    key = keys()[name]
    if "problem" in context:
        text = context["problem"]
    else:
        text = f"expected {_bound(context) or key.expected}, got {_got(problem['input'], key)}"
    index = "".join(f"[{part}]" for part in place if isinstance(part, int))
    origin = given[name].origin if name in given else ""
    return SettingsError(text, key=name + index, origin=origin)


def _bound(context: Mapping[str, Any]) -> str | None:
    """What a value of the right type has to be."""
    for name, words in _BOUNDS.items():
        if name in context:
            return words.format(context[name])
    return None


def _got(value: object, key: Key) -> str:
    return "something else" if key.secret else shown(value)
