// The environment's variables, in runtimes that have them.

declare const process: { env?: Record<string, string | undefined> } | undefined;

export function environment(): Record<string, string | undefined> {
  return (typeof process === "undefined" ? undefined : process.env) ?? {};
}
