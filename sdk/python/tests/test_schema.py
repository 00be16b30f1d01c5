import unittest
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

from quarterdeck_sdk import schema


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass
class Inner:
    """What is inside."""

    count: Annotated[int, "How many.", {"minimum": 1}]


@dataclass
class Config:
    """What an instance
    is configured with."""

    url: Annotated[str, "Where to."]
    inner: Inner
    timeout_ms: Annotated[int, "How long."] = 5000
    mode: Mode = Mode.FAST
    level: Literal["a", "b"] | None = None
    tags: dict[str, list[float]] = field(default_factory=dict)
    anything: Any = None


WHOLE = {"url": "http://a", "inner": {"count": 2}}


class TestSchema(unittest.TestCase):
    def test_the_schema_has_kebab_case_keys_descriptions_defaults_and_what_is_required(self) -> None:
        made = schema.of(Config)
        self.assertEqual(made["description"], "What an instance is configured with.")
        self.assertEqual(made["required"], ["url", "inner"])
        self.assertIs(made["additionalProperties"], False)
        properties = made["properties"]
        self.assertEqual(properties["url"], {"type": "string", "description": "Where to."})
        self.assertEqual(properties["timeout-ms"], {"type": "integer", "description": "How long.", "default": 5000})
        self.assertEqual(properties["mode"], {"enum": ["fast", "slow"], "default": "fast"})
        self.assertEqual(properties["level"], {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]})
        self.assertEqual(properties["inner"], {"$ref": "#/$defs/Inner"})
        self.assertEqual(made["$defs"]["Inner"]["properties"]["count"]["minimum"], 1)
        self.assertEqual(made["$defs"]["Inner"]["description"], "What is inside.")

    def test_a_class_without_documentation_describes_nothing(self) -> None:
        @dataclass
        class Mute:
            a: int = 1

        self.assertNotIn("description", schema.of(Mute))

    def test_what_fits_is_read_and_what_is_absent_has_its_default(self) -> None:
        read = schema.read(Config, {**WHOLE, "mode": "slow", "tags": {"a": [1, 2.5]}, "timeout-ms": 10.0})
        self.assertEqual(read, Config("http://a", Inner(2), 10, Mode.SLOW, tags={"a": [1.0, 2.5]}))
        self.assertIs(type(read.timeout_ms), int)
        self.assertEqual(schema.read(Config, WHOLE).level, None)

    def test_what_does_not_fit_is_told_with_its_place(self) -> None:
        for change, expected in [
            ({"url": 1}, "/url: expected a text, not a whole number"),
            ({"timeout-ms": True}, "/timeout-ms: expected a whole number, not a boolean"),
            ({"timeout-ms": 1.5}, "/timeout-ms: expected a whole number, not a number"),
            ({"inner": {}}, "/inner/count: is missing"),
            ({"mode": "odd"}, "/mode: `odd` is none of fast, slow"),
            ({"level": "c"}, "/level: `c` is none of a, b"),
            ({"tags": {"a": ["x"]}}, "/tags/a/0: expected a number, not a text"),
            ({"timeout_ms": 1}, "/timeout_ms: unknown key; hint: the keys are url, inner, timeout-ms"),
        ]:
            with self.assertRaises(ValueError) as caught:
                schema.read(Config, {**WHOLE, **change})
            self.assertIn(expected, str(caught.exception))

    def test_a_type_that_json_has_not_is_refused(self) -> None:
        @dataclass
        class Odd:
            a: bytes

        self.assertRaises(TypeError, schema.of, Odd)
