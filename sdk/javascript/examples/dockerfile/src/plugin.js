// What a Dockerfile should not do, found where it is written.

import { definePlugin, list, object, string } from "quarterdeck-sdk";

import { instructions } from "./instructions.js";
import { check } from "./rules.js";

export default definePlugin({
  name: "dockerfile",
  version: "0.1.0",
  summary: "What a Dockerfile should not do",
  config: object({
    registries: list(string(), "Registries that images may come from; empty: any.").default([]),
  }),

  scannerRule: {
    interests: () => ({
      kinds: ["file"],
      include: ["Dockerfile", "Dockerfile.*", "*.Dockerfile", "Containerfile"].flatMap((name) => [name, `**/${name}`]),
      maxBytes: 256 * 1024,
    }),

    scan(config, subjects) {
      const decoder = new TextDecoder();
      return subjects.flatMap((subject, index) => {
        if (subject.kind !== "file") return [];
        const found = check(instructions(decoder.decode(subject.content)), config);
        return found.map((finding) => ({ subject: index, ...finding }));
      });
    },
  },
});
