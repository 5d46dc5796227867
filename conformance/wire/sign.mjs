// Signs and verifies requests as Standard Webhooks says, and makes the tokens of resume URLs. Out of scope: HTTP.

import { createHmac, timingSafeEqual } from "node:crypto";

/** How far the clock of the sender may be off, in seconds. */
export const TOLERANCE_SECONDS = 300;

function secretKey(secret) {
  return Buffer.from(secret.replace(/^whsec_/, ""), "base64");
}

/** The signature of a body, with its version: `v1,<base64>`. */
export function signature(secret, id, timestamp, body) {
  const mac = createHmac("sha256", secretKey(secret));
  mac.update(`${id}.${timestamp}.`);
  mac.update(body);
  return `v1,${mac.digest("base64")}`;
}

/** The three headers of a signed request; `timestamp` in Unix seconds. */
export function signedHeaders(secret, id, body, timestamp = Math.floor(Date.now() / 1000)) {
  return { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": signature(secret, id, timestamp, body) };
}

/** Says whether one of the signatures in the headers is that of the body. */
export function verified(secret, headers, body) {
  const [id, timestamp, sent] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => headers[name]);
  if (!id || !timestamp || !sent) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const right = Buffer.from(signature(secret, id, timestamp, body));
  return sent.split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === right.length && timingSafeEqual(given, right);
  });
}

/** The token of a resume URL for a signal's name or an approval's key. */
export function resumeToken(resumeKey, name) {
  return createHmac("sha256", resumeKey).update(`resume:${name}`).digest("base64url");
}
