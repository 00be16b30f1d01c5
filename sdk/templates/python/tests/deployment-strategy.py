import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk.deployment_strategy import Deployment, Question, Start, Weight
from quarterdeck_sdk.deployment_target import Phase, Replica


class Test{{type}}(unittest.TestCase):
    def test_it_begins_with_all_replicas_of_the_candidate_and_gives_them_the_traffic(self) -> None:
        question = Question(Deployment(candidate="r2", replicas=1))
        self.assertEqual({{type}}().decide(Config(), question).next, Start(1))
        question.replicas = [Replica("web-1", "r2", Phase.HEALTHY)]
        self.assertEqual({{type}}().decide(Config(), question).next, Weight(100))
