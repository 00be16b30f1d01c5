// Tell this recipient.

import { Rejected, Retry, capability, definePlugin, done, http, object, string } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Messages as a POST",
  capabilities: [capability.required("http", "posts the messages")],
  config: object({
    url: string("URL that messages are posted to."),
  }),

  notifier: {
    notify(config, message, key) {
      // The key is the same for every attempt, so that the recipient can drop a second one.
      const response = http.postJson(config.url, { text: message.title }, { headers: [["idempotency-key", key]] });
      if (response.isSuccess) return done({ status: response.status });
      const Failure = response.status === 429 || response.status >= 500 ? Retry : Rejected;
      throw new Failure(`the recipient answered ${response.status}`);
    },
  },
});
