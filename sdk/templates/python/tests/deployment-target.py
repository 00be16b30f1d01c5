import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk.deployment_target import Start, Stop
from quarterdeck_sdk.testing import FakeHost


class Test{{type}}(unittest.TestCase):
    def test_a_replica_that_is_started_twice_is_there_once_and_gone_when_it_is_stopped(self) -> None:
        target, start = {{type}}(), Start("web-1", "r1")
        with FakeHost():
            target.apply(Config(), "web", start, "key-1")
            target.apply(Config(), "web", start, "key-1")
            self.assertEqual([replica.revision for replica in target.observe(Config(), "web")], ["r1"])
            target.apply(Config(), "web", Stop("web-1"), "key-2")
            self.assertEqual(target.observe(Config(), "web"), [])
