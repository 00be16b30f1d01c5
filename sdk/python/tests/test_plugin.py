import json
import unittest
from dataclasses import dataclass
from typing import Any

from quarterdeck_sdk import Done, Plugin, Severity, build, config_schema, kinds
from quarterdeck_sdk.collector import Collection, Collector, Family, Health
from quarterdeck_sdk.detector import Detector
from quarterdeck_sdk.notifier import Notifier
from quarterdeck_sdk.runbook_action import RunbookAction
from quarterdeck_sdk.sla_calculator import Window


@dataclass
class Config:
    a: int = 1


@dataclass
class Inputs:
    b: int = 2


class Both(Notifier[Config], RunbookAction[Config, Inputs]):
    name = "both"
    version = "0.1.0"
    summary = "Two kinds"

    def run(self, config: Config, inputs: Inputs, key: str) -> Done:
        return Done({"sum": config.a + inputs.b})


class TestPlugin(unittest.TestCase):
    def test_the_types_between_the_brackets_are_known_at_run_time(self) -> None:
        self.assertIs(Both.config_type, Config)
        self.assertIs(Both.inputs_type, Inputs)
        self.assertEqual([kind.name for kind in kinds.of(Both)], ["notifier", "runbook-action"])
        self.assertEqual(Both().run(Config(), Inputs(), "k"), Done({"sum": 3}))

    def test_a_class_that_derives_from_a_plugin_may_have_another_configuration(self) -> None:
        @dataclass
        class Wider(Config):
            c: int = 3

        class Derived(Both):
            config_type = Wider

        self.assertIs(Derived.config_type, Wider)
        self.assertIs(Derived.inputs_type, Inputs)

    def test_only_what_acts_is_reused_and_only_as_long_as_it_asks_for_that(self) -> None:
        class Judge(Detector[Config]):
            pass

        class Once(Both):
            calls_of_a_sandbox = 1

        self.assertEqual([kinds.asks_for_reuse(plugin) for plugin in (Both, Judge, Once)], [True, False, False])

    def test_a_configuration_that_is_no_dataclass_is_refused(self) -> None:
        with self.assertRaises(TypeError):
            of_config(dict)

    def test_what_a_plugin_lacks_is_said_before_anything_is_built(self) -> None:
        class Nameless(Collector[Config]):
            version = "0.1.0"
            summary = "No name"

        class Kindless(Plugin[Config]):
            name, version, summary = "kindless", "0.1.0", "No kind"

        for plugin, expected in [(Nameless, "has no `name`"), (Kindless, "is of no kind"), (Both, "")]:
            try:
                build.check(plugin)
                said = ""
            except build.Unfit as error:
                said = str(error)
            self.assertIn(expected, said)
            self.assertEqual(bool(expected), bool(said))

    def test_the_schema_of_its_configuration_is_a_text(self) -> None:
        schema = json.loads(config_schema(Both))
        self.assertEqual(schema["properties"], {"a": {"type": "integer", "default": 1}})

    def test_the_worse_severity_is_the_one_that_stands_first(self) -> None:
        self.assertIs(Severity.LOW.worse(Severity.HIGH), Severity.HIGH)
        self.assertIs(Severity.HIGH.worse(Severity.HIGH), Severity.HIGH)

    def test_a_collection_finds_a_series_by_its_labels(self) -> None:
        family = Family.gauge("up", "Whether it is").sample({"a": "1"}, 1.0).sample({"a": "2"}, 0.0)
        collection = Collection(Health.ok("fine"), [family])
        self.assertEqual(collection.value("up", {"a": "2"}), 0.0)
        self.assertIsNone(collection.value("up"))

    def test_a_sample_at_the_end_of_an_exclusion_is_outside_of_it(self) -> None:
        window = Window(at_ms=[9, 10, 19, 20], value=[1.0] * 4, exclusions=[(10, 20)])
        self.assertEqual([excluded for _, _, excluded in window.samples()], [False, True, True, False])


def of_config(config: Any) -> type:
    class Odd(Collector[config]):  # type: ignore[valid-type]
        pass

    return Odd
