import assert from "node:assert/strict";
import test from "node:test";

import plugin from "../src/plugin.js";

const scan = (text, registries = []) => {
  const content = new TextEncoder().encode(text);
  return plugin.scannerRule.scan({ registries }, [{ kind: "file", path: "Dockerfile", content }]);
};
const rules = (...given) => scan(...given).map(({ rule, line }) => `${line} ${rule.replace("dockerfile/", "")}`);

const FINE = "FROM debian:13\nRUN apt-get update\nUSER app\n";

test("a file that does nothing of it has no finding", () => {
  assert.deepEqual(rules(FINE), []);
  assert.deepEqual(rules(""), []);
  assert.deepEqual(rules("\u0000\n\\\n"), []);
});

test("a secret with a value is found and masked, a reference is not", () => {
  const found = scan(`${FINE}ENV A=1 DB_PASSWORD="hunter2"\nARG API_KEY\nENV TOKEN $GIVEN\nENV TOKENIZER=fast\n`);
  assert.deepEqual(found.map(({ line, message }) => [line, message]), [[4, "ENV gives DB_PASSWORD a value: ****"]]);
  assert.deepEqual(rules(`${FINE}ENV SECRET old style\n`), ["4 secret-in-env"]);
});

test("only the last stage has to have a user", () => {
  assert.deepEqual(rules("FROM a:1 AS build\nFROM b:1\nCOPY --from=build /a /a\n"), ["2 runs-as-root"]);
  assert.deepEqual(rules("FROM a:1\nUSER app\nUSER root:root\n"), ["3 runs-as-root"]);
  assert.deepEqual(rules("FROM a:1\nUSER rooted\n"), []);
});

test("a download that goes into a shell is found at the first of its lines", () => {
  assert.deepEqual(rules(`${FINE}RUN set -e; \\\n  # why\n  curl -fsSL https://a/b \\\n  | sudo bash -s\n`), [
    "4 pipe-to-shell",
  ]);
  assert.deepEqual(rules(`${FINE}RUN curl -o a https://a/b && grep x a | sort\n`), []);
});

test("an image without a version is found, and a stage, a digest or an argument is not", () => {
  const user = "USER app\n";
  assert.deepEqual(rules(`FROM debian\n${user}`), ["1 unpinned-image"]);
  assert.deepEqual(rules(`FROM --platform=linux/amd64 host:5000/debian:latest\n${user}`), ["1 unpinned-image"]);
  for (const image of ["host:5000/debian:13", "debian@sha256:00", "$BASE", "scratch"]) {
    assert.deepEqual(rules(`FROM ${image}\n${user}`), [], image);
  }
  assert.deepEqual(rules(`FROM debian:13 AS base\nFROM base\n${user}`), []);
});

test("an image of another registry is found where registries are named", () => {
  assert.deepEqual(rules(FINE, ["mine.example"]), ["1 foreign-registry"]);
  assert.deepEqual(rules("FROM mine.example/debian:13\nUSER app\n", ["mine.example"]), []);
});

test("a finding keeps its fingerprint when lines above it move", () => {
  const prints = (text) => scan(text).map(({ fingerprint }) => fingerprint);
  assert.deepEqual(prints("FROM debian\n"), prints("# comment\n\nFROM debian\n"));
});
