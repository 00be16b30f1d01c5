"""Conditions on a figure, as people write them: `>= 1`, `< 0.5`, `!= 0`."""

import math
import operator
import re
from dataclasses import dataclass
from enum import Enum


class Comparison(Enum):
    """See `Condition`."""

    #: `<`
    LESS = "less"
    #: `<=`
    LESS_OR_EQUAL = "less-or-equal"
    #: `>`
    GREATER = "greater"
    #: `>=`
    GREATER_OR_EQUAL = "greater-or-equal"
    #: `==`, also written `=`
    EQUAL = "equal"
    #: `!=`
    NOT_EQUAL = "not-equal"


_OPERATORS = {
    "<=": Comparison.LESS_OR_EQUAL,
    ">=": Comparison.GREATER_OR_EQUAL,
    "==": Comparison.EQUAL,
    "!=": Comparison.NOT_EQUAL,
    "<": Comparison.LESS,
    ">": Comparison.GREATER,
    "=": Comparison.EQUAL,
}
_HOLDS = {
    Comparison.LESS: operator.lt,
    Comparison.LESS_OR_EQUAL: operator.le,
    Comparison.GREATER: operator.gt,
    Comparison.GREATER_OR_EQUAL: operator.ge,
    Comparison.EQUAL: operator.eq,
    Comparison.NOT_EQUAL: operator.ne,
}
_WRITTEN = re.compile(r"\s*(<=|>=|==|!=|<|>|=)\s*([+-]?(?:inf|infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?))\s*", re.I)


@dataclass(frozen=True)
class Condition:
    """A comparison with a number::

        condition = Condition.parse("<= 90")
        assert condition.holds(90.0) and not condition.holds(90.5) and not condition.holds(math.nan)
    """

    #: How it is compared.
    comparison: Comparison
    #: With what.
    number: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Reads what a person wrote; raises `ValueError` where it is no condition."""
        written = _WRITTEN.fullmatch(text)
        if written is None:
            raise ValueError(f"`{text}` is not a condition; write it like `>= 1` or `< 0.5`")
        return cls(_OPERATORS[written[1]], float(written[2]))

    def holds(self, value: float) -> bool:
        """Whether a figure fulfils it. What is not a number fulfils nothing."""
        return not math.isnan(value) and bool(_HOLDS[self.comparison](value, self.number))

    def __str__(self) -> str:
        written = next(written for written, own in _OPERATORS.items() if own is self.comparison)
        return f"{written} {repr(float(self.number)).removesuffix('.0')}"
