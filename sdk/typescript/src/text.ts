// What text and JSON may be where the engine's database reads them.

/** A NUL, and halves of surrogate pairs. */
export const UNFIT = /\u0000|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const UNFITS = new RegExp(UNFIT, "g");

/** Text without what the journal cannot hold. */
export function fit(text: string): string {
  return text.replace(UNFITS, "\ufffd");
}

/** Whether JSON, as JSON.stringify writes it, has an escape of one of these. */
export function isUnfit(json: string): boolean {
  return /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(json);
}

/** Bytes of a text in UTF-8. */
export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Arrays and objects within each other. */
export const LEVELS_MAX = 128;

/** How deep arrays and objects go in JSON. */
export function levelsOf(json: string): number {
  let [depth, most] = [0, 0];
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === "[" || token === "{") most = Math.max(most, (depth += 1));
    else if (token === "]" || token === "}") depth -= 1;
  }
  return most;
}
