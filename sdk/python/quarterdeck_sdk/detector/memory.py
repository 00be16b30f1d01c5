"""What a detector remembers of each series, in the 64 KiB that the host keeps for a rule. The bytes are those of every SDK: a detector
that is written anew in another language goes on with what it learned."""

import math
import struct
from dataclasses import dataclass

from quarterdeck_sdk.label import Labels

#: What the host keeps for a rule at most, in bytes.
STATE_BYTES = 64 * 1024
#: Not seen for so long, a series makes room for another one.
_LATELY_SECONDS = 3_600
#: Of one series: key, seconds since 1970, and how many bytes follow.
_HEADER = struct.Struct("<QIH")


@dataclass
class _Entry:
    #: Seconds since 1970.
    seen: int
    is_new: bool
    data: bytes


class Memory:
    """A few bytes for each series. Where they don't fit, those that were not seen for longest are left out; of those that were seen within
    the last hour, newcomers: what has been learned is worth more than what has not, also where its series misses a moment::

        memory = Memory.read(state, 1, window.now_ms, 3_600_000)
        for series in window.series:
            known = memory.get(key(series.labels))
            memory.set(key(series.labels), window.now_ms, struct.pack("<d", series.value[-1]))
        state, left_out = memory.write()

    `len` says how many series it knows; it is false where it knows none.
    """

    def __init__(self, version: int) -> None:
        if not 0 <= version <= 0xFF:
            raise ValueError(f"the version {version} is not one of 0 to 255")
        self._version = version
        self._entries: dict[int, _Entry] = {}

    @classmethod
    def read(cls, state: bytes | None, version: int, now_ms: int, keep_ms: int) -> "Memory":
        """What `write` of the same version (0 to 255) wrote, without what was not seen for longer than `keep_ms` milliseconds. What can't
        be read is nothing: then everything is learned anew."""
        memory = cls(version)
        if not state or state[0] != version:
            return memory
        at = 1
        while at + _HEADER.size <= len(state):
            key, seen, length = _HEADER.unpack_from(state, at)
            at += _HEADER.size
            if at + length > len(state):
                break
            if now_ms - seen * 1000 <= keep_ms:
                memory._entries[key] = _Entry(seen, False, bytes(state[at : at + length]))
            at += length
        return memory

    def get(self, key: int) -> bytes | None:
        """What is remembered of a series."""
        entry = self._entries.get(key)
        return None if entry is None else entry.data

    def set(self, key: int, now_ms: int, bytes: bytes) -> None:
        """Remembers it, at most 64 KiB less a few bytes. `now_ms`: milliseconds since 1970."""
        known = self._entries.get(key)
        seen = min(max(now_ms // 1000, 0), 0xFFFF_FFFF)
        self._entries[key] = _Entry(seen, known is None or known.is_new, b"" + bytes)

    def remove(self, key: int) -> None:
        """Forgets it."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)

    def write(self) -> tuple[bytes | None, list[int]]:
        """The state to hand back (`None`, if nothing is remembered), and which series did not fit."""
        newest = max((entry.seen for entry in self._entries.values()), default=0)

        def rank(item: tuple[int, _Entry]) -> tuple[int, bool, int, int]:
            key, entry = item
            lately = newest if newest - entry.seen < _LATELY_SECONDS else entry.seen
            return -lately, entry.is_new, -entry.seen, key

        out = bytearray([self._version])
        left_out = []
        for key, entry in sorted(self._entries.items(), key=rank):
            length = len(entry.data)
            if length <= 0xFFFF and len(out) + _HEADER.size + length <= STATE_BYTES:
                out += _HEADER.pack(key, entry.seen, length) + entry.data
            else:
                left_out.append(key)
        return bytes(out) if len(out) > 1 else None, left_out


def key(labels: Labels) -> int:
    """Stands for a set of labels, whatever their order, in 64 bits (FNV-1a)."""
    value = 0xCBF2_9CE4_8422_2325
    for name, text in sorted(labels.items()):
        for byte in name.encode() + b"\xff" + text.encode() + b"\xff":
            value = (value ^ byte) * 0x0100_0000_01B3 & 0xFFFF_FFFF_FFFF_FFFF
    return value


class Reader:
    """Takes figures off the front of bytes, lowest byte first, as `struct.pack("<...")` wrote them. What is not there is `None`, and leaves
    the rest as it is."""

    def __init__(self, bytes: bytes) -> None:
        self._data = bytes
        self._at = 0

    def bytes(self, count: int) -> bytes | None:
        """So many bytes."""
        end = self._at + count
        if count < 0 or end > len(self._data):
            return None
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def u8(self) -> int | None:
        """One byte."""
        return self._whole(1)

    def u16(self) -> int | None:
        """Two bytes."""
        return self._whole(2)

    def i16(self) -> int | None:
        """Two bytes, which may be negative."""
        return self._whole(2, signed=True)

    def u32(self) -> int | None:
        """Four bytes."""
        return self._whole(4)

    def u64(self) -> int | None:
        """Eight bytes."""
        return self._whole(8)

    def i64(self) -> int | None:
        """Eight bytes, which may be negative."""
        return self._whole(8, signed=True)

    def f32(self) -> float | None:
        """Four bytes; what is no finite number can't have been written."""
        return self._float("<f", 4)

    def f64(self) -> float | None:
        """Eight bytes; what is no finite number can't have been written."""
        return self._float("<d", 8)

    def is_at_end(self) -> bool:
        """Whether everything was taken."""
        return self._at == len(self._data)

    def _whole(self, count: int, signed: bool = False) -> int | None:
        taken = self.bytes(count)
        return None if taken is None else int.from_bytes(taken, "little", signed=signed)

    def _float(self, how: str, count: int) -> float | None:
        taken = self.bytes(count)
        if taken is None:
            return None
        value: float = struct.unpack(how, taken)[0]
        return value if math.isfinite(value) else None
