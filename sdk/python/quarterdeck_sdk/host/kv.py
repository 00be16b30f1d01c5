"""The instance's own key-value space, bounded by its quota. Writes are committed with the call's result, and dropped if the call
fails. Keys have at most 512 bytes, values 256 KiB."""

from quarterdeck_sdk.host import Door

_DOOR = Door("kv")


def get(key: str) -> bytes | None:
    """The value of a key. Sees this call's own writes."""
    return _DOOR(lambda wit: wit.get(key), lambda host: host.kv.get(key))


def set(key: str, value: bytes) -> None:
    """Sets the value of a key."""
    _DOOR(lambda wit: wit.set(key, value), lambda host: host.kv.__setitem__(key, value))


def delete(key: str) -> None:
    """Removes a key; one that is not there is removed already."""
    _DOOR(lambda wit: wit.delete(key), lambda host: host.kv.pop(key, None) and None)
