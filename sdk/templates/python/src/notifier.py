"""Tell this recipient."""

from dataclasses import dataclass
from typing import Annotated

from quarterdeck_sdk import Capability, Done, Outcome, Rejected, Retry, http
from quarterdeck_sdk.notifier import Message, Notifier


@dataclass
class Config:
    """What an instance is configured with."""

    url: Annotated[str, "URL that messages are posted to."]


class {{type}}(Notifier[Config]):
    name = "{{name}}"
    version = "0.1.0"
    summary = "Messages as a POST"
    capabilities = [Capability.required("http", "posts the messages")]

    def notify(self, config: Config, message: Message, key: str) -> Outcome:
        # The key is the same for every attempt, so that the recipient can drop a second one.
        response = http.post_json(config.url, {"text": message.title}, headers=[("idempotency-key", key)])
        if response.is_success:
            return Done({"status": response.status})
        if response.status == 429 or response.status >= 500:
            raise Retry(f"the recipient answered {response.status}")
        raise Rejected(f"the recipient answered {response.status}")
