import math
import struct
import unittest

from quarterdeck_sdk.detector import STATE_BYTES, Memory, Reader, key, words

HOUR_MS = 3_600_000


def with_series(memory: Memory, series: list[int], now_ms: int) -> Memory:
    for each in series:
        memory.set(each, now_ms, bytes(1000))
    return memory


class TestMemory(unittest.TestCase):
    def test_what_was_written_is_read_unless_it_is_of_another_version_or_too_long_ago(self) -> None:
        series = key({"host": "a"})
        memory = Memory.read(None, 1, 0, HOUR_MS)
        memory.set(series, 0, b"\x07")
        state, left_out = memory.write()
        self.assertEqual((left_out, len(memory), bool(Memory(1))), ([], 1, False))
        for version, now_ms, expected in [(1, 1000, b"\x07"), (2, 1000, None), (1, HOUR_MS + 1000, None)]:
            self.assertEqual(Memory.read(state, version, now_ms, HOUR_MS).get(series), expected)

    def test_the_state_is_the_same_bytes_in_every_language(self) -> None:
        memory = Memory.read(None, 1, 0, HOUR_MS)
        memory.set(key({"host": "a", "zone": "b"}), 1_700_000_000_999, b"\x07\x08")
        memory.set(3, 1_700_000_060_000, b"")
        state, _ = memory.write()
        expected = "0103000000000000003cf15365000090f2b48dd83c9cab00f1536502000708"
        self.assertEqual(state, bytes.fromhex(expected))

    def test_the_order_of_labels_does_not_matter(self) -> None:
        self.assertEqual(key({"a": "1", "b": "2"}), key({"b": "2", "a": "1"}))
        self.assertNotEqual(key({"a": "1", "b": "2"}), key({"a": "12", "b": ""}))

    def test_what_does_not_fit_is_what_was_not_seen_for_longest_and_then_newcomers(self) -> None:
        memory = with_series(Memory(1), list(range(100, 164)), 0)
        memory.remove(100)
        memory.remove(100)
        state, left_out = memory.write()
        self.assertEqual(left_out, [])
        memory = Memory.read(state, 1, HOUR_MS, HOUR_MS)
        self.assertEqual(len(memory), 63)
        # All but one of the old ones are there still, and three newcomers, whose keys are smaller.
        state, left_out = with_series(memory, [*range(102, 164), *range(3)], HOUR_MS).write()
        self.assertEqual(left_out, [2, 101], "one newcomer too many, and one that has gone")
        self.assertLessEqual(len(state or b""), STATE_BYTES)

    def test_what_was_not_seen_for_a_moment_makes_no_room_for_newcomers(self) -> None:
        state, _ = with_series(Memory(1), list(range(100, 164)), 0).write()
        memory = with_series(Memory.read(state, 1, HOUR_MS - 1000, HOUR_MS), [*range(101, 164), *range(3)], HOUR_MS - 1000)
        self.assertEqual(memory.write()[1], [0, 1, 2], "and 100 stays, though it is not seen now")

    def test_rubbish_is_nothing_and_a_truncated_state_is_what_is_whole_of_it(self) -> None:
        for strange in (b"", b"\x02rubbish", b"\x01short"):
            self.assertEqual(len(Memory.read(strange, 1, 0, HOUR_MS)), 0)
        memory = Memory(1)
        memory.set(1, 0, bytes([5] * 10))
        memory.set(2, 0, bytes([6] * 10))
        state, _ = memory.write()
        assert state is not None
        cut = Memory.read(state[:-1], 1, 0, HOUR_MS)
        self.assertEqual((cut.get(1), cut.get(2)), (bytes([5] * 10), None))
        self.assertEqual(Memory(1).write(), (None, []), "nothing is remembered")

    def test_what_can_never_fit_is_left_out_and_times_are_bounded(self) -> None:
        memory = Memory(1)
        memory.set(1, -5, bytes(STATE_BYTES))
        memory.set(2, 1 << 62, b"a")
        state, left_out = memory.write()
        self.assertEqual(left_out, [1])
        self.assertEqual(Memory.read(state, 1, 0, HOUR_MS).get(2), b"a")
        self.assertRaises(ValueError, Memory, 256)


class TestReader(unittest.TestCase):
    def test_figures_come_back_as_they_were_written_and_none_beyond_the_end(self) -> None:
        reader = Reader(struct.pack("<fdh", 1.5, math.nan, -3))
        self.assertEqual((reader.f32(), reader.f64(), reader.i16()), (1.5, None, -3))
        self.assertTrue(reader.is_at_end())
        self.assertEqual((reader.u8(), reader.u64(), reader.f64()), (None, None, None))
        reader = Reader(struct.pack("<BHIQqd", 1, 2, 3, 1 << 63, -5, 0.1) + b"rest")
        self.assertEqual((reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.i64()), (1, 2, 3, 1 << 63, -5))
        self.assertEqual((reader.f64(), reader.bytes(-1), reader.bytes(5), reader.bytes(4)), (0.1, None, None, b"rest"))
        self.assertEqual(reader.bytes(0), b"")


class TestWords(unittest.TestCase):
    def test_figures_have_four_digits_and_no_needless_zeros(self) -> None:
        for value, text in [
            (97.123_456, "97.12"),
            (0.001_234_5, "0.001234"),
            (1_200_000.4, "1200000"),
            (-0.5, "-0.5"),
            (0.0, "0"),
            (10.0, "10"),
            (1e300, "1e300"),
            (-1.25e-7, "-1.25e-7"),
            (math.inf, "inf"),
            (-math.inf, "-inf"),
            (math.nan, "NaN"),
        ]:
            self.assertEqual(words.figure(value), text)

    def test_spans_are_in_the_unit_that_says_most(self) -> None:
        for seconds, text in [
            (42.0, "42 s"),
            (90.0, "90 s"),
            (720.0, "12 min"),
            (5.0 * 3600.0, "5 h"),
            (302_400.0, "3.5 days"),
            (-0.25, "-0.3 s"),
            (math.inf, "inf days"),
            (math.nan, "NaN s"),
        ]:
            self.assertEqual(words.span(seconds), text)
