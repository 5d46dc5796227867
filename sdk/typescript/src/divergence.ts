// What is reported when the code does not fit the journal any more.

import type { Kind } from "./protocol.js";
import type { Leaf } from "./leaf.js";

const SHOWN_MAX = 50;

/** The terminal op: what the journal has and nobody asked for, and what the code asked for instead. */
export function diverged(expected: { key: string; kind: Kind }[], asked: readonly Leaf[]): string {
  const show = ({ key, kind }: { key: string; kind: Kind }) => ({ key, kind });
  const diff = { expected: expected.slice(0, SHOWN_MAX).map(show), asked: asked.slice(0, SHOWN_MAX).map(show) };
  const list = (steps: { key: string; kind: Kind }[]) => steps.slice(0, 5).map(({ key, kind }) => `${key} (${kind})`).join(", ");
  const message =
    `the journal has ${list(expected)}, but the code ${asked.length === 0 ? "ended without it" : `asks for ${list(asked as Leaf[])}`}: ` +
    "put the old code back and resume, serve the new code as a new version, or resume with accept";
  return JSON.stringify({ op: "diverged", diff, message });
}
