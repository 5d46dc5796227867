// Durations: milliseconds, or text such as "7d", "1h30m", "500ms".

type Unit = "ms" | "s" | "m" | "h" | "d" | "w";
/** Milliseconds, or numbers with units: `"90s"`, `"1h30m"`, `"7d"`. */
export type Duration = number | `${number}${Unit}` | `${number}${Unit}${number}${Unit}`;

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const PART = /(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*/y;

/** The milliseconds of a duration, whole and not negative. Throws a TypeError that names what was given. */
export function milliseconds(duration: Duration): number {
  const ms = typeof duration === "number" ? duration : typeof duration === "string" ? parse(duration) : NaN;
  if (!Number.isFinite(ms) || ms < 0) throw new TypeError(`${JSON.stringify(duration)} is no duration: give milliseconds, or text such as "90s", "1h30m", "7d"`);
  return Math.ceil(ms);
}

function parse(text: string): number {
  let total = 0;
  PART.lastIndex = 0;
  const trimmed = text.trim();
  if (trimmed === "") return NaN;
  while (PART.lastIndex < trimmed.length) {
    const part = PART.exec(trimmed);
    if (!part) return NaN;
    total += Number(part[1]) * UNITS[part[2] as string]!;
  }
  return total;
}
