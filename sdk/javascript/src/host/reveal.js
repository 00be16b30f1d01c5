// Secrets, as they are, for protocols in which the plugin has to say them.

import { Denied, call } from "../host.js";

export function secret(name) {
  return call(
    "reveal",
    (wit) => wit.secret(name),
    (host) => {
      const known = host.secrets.get(name);
      if (known === undefined) throw new Denied(`the secret \`${name}\` is not to be revealed`);
      return known;
    },
  );
}
