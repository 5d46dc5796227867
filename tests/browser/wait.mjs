// Waiting for what happens. The bound only keeps a check from hanging.

const SOON_MS = 45_000;

/** Asks until the answer is true-ish, and returns it. */
export async function until(what, ask) {
  const end = Date.now() + SOON_MS;
  let last;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${SOON_MS / 1000} s; last: ${last?.message ?? JSON.stringify(last)}`);
    await pause(150);
  }
}

/** Lets time pass, for what must NOT happen meanwhile. */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
