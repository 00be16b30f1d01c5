"""Secrets that the host uses for the plugin, without handing them over."""

from quarterdeck_sdk.host import Door

_DOOR = Door("secret")


def hmac_sha256(name: str, message: bytes) -> bytes:
    """The MAC of `message` under the named secret."""
    return _DOOR(lambda wit: wit.hmac_sha256(name, message), lambda host: host.answer(host.hmac, name, message))


def header_value(name: str) -> str:
    """An opaque text that the host replaces by the secret in the headers, and in the path and query of the URL, of a request to a granted
    origin."""
    return _DOOR(lambda wit: wit.header_value(name), lambda host: f"secret:{name}")
