// What is wrong with this subject?

import { definePlugin, object, string } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Words that must not stand in a file",
  config: object({
    word: string("The word that must not stand in a file.").with({ minLength: 1 }).default("FIXME"),
  }),

  scannerRule: {
    interests: () => ({ kinds: ["file"], maxBytes: 1 << 20 }),

    scan(config, subjects) {
      return subjects.flatMap((subject, index) => {
        if (subject.kind !== "file") return [];
        const lines = new TextDecoder().decode(subject.content).split(/\r?\n/);
        const numbered = lines.map((line, at) => ({ line, number: at + 1 }));
        return numbered
          .filter(({ line }) => line.includes(config.word))
          .map(({ line, number }) => ({
            subject: index,
            rule: "{{name}}/word",
            title: "A word that must not stand there",
            severity: "low",
            message: `line ${number} holds \`${config.word}\``,
            remediation: "do what it asks for, and take it out",
            fingerprint: line.trim(),
            line: number,
          }));
      });
    },
  },
});
