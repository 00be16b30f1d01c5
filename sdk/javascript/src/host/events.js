// Publishes events.

import { call } from "../host.js";

export function publish(eventType, subject, data) {
  call(
    "events",
    (wit) => wit.publish(eventType, subject, JSON.stringify(data)),
    (host) => host.events.push([eventType, subject, data]),
  );
}
