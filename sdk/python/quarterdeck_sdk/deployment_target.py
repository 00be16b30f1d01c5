"""Carry out this move; what do you see?"""

from dataclasses import dataclass
from enum import Enum

from quarterdeck_sdk.failure import Outcome
from quarterdeck_sdk.plugin import C, Plugin


class Phase(Enum):
    """How far a replica is."""

    #: Not ready yet.
    STARTING = "starting"
    #: Ready for traffic.
    HEALTHY = "healthy"
    #: Failing its health check, or gone without being asked to.
    UNHEALTHY = "unhealthy"
    #: Finishing what is in flight.
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass
class Replica:
    """One running copy of a revision."""

    #: Unique within the service.
    name: str
    #: What it runs.
    revision: str
    phase: Phase
    #: Share of traffic relative to the others, 0 to 256.
    weight: int = 0
    #: Counter since the replica came up.
    responses: int = 0
    #: Counter since the replica came up: responses with a status of 500 or above.
    failures: int = 0
    #: For a person, where there is something to say.
    message: str = ""


@dataclass
class Start:
    """Start a replica of a revision, with no traffic."""

    replica: str
    #: What it is to run.
    revision: str


@dataclass
class Weight:
    """Give a replica a weight, 0 to 256."""

    replica: str
    weight: int


@dataclass
class Drain:
    """No new connections; done when those in flight have ended or the grace of the configuration is over."""

    replica: str


@dataclass
class Stop:
    """Stop it and forget it."""

    replica: str


#: One step of a move.
Step = Start | Weight | Drain | Stop


class DeploymentTarget(Plugin[C]):
    """Carries out moves of a deployment, and says what it sees."""

    def observe(self, config: C, service: str) -> list[Replica]:
        """Every replica of the service that there is."""
        raise NotImplementedError

    def apply(self, config: C, service: str, step: Step, key: str) -> Outcome:
        """`key` is the same for every attempt of one step. Every step is idempotent: a replica that is so already is done.
        Answer `Pending` while it goes on: the same step is then applied again after that time."""
        raise NotImplementedError
