import unittest

from plugin import Config, {{type}}


class Test{{type}}(unittest.TestCase):
    def test_without_an_amplitude_it_stands_still(self) -> None:
        collection = {{type}}().collect(Config(amplitude=0.0), 1_000)
        self.assertEqual(collection.value("{{snake}}_height"), 0.0)
