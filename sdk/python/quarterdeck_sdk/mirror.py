"""Turns the SDK's types into those that the bindings of a component have, and back.

Both sides have the same names, so the way between two types is found by looking at both of them, once, when the component is built.
Columns of figures and bytes go through as they are.
"""

import dataclasses
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

#: Makes one side's value of the other's; `None`: they are the same.
Way = Callable[[Any], Any] | None

_UNIONS = (Union, types.UnionType)


def way(source: Any, target: Any) -> Way:
    """From a type to the one of the same shape on the other side."""
    if _is_optional(source):
        inner = way(_without_none(source), _without_none(target))
        return inner and (lambda value: None if value is None else inner(value))
    if get_origin(source) in _UNIONS:
        return _variants(source, target)
    if get_origin(source) is dict:
        return _pairs(get_args(target)[0])
    if get_origin(target) is dict:
        return _labels(get_args(source)[0])
    if get_origin(source) is list:
        inner = way(get_args(source)[0], get_args(target)[0])
        return inner and (lambda values: [inner(value) for value in values])
    if isinstance(source, type) and issubclass(source, Enum):
        # Names on one side, numbers on the other: what they share is the order in which they stand.
        table = {own: target[own.name] for own in source}
        return table.__getitem__
    if dataclasses.is_dataclass(source):
        return _record(source, target)
    return None


def _record(source: Any, target: Any) -> Way:
    ours, theirs = get_type_hints(source), get_type_hints(target)
    ways = [(field.name, way(ours[field.name], theirs[field.name])) for field in dataclasses.fields(target)]
    steps = [(name, step or _same) for name, step in ways]
    return lambda value: target(**{name: step(getattr(value, name)) for name, step in steps})


def _variants(source: Any, target: Any) -> Way:
    """Bindings name a case `Step_Start` and give it one value; here it is a class `Start` with fields."""
    others = {_case(case): case for case in get_args(target)}
    table = {case: _payload(case, others[_case(case)]) for case in get_args(source)}
    return lambda value: table[type(value)](value)


def _payload(source: Any, target: Any) -> Callable[[Any], Any]:
    is_outward = "_" in target.__name__
    own, bound = (source, target) if is_outward else (target, source)
    names = [field.name for field in dataclasses.fields(own)]
    held = get_type_hints(bound).get("value")
    if held is None:
        return lambda value: target()
    if dataclasses.is_dataclass(held):
        inner = way(own, held) if is_outward else way(held, own)
        assert inner is not None
        return (lambda value: target(inner(value))) if is_outward else (lambda value: inner(value.value))
    hints = get_type_hints(own)
    parts = list(get_args(held)) if get_origin(held) is tuple else [held]
    is_tuple = get_origin(held) is tuple
    if is_outward:
        steps = [(name, way(hints[name], part) or _same) for name, part in zip(names, parts)]
        values = lambda value: tuple(step(getattr(value, name)) for name, step in steps)
        return lambda value: target(values(value) if is_tuple else values(value)[0])
    inward = [way(part, hints[name]) or _same for name, part in zip(names, parts)]
    if is_tuple:
        return lambda value: target(*(step(part) for step, part in zip(inward, value.value)))
    return lambda value: target(inward[0](value.value))


def _pairs(item: Any) -> Way:
    """Labels as a list of records, or of tuples."""
    return lambda pairs: [item(name, value) for name, value in pairs.items()]


def _labels(item: Any) -> Way:
    return lambda labels: {label.name: label.value for label in labels}


def _case(cls: type) -> str:
    return cls.__name__.rpartition("_")[2]


def _same(value: Any) -> Any:
    return value


def _is_optional(hint: Any) -> bool:
    return get_origin(hint) in _UNIONS and type(None) in get_args(hint)


def _without_none(hint: Any) -> Any:
    rest = tuple(choice for choice in get_args(hint) if choice is not type(None))
    return rest[0] if len(rest) == 1 else Union[rest]
