// Why a call failed, and what a kind that acts answers.

export class Failure extends Error {
  get name() {
    return this.constructor.name;
  }
}

export class Rejected extends Failure {}

export class Retry extends Failure {
  constructor(message, afterMs) {
    super(message);
    this.afterMs = afterMs;
  }
}

export class Other extends Failure {}

export function done(outputs = {}) {
  return { kind: "done", outputs };
}

export function pending(token, afterMs) {
  return { kind: "pending", token, afterMs };
}
