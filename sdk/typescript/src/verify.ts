// Verifies what Tikku pushes: Standard Webhooks over the raw body.

import { Webhook, WebhookVerificationError } from "standardwebhooks";

export { WebhookVerificationError };
/** One signing secret (`whsec_…`), or several while they are rotated; text may hold several, separated by spaces or commas. */
export type Secrets = string | readonly string[];
type Headers_ = Headers | Record<string, string | readonly string[] | undefined>;

const NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

/** Verifies with the secrets given, made ready once. */
export function verifier(secrets: Secrets): (body: string, headers: Headers_) => string {
  const list = (typeof secrets === "string" ? secrets.split(/[\s,]+/) : [...secrets]).filter(Boolean);
  if (list.length === 0) throw new TypeError("no signing secret: give signingSecret, or set TIKKU_SIGNING_SECRET");
  const webhooks = list.map((secret) => new Webhook(secret));
  return (body, headers) => {
    const given = Object.fromEntries(NAMES.map((name) => [name, read(headers, name) ?? ""]));
    for (const [at, webhook] of webhooks.entries()) {
      try {
        webhook.verify(body, given, { jsonParse: false });
        break;
      } catch (error) {
        if (at === webhooks.length - 1) throw error;
      }
    }
    return given["webhook-id"]!;
  };
}

/**
 * Verifies a push and answers its body, parsed if it is JSON. Give the body exactly as it came. Throws WebhookVerificationError for a wrong or missing signature, and one that
 * is more than five minutes old or ahead.
 */
export function verify(body: string | Uint8Array, headers: Headers_, secrets: Secrets): unknown {
  const text = typeof body === "string" ? body : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  verifier(secrets)(text, headers);
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function read(headers: Headers_, name: string): string | undefined {
  if (typeof (headers as Headers).get === "function") return (headers as Headers).get(name) ?? undefined;
  const record = headers as Record<string, string | readonly string[] | undefined>;
  const value = record[name] ?? record[Object.keys(record).find((key) => key.toLowerCase() === name) ?? name];
  return typeof value === "string" ? value : value?.[0];
}
