// The kinds that a plugin can be of: name in `wit/`, key of its definition, and what it must have.

export const KINDS = [
  { name: "collector", key: "collector", functions: ["collect"] },
  { name: "detector", key: "detector", functions: ["evaluate"] },
  { name: "scanner-rule", key: "scannerRule", functions: ["interests", "scan"] },
  { name: "correlator", key: "correlator", functions: ["correlate"] },
  { name: "notifier", key: "notifier", functions: ["notify"] },
  { name: "deployment-strategy", key: "deploymentStrategy", functions: ["decide"] },
  { name: "deployment-target", key: "deploymentTarget", functions: ["observe", "apply"] },
  { name: "runbook-action", key: "runbookAction", functions: ["plan", "run"] },
  { name: "sla-calculator", key: "slaCalculator", functions: ["fold", "merge", "finish"] },
];
