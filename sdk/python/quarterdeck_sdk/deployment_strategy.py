"""What is the next move?"""

from dataclasses import dataclass, field

from quarterdeck_sdk.deployment_target import Replica
from quarterdeck_sdk.plugin import C, Plugin


@dataclass
class Deployment:
    """What is deployed."""

    #: Its name.
    service: str = ""
    #: The revision that ran before; empty on the first deployment.
    stable: str = ""
    #: The revision that is to run.
    candidate: str = ""
    #: How many replicas a revision runs when it has all the traffic.
    replicas: int = 0
    #: Milliseconds since 1970, UTC.
    started_at_ms: int = 0


@dataclass
class Analysis:
    """Counted over the candidate's (and the stable) replicas since the last move of weight."""

    #: Since when, milliseconds since 1970.
    since_ms: int = 0
    #: Of the candidate.
    responses: int = 0
    #: Of the candidate: with a status of 500 or above.
    failures: int = 0
    #: Of the stable revision.
    stable_responses: int = 0
    #: Of the stable revision: with a status of 500 or above.
    stable_failures: int = 0


@dataclass
class Question:
    """How things stand."""

    #: What is deployed.
    deployment: Deployment
    #: What the target sees.
    replicas: list[Replica] = field(default_factory=list)
    #: What happened to the traffic.
    analysis: Analysis = field(default_factory=Analysis)
    #: A person promoted it since the last call.
    promoted: bool = False
    #: What the last `Decision` gave back.
    state: bytes | None = None
    #: Milliseconds since 1970, UTC.
    now_ms: int = 0


@dataclass
class Start:
    """Start so many more replicas of the candidate."""

    count: int


@dataclass
class Weight:
    """The candidate's share of the traffic, in percent. The host divides it over the replicas."""

    percent: int


@dataclass
class Retire:
    """Drain and stop these replicas."""

    replicas: list[str]


@dataclass
class Hold:
    """Look again after so many milliseconds."""

    span_ms: int


@dataclass
class Pause:
    """Wait for a person's promotion; says what for."""

    reason: str


@dataclass
class Complete:
    """The candidate is the stable revision now. Refused by the host while the candidate has not all the traffic."""


@dataclass
class RollBack:
    """Go back: the host takes all traffic from the candidate and retires it."""

    reason: str


#: What to do next.
Move = Start | Weight | Retire | Hold | Pause | Complete | RollBack


@dataclass
class Decision:
    """A move, and why."""

    #: What to do next.
    next: Move
    #: Why, for the time line.
    reason: str
    #: Handed back at the next call; at most 64 KiB.
    state: bytes | None = None


class DeploymentStrategy(Plugin[C]):
    """Decides how a deployment goes on. Pure: the same input gives the same output."""

    def decide(self, config: C, question: Question) -> Decision:
        """Called when the last move is done."""
        raise NotImplementedError
