// Which incident does this alert belong to, and how severe is it?

import { definePlugin, object, string } from "quarterdeck-sdk";

export default definePlugin({
  name: "{{name}}",
  version: "0.1.0",
  summary: "Alerts of one place make one incident",
  config: object({
    label: string("Alerts with the same value of this label belong together.").default("instance"),
  }),

  correlator: {
    correlate(config, alert, open) {
      const key = alert.labels[config.label] ?? "nowhere";
      const incident = open.find((incident) => incident.key === key);
      if (incident) return { kind: "join", incident: incident.id, severity: alert.severity };
      return { kind: "open", key, title: alert.summary, severity: alert.severity };
    },
  },
});
