"""Mutations of JSON: of its values and its structure, and of its bytes."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from mimc_cli.fuzzing import NUMBERS, TEXTS, mutate_bytes

__all__ = ["mutate_json"]

_VALUES: tuple[Any, ...] = (None, True, False, 0.5, -1, 1e308, float("nan"), "", [], {}, [[]], {"a": None})


def mutate_json(data: bytes, rng: Random) -> bytes:
    """One value more, less or another, anywhere; now and then a change of the bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, rng)
    text = json.dumps(_changed(value, rng), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.02:  # more digits than Python reads
        text = text.replace("0", "9" * 5000, 1)
    if rng.random() < 0.02:  # deeper than any parser's stack
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice("[{") * 100_000 + text[place:]
    return text.encode(errors="surrogatepass")


def _changed(value: Any, rng: Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        return _changed_items(dict(value), rng)
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        match rng.randrange(5):
            case 0:
                return value[:index] + value[index + 1 :]
            case 1:
                return value + [value[index]] * rng.choice((1, 2, 200))
            case _:
                return [*value[:index], _changed(value[index], rng), *value[index + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return mutate_bytes(value.encode(errors="surrogatepass"), rng).decode(errors="surrogateescape")
    return _another(rng)


def _changed_items(value: dict[str, Any], rng: Random) -> dict[str, Any]:
    name = rng.choice(list(value))
    match rng.randrange(6):
        case 0:
            del value[name]
        case 1:
            value[rng.choice(TEXTS).decode(errors="surrogateescape")] = value.pop(name)
        case 2:
            value[name] = value[rng.choice(list(value))]
        case _:
            value[name] = _changed(value[name], rng)
    return value


def _another(rng: Random) -> Any:
    match rng.randrange(4):
        case 0:
            return rng.choice(NUMBERS)
        case 1:
            return str(rng.choice(NUMBERS))
        case 2:
            return rng.choice(TEXTS).decode(errors="surrogateescape")
        case _:
            nested: Any = rng.choice(_VALUES)
            for _ in range(rng.choice((0, 0, 0, 1, 50))):
                nested = [nested]
            return nested
