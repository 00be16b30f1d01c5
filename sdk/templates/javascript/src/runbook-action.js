// Do this step, or say what it would do.

import { Rejected, definePlugin, done, object, string } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Greets",
  config: object({
    greeting: string("What it says.").default("hello"),
  }),

  runbookAction: {
    // What a step is given (`with` in the runbook).
    inputs: object({
      name: string("Whom to greet."),
    }),

    plan: (_config, inputs) => `greets ${inputs.name}`,

    // The key is the same for every attempt of one step: use it where doing it twice would do harm.
    run(config, inputs) {
      if (inputs.name === "") throw new Rejected("there is nobody to greet; hint: set `name`");
      return done({ said: `${config.greeting}, ${inputs.name}` });
    },
  },
});
