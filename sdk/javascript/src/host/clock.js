// The time of day.

import { fakeNowMs, isComponent } from "../host.js";

export function nowMs() {
  return (isComponent() ? undefined : fakeNowMs()) ?? Date.now();
}
