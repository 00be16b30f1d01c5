import unittest
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional, Union

from quarterdeck_sdk import Severity, mirror
from quarterdeck_sdk.collector import Family
from quarterdeck_sdk.deployment_strategy import Complete, Hold, Move, Pause, Retire, RollBack, Start, Weight
from quarterdeck_sdk.scanner_rule import File, HttpResponse, Subject


# In the shapes that bindings have.
@dataclass
class Label:
    name: str
    value: str


class WitSeverity(Enum):
    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3
    INFO = 4


class MetricType(Enum):
    GAUGE = 0
    COUNTER = 1
    HISTOGRAM = 2
    SUMMARY = 3
    UNKNOWN = 4


@dataclass
class WitFamily:
    name: str
    metric_type: MetricType
    help: str
    labels: list[list[Label]]
    values: list[float]
    at_ms: list[int]


@dataclass
class Move_Start:
    value: int


@dataclass
class Move_Weight:
    value: int


@dataclass
class Move_Retire:
    value: list[str]


@dataclass
class Move_Hold:
    value: int


@dataclass
class Move_Pause:
    value: str


@dataclass
class Move_Complete:
    pass


@dataclass
class Move_RollBack:
    value: str


WitMove = Union[Move_Start, Move_Weight, Move_Retire, Move_Hold, Move_Pause, Move_Complete, Move_RollBack]


@dataclass
class WitFile:
    path: str
    content: bytes


@dataclass
class WitHttpResponse:
    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Subject_File:
    value: WitFile


@dataclass
class Subject_HttpResponse:
    value: WitHttpResponse


WitSubject = Union[Subject_File, Subject_HttpResponse]


def way(ours: Any, theirs: Any) -> Callable[[Any], Any]:
    """There is something to do on the way."""
    found = mirror.way(ours, theirs)
    assert found is not None
    return found


class TestMirror(unittest.TestCase):
    def test_records_labels_and_enumerations_go_over_and_columns_stay_what_they_are(self) -> None:
        family = Family.gauge("up", "Whether").sample({"a": "1"}, 1.0)
        over = way(Family, WitFamily)(family)
        self.assertEqual(over, WitFamily("up", MetricType.GAUGE, "Whether", [[Label("a", "1")]], [1.0], []))
        self.assertIs(over.values, family.values)
        self.assertEqual(way(list[Label], dict[str, str])([Label("a", "1")]), {"a": "1"})

    def test_every_case_of_a_variant_goes_over(self) -> None:
        over = way(Move, WitMove)
        for ours, theirs in [
            (Start(2), Move_Start(2)),
            (Weight(50), Move_Weight(50)),
            (Retire(["a"]), Move_Retire(["a"])),
            (Hold(5), Move_Hold(5)),
            (Pause("why"), Move_Pause("why")),
            (Complete(), Move_Complete()),
            (RollBack("why"), Move_RollBack("why")),
        ]:
            self.assertEqual(over(ours), theirs)

    def test_a_case_that_holds_a_record_comes_back(self) -> None:
        back = way(list[WitSubject], list[Subject])
        response = WitHttpResponse("http://a", 200, [("x", "y")], b"b")
        self.assertEqual(
            back([Subject_File(WitFile("a", b"c")), Subject_HttpResponse(response)]),
            [File("a", b"c"), HttpResponse("http://a", 200, [("x", "y")], b"b")],
        )

    def test_what_may_be_absent_stays_absent(self) -> None:
        self.assertIsNone(mirror.way(Optional[int], int | None))
        over = way(Optional[Severity], Optional[WitSeverity])
        self.assertEqual((over(None), over(Severity.LOW)), (None, WitSeverity.LOW))
