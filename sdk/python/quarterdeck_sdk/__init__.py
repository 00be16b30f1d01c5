"""What the author of a Quarterdeck plugin depends on, alone: a class per kind, plain dataclasses, and the host's imports as
functions. Not here: anything of the host, and anything that an author would have to know about WIT.

A plugin is a class that derives from one or more kinds. This is a whole one::

    @dataclass
    class Config:
        \"\"\"What an instance is configured with.\"\"\"

        amplitude: Annotated[float, "How far it swings."] = 0.0


    class Wave(Collector[Config]):
        name = "wave"
        version = "0.1.0"
        summary = "A figure that swings"

        def collect(self, config: Config, now_ms: int) -> Collection:
            height = config.amplitude * math.sin(now_ms / 60_000)
            return Collection(Health.ok("swings"), [Family.gauge("wave_height_metres", "Height").value(height)])

`[tool.quarterdeck]` in `pyproject.toml` names it, `plugin = "plugin:Wave"`, and `quarterdeck plugin build` makes the component.

- `collector` ... `sla_calculator`: a kind each, with its class and its types
- `host`: what the host does for a plugin: key-value space, programs, sockets, ...
- `http`: a synchronous HTTP client
- `condition`: conditions on a figure, as people write them
- `statistics`: robust statistics and trends, for detectors; what they remember and say is in `detector`
- `testing`: a fake host for native tests, and the built component in the real one
"""

from quarterdeck_sdk.failure import Done, Failure, Other, Outcome, Pending, Rejected, Retry
from quarterdeck_sdk.label import Labels
from quarterdeck_sdk.plugin import Capability, Plugin, Problem, config_schema
from quarterdeck_sdk.severity import Severity

__all__ = [
    "Capability",
    "Done",
    "Failure",
    "Labels",
    "Other",
    "Outcome",
    "Pending",
    "Plugin",
    "Problem",
    "Rejected",
    "Retry",
    "Severity",
    "config_schema",
]
