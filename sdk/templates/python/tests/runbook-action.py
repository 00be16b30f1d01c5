import unittest

from plugin import Config, Inputs, {{type}}
from quarterdeck_sdk import Done, Rejected


class Test{{type}}(unittest.TestCase):
    def test_it_greets(self) -> None:
        self.assertEqual({{type}}().run(Config(), Inputs("you"), "key-1"), Done({"said": "hello, you"}))
        self.assertRaises(Rejected, {{type}}().run, Config(), Inputs(""), "key-2")
