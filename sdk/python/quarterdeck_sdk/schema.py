"""The JSON Schema of a dataclass, and values of it out of JSON.

Keys are in kebab-case, and unknown ones are an error. What an operator reads stands in the types: a text in `Annotated` is the
description, a dictionary in it is laid over the schema::

    @dataclass
    class Config:
        \"\"\"Where to.\"\"\"

        url: Annotated[str, "An http or https URL."]
        timeout_ms: Annotated[int, "Unless given, 5000.", {"minimum": 1}] = 5000

Fields may be `bool`, `int`, `float`, `str`, an `Enum` of texts, `Literal`, a dataclass, and `list`, `dict[str, ...]` and `| None` of
them, and `Any`.
"""

import dataclasses
import types
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

#: Names of JSON's types, for messages.
_NAMES = {bool: "a boolean", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def of(cls: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a dataclass."""
    definitions: dict[str, Any] = {}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, **_object(cls, definitions)}
    if definitions:
        schema["$defs"] = definitions
    return schema


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    if said := _docs(cls):
        schema["description"] = said
    required = []
    for key, field, hint in _fields(cls):
        own = _schema(hint, definitions)
        default = _default(field)
        if default is dataclasses.MISSING:
            required.append(key)
        elif default is not None:
            own["default"] = _plain(default)
        schema["properties"][key] = own
    if required:
        schema["required"] = required
    return schema


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, given = get_origin(hint), get_args(hint)
    if origin is Annotated:
        schema = _schema(given[0], definitions)
        for more in given[1:]:
            schema.update({"description": more} if isinstance(more, str) else more if isinstance(more, dict) else {})
        return schema
    if origin in (Union, types.UnionType):
        choices = [_schema(choice, definitions) for choice in given if choice is not type(None)]
        return {"anyOf": choices + [{"type": "null"}] * (type(None) in given)}
    if origin is Literal:
        return {"enum": list(given)}
    if origin is list:
        return {"type": "array", "items": _schema(given[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(given[1], definitions)}
    if hint is Any:
        return {}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if hint.__name__ not in definitions:
            # It may refer to itself.
            definitions[hint.__name__] = {}
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    words = {bool: "boolean", int: "integer", float: "number", str: "string"}
    if hint in words:
        return {"type": words[hint]}
    raise TypeError(f"{hint!r} can't be read from JSON; hint: see quarterdeck_sdk.schema for what can")


def read(hint: Any, value: Any, at: str = "") -> Any:
    """A value of that type out of what `json.loads` gave.

    Raises `ValueError`, which says where and what was expected.
    """
    origin, given = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return read(given[0], value, at)
    if origin in (Union, types.UnionType):
        return _choice(given, value, at)
    if origin is Literal:
        return _one_of(given, value, at)
    if origin is list:
        return [read(given[0], item, f"{at}/{index}") for index, item in enumerate(_is(list, value, at))]
    if origin is dict:
        return {key: read(given[1], item, f"{at}/{key}") for key, item in _is(dict, value, at).items()}
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, _is(dict, value, at), at)
    if issubclass(hint, Enum):
        return hint(_one_of([member.value for member in hint], value, at))
    return _is(hint, value, at)


def _dataclass(cls: Any, value: dict[str, Any], at: str) -> Any:
    known = {key: (field, hint) for key, field, hint in _fields(cls)}
    for key in value:
        if key not in known:
            raise ValueError(f"{at}/{key}: unknown key; hint: the keys are {', '.join(known) or 'none'}")
    fields = {}
    for key, (field, hint) in known.items():
        if key in value:
            fields[field.name] = read(hint, value[key], f"{at}/{key}")
        elif _default(field) is dataclasses.MISSING:
            raise ValueError(f"{at}/{key}: is missing")
    return cls(**fields)


def _choice(choices: tuple[Any, ...], value: Any, at: str) -> Any:
    if value is None and type(None) in choices:
        return None
    problem = ValueError(f"{at or '/'}: is null")
    for choice in choices:
        if choice is not type(None):
            try:
                return read(choice, value, at)
            except ValueError as error:
                problem = error
    raise problem


def _one_of(choices: Any, value: Any, at: str) -> Any:
    if value not in choices:
        raise ValueError(f"{at or '/'}: `{value}` is none of {', '.join(str(choice) for choice in choices)}")
    return value


def _is(wanted: type, value: Any, at: str) -> Any:
    if wanted is float and type(value) is int:
        return float(value)
    # To JSON 2.0 is as whole as 2.
    if wanted is int and type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not wanted:
        raise ValueError(f"{at or '/'}: expected {_NAMES.get(wanted, wanted.__name__)}, not {_NAMES.get(type(value), 'null')}")
    return value


@cache
def _fields(cls: type) -> list[tuple[str, dataclasses.Field[Any], Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return [(field.name.replace("_", "-"), field, hints[field.name]) for field in dataclasses.fields(cls) if field.init]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: _plain(getattr(value, field.name)) for key, field, _ in _fields(type(value))}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


def _docs(cls: type) -> str:
    """The class's documentation, unless it is what `dataclass` made up."""
    said = (cls.__doc__ or "").strip()
    return "" if said.startswith(f"{cls.__name__}(") else " ".join(said.split())
