// Standard Schema (standardschema.dev, version 1): zod, valibot, arktype and others validate through it.

import { InvalidValue } from "./errors.js";

export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown, options?: { readonly libraryOptions?: Record<string, unknown> | undefined } | undefined) => Result<Output> | Promise<Result<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}
type Result<Output> = { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly Issue[] };
interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a schema takes, and what it makes of it. */
export type InputOf<Schema> = Schema extends StandardSchemaV1<infer Input, unknown> ? Input : never;
export type OutputOf<Schema> = Schema extends StandardSchemaV1<never, infer Output> ? Output : Schema extends StandardSchemaV1<infer _, infer Output> ? Output : never;

/** What the schema makes of a value. Throws InvalidValue. */
export async function validated(schema: StandardSchemaV1, value: unknown, what: string): Promise<unknown> {
  const result = await schema["~standard"].validate(value);
  if (!result.issues) return result.value;
  throw new InvalidValue(
    what,
    result.issues.map(({ message, path }) => (path && path.length > 0 ? { message, path: path.map(segment).join(".") } : { message })),
  );
}

function segment(part: PropertyKey | { readonly key: PropertyKey }): string {
  return String(typeof part === "object" ? part.key : part);
}
