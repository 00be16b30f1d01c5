// The rules. Each is given all instructions, and gives findings.

const SECRET = /(?:^|_)(password|passwd|secret|token|api_?key|private_?key|credentials?)(?:$|_)/i;

export function check(instructions, config) {
  return [secrets, root, pipes, tags, registries].flatMap((rule) => rule(instructions, config));
}

function secrets(instructions) {
  return instructions
    .filter(({ word }) => word === "ENV" || word === "ARG")
    .flatMap(({ word, rest, line }) =>
      assignments(rest)
        .filter(({ name, value }) => SECRET.test(name) && value !== "" && !value.includes("$"))
        .map(({ name }) => ({
          rule: "dockerfile/secret-in-env",
          title: "A secret stays in the image's history",
          severity: "high",
          message: `${word} gives ${name} a value: ****`,
          remediation: "mount it while building (RUN --mount=type=secret), and hand it in when the container runs",
          cwe: 798,
          line,
          fingerprint: `${word} ${name}`,
        })),
    );
}

/** `NAME=value other="a b"`, or of old `NAME value`. */
function assignments(rest) {
  const pairs = [...rest.matchAll(/([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|\S*)/g)];
  if (pairs.length > 0) return pairs.map(([, name, value]) => ({ name, value: value.replace(/^["']|["']$/g, "") }));
  const [name = "", ...value] = rest.split(/\s+/);
  return [{ name, value: value.join(" ") }];
}

function root(instructions) {
  const last = instructions.findLastIndex(({ word }) => word === "FROM");
  if (last < 0) return [];
  const stage = instructions[last];
  const user = instructions.slice(last).findLast(({ word }) => word === "USER");
  if (user && !/^(root|0)(:|$)/.test(user.rest)) return [];
  return [
    {
      rule: "dockerfile/runs-as-root",
      title: "The container runs as root",
      severity: "medium",
      message: user ? `the last USER is ${user.rest}` : "the last stage has no USER",
      remediation: "end the last stage with a USER that is not root",
      cwe: 250,
      line: (user ?? stage).line,
      fingerprint: "runs-as-root",
    },
  ];
}

function pipes(instructions) {
  return instructions
    .filter(({ word, rest }) => word === "RUN" && /\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|z|da)?sh\b/.test(rest))
    .map(({ rest, line }) => ({
      rule: "dockerfile/pipe-to-shell",
      title: "What was downloaded is run unseen",
      severity: "medium",
      message: "a download goes straight into a shell",
      remediation: "download it, compare its checksum, and run it then",
      cwe: 494,
      line,
      fingerprint: rest,
    }));
}

/** Images of others, not stages of this file. */
function images(instructions) {
  const stages = new Set();
  const found = [];
  for (const { word, rest, line } of instructions) {
    if (word !== "FROM") continue;
    const [image = "", as, stage] = rest.replace(/--\S+\s+/g, "").split(/\s+/);
    if (!stages.has(image) && image !== "scratch" && !image.includes("$")) found.push({ image, line });
    if (as?.toUpperCase() === "AS") stages.add(stage);
  }
  return found;
}

function tags(instructions) {
  return images(instructions)
    .filter(({ image }) => !image.includes("@") && /^(?:.*\/)?[^:/]+(?::latest)?$/.test(image))
    .map(({ image, line }) => ({
      rule: "dockerfile/unpinned-image",
      title: "The base image may change",
      severity: "low",
      message: `${image} is whatever is newest when it is built`,
      remediation: "name a version, or better a digest (image@sha256:...)",
      line,
      fingerprint: `FROM ${image}`,
    }));
}

function registries(instructions, config) {
  if (config.registries.length === 0) return [];
  return images(instructions)
    .filter(({ image }) => !config.registries.some((registry) => image.startsWith(`${registry}/`)))
    .map(({ image, line }) => ({
      rule: "dockerfile/foreign-registry",
      title: "The base image comes from another registry",
      severity: "low",
      message: `${image} does not come from ${config.registries.join(" or ")}`,
      remediation: "take it from a registry of yours",
      line,
      fingerprint: `registry of ${image}`,
    }));
}
