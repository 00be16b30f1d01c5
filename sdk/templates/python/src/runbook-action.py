"""Do this step, or say what it would do."""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Done, Outcome, Rejected
from quarterdeck_sdk.runbook_action import RunbookAction


@dataclass
class Config:
    """What an instance is configured with."""

    greeting: Annotated[str, "What it says."] = "hello"


@dataclass
class Inputs:
    """What a step is given (`with` in the runbook)."""

    name: Annotated[str, "Whom to greet."]


class {{type}}(RunbookAction[Config, Inputs]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Greets"

    def plan(self, config: Config, inputs: Inputs) -> str | None:
        return f"greets {inputs.name}"

    # The key is the same for every attempt of one step: use it where doing it twice would do harm.
    def run(self, config: Config, inputs: Inputs, key: str) -> Outcome:
        if not inputs.name:
            raise Rejected("there is nobody to greet; hint: set `name`")
        return Done({"said": f"{config.greeting}, {inputs.name}"})
