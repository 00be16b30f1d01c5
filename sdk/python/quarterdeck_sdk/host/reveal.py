"""Secrets, as they are, for protocols in which the plugin has to say them. A grant of its own (`reveal`): where `secret` does, prefer
that."""

from quarterdeck_sdk.host import Denied, Door

_DOOR = Door("reveal")


def secret(name: str) -> bytes:
    """The named secret, without line ends behind it. It belongs into no message and no log."""

    def fake(secrets: dict[str, bytes]) -> bytes:
        if name not in secrets:
            raise Denied(f"the secret `{name}` is not to be revealed")
        return secrets[name]

    return _DOOR(lambda wit: wit.secret(name), lambda host: fake(host.secrets))
