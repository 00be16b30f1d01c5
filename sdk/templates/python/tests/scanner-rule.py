import unittest

from plugin import Config, {{type}}
from quarterdeck_sdk.scanner_rule import File


class Test{{type}}(unittest.TestCase):
    def test_a_line_with_the_word_is_found(self) -> None:
        findings = {{type}}().scan(Config(), [File("a.txt", b"fine\nFIXME later\n")])
        self.assertEqual([finding.line for finding in findings], [2])
