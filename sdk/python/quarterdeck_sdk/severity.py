"""One severity scale everywhere."""

from enum import Enum


class Severity(Enum):
    """Worst first, so the smaller one is the worse one."""

    #: Somebody has to act now.
    CRITICAL = "critical"
    #: Somebody has to act today.
    HIGH = "high"
    #: It should be looked at.
    MEDIUM = "medium"
    #: It may be looked at.
    LOW = "low"
    #: Good to know.
    INFO = "info"

    def worse(self, other: "Severity") -> "Severity":
        """The worse of the two."""
        scale = list(Severity)
        return min(self, other, key=scale.index)
