"""What is the next move?"""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk.deployment_strategy import (
    Complete,
    Decision,
    DeploymentStrategy,
    Hold,
    Question,
    Retire,
    Start,
    Weight,
)
from quarterdeck_sdk.deployment_target import Phase


@dataclass
class Config:
    """What a service is configured with, laid over what its instance has."""

    look_again_ms: Annotated[int, "How long to wait before looking again, milliseconds.", {"minimum": 1}] = 1000


class {{type}}(DeploymentStrategy[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "All replicas at once"

    def decide(self, config: Config, question: Question) -> Decision:
        deployment = question.deployment
        new = [replica for replica in question.replicas if replica.revision == deployment.candidate]
        old = [replica for replica in question.replicas if replica.revision != deployment.candidate]
        healthy = [replica for replica in new if replica.phase == Phase.HEALTHY]
        if len(new) < deployment.replicas:
            return Decision(Start(deployment.replicas - len(new)), "start them all")
        if len(healthy) < deployment.replicas:
            return Decision(Hold(config.look_again_ms), "not all of them are healthy yet")
        if any(replica.weight == 0 for replica in new):
            return Decision(Weight(100), "all of them are healthy")
        if not old:
            return Decision(Complete(), "the old ones are gone")
        return Decision(Retire([replica.name for replica in old]), "nobody asks the old ones any more")
