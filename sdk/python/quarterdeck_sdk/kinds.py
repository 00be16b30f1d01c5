"""The kinds that a plugin can be of."""

from dataclasses import dataclass
from typing import Any

from quarterdeck_sdk.collector import Collector
from quarterdeck_sdk.correlator import Correlator
from quarterdeck_sdk.deployment_strategy import DeploymentStrategy
from quarterdeck_sdk.deployment_target import DeploymentTarget
from quarterdeck_sdk.detector import Detector
from quarterdeck_sdk.notifier import Notifier
from quarterdeck_sdk.plugin import Plugin
from quarterdeck_sdk.runbook_action import RunbookAction
from quarterdeck_sdk.scanner_rule import ScannerRule
from quarterdeck_sdk.sla_calculator import SlaCalculator


@dataclass(frozen=True)
class Kind:
    """A kind: its name in `wit/`, and its class."""

    name: str
    cls: type
    #: It decides: every call is in a new sandbox, whatever the plugin asks for.
    is_pure: bool = False

    @property
    def class_name(self) -> str:
        """As the bindings call it."""
        return self.cls.__name__


ALL = [
    Kind("collector", Collector),
    Kind("detector", Detector, is_pure=True),
    Kind("scanner-rule", ScannerRule, is_pure=True),
    Kind("correlator", Correlator, is_pure=True),
    Kind("notifier", Notifier),
    Kind("deployment-strategy", DeploymentStrategy, is_pure=True),
    Kind("deployment-target", DeploymentTarget),
    Kind("runbook-action", RunbookAction),
    Kind("sla-calculator", SlaCalculator, is_pure=True),
]


def of(plugin: type[Plugin[Any]]) -> list[Kind]:
    """Those that it derives from."""
    return [kind for kind in ALL if issubclass(plugin, kind.cls)]


def asks_for_reuse(plugin: type[Plugin[Any]]) -> bool:
    """Whether its sandboxes may serve more than one call."""
    return plugin.calls_of_a_sandbox > 1 and any(not kind.is_pure for kind in of(plugin))
