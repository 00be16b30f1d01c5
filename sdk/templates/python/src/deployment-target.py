"""Carry out this move; what do you see?"""

import json
from dataclasses import dataclass

from quarterdeck_sdk import Capability, Done, Outcome
from quarterdeck_sdk.deployment_target import DeploymentTarget, Drain, Phase, Replica, Start, Step, Stop, Weight
from quarterdeck_sdk.host import kv


@dataclass
class Config:
    """What an instance is configured with: nothing yet."""


class {{type}}(DeploymentTarget[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Replicas that are only remembered"
    capabilities = [Capability.required("kv", "remembers the replicas")]

    def observe(self, config: Config, service: str) -> list[Replica]:
        return [
            Replica(name, revision, Phase.HEALTHY, weight) for name, (revision, weight) in self.known(service).items()
        ]

    # Every step may come twice: what is so already is done.
    def apply(self, config: Config, service: str, step: Step, key: str) -> Outcome:
        replicas = self.known(service)
        match step:
            case Start(replica, revision):
                replicas.setdefault(replica, (revision, 0))
            case Weight(replica, weight) if replica in replicas:
                replicas[replica] = (replicas[replica][0], weight)
            case Stop(replica):
                replicas.pop(replica, None)
            case Weight() | Drain():
                pass
        kv.set(f"replicas/{service}", json.dumps(replicas).encode())
        return Done()

    def known(self, service: str) -> dict[str, tuple[str, int]]:
        """Revision and weight of each replica."""
        return json.loads(kv.get(f"replicas/{service}") or b"{}")
