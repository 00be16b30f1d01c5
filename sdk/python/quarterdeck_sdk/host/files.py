"""Reads granted files, in parts. Each grant names a file, or a folder by a `/` at its end."""

from dataclasses import dataclass

from quarterdeck_sdk.host import Door

_DOOR = Door("files")

#: Of one read at most.
READ_BYTES = 1 << 20


@dataclass
class Part:
    """A part of a file."""

    #: Empty at the end of the file.
    bytes: bytes
    #: Of the whole file.
    size_bytes: int
    #: Stays the same while the file is renamed, and differs between files that there are at one time.
    identity: int


_part = _DOOR.inward("read", Part | None)


def read(path: str, offset: int, max: int) -> Part | None:
    """At most `max` bytes (and `READ_BYTES`) from `offset` on. `None`: there is no such file. What is no plain file is refused, and so is
    a link that leads out of a granted folder."""
    return _DOOR(
        lambda wit: _part(wit.read(path, offset, max)),
        lambda host: _fake_read(host.files, path, offset, min(max, READ_BYTES)),
    )


def _fake_read(files: dict[str, tuple[int, bytes]], path: str, offset: int, length: int) -> Part | None:
    if path not in files:
        return None
    identity, whole = files[path]
    return Part(whole[offset : offset + length], len(whole), identity)
