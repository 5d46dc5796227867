// Random numbers that are the same in every dispatch of a run: the generator sfc32 over the run's seed.

export class Seeded {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** `seed`: 32 hex digits. */
  constructor(seed: string) {
    const word = (at: number) => parseInt(seed.slice(at * 8, at * 8 + 8).padEnd(8, "0"), 16) | 0;
    [this.a, this.b, this.c, this.d] = [word(0), word(1), word(2), word(3)];
    for (let round = 0; round < 12; round += 1) this.word();
  }

  /** A number from 0 (in) to 1 (out) with 53 random bits, like Math.random. */
  random(): number {
    return ((this.word() >>> 5) * 67_108_864 + (this.word() >>> 6)) / 9_007_199_254_740_992;
  }

  /** A UUID of version 4 (RFC 9562). */
  uuid(): string {
    const hex = [this.word(), (this.word() & 0xffff0fff) | 0x4000, (this.word() & 0x3fffffff) | 0x80000000, this.word()]
      .map((word) => (word >>> 0).toString(16).padStart(8, "0"))
      .join("");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  private word(): number {
    const sum = (this.a + this.b + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum;
  }
}
