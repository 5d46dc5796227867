// Runs checks and says how they went: a check is a sentence and a function. It fails by throwing, or when a page that it opened had a fault.

const CHECK_MS = 90_000;

export class Runner {
  passed = 0;
  failed = 0;
  #out;
  #words;

  constructor(out, words) {
    this.#out = out;
    this.#words = words;
  }

  /** Runs these checks one after the other, each a name and a function. */
  async run(desk, lane, checks) {
    for (const [name, body] of checks) {
      if (this.#words.length === 0 || this.#words.some((word) => name.includes(word))) await this.#check(desk, lane, name, body);
    }
  }

  async #check(desk, lane, name, body) {
    const begun = Date.now();
    const visit = desk.visit(lane);
    let error;
    try {
      await limited(body(visit), name);
      await visit.settle();
    } catch (thrown) {
      error = thrown;
    }
    const took = `(${Date.now() - begun} ms)`;
    if (error) {
      this.failed += 1;
      const where = await visit.evidence(`${this.#out}/failed`, name);
      console.log(`FAIL ${name} ${took}\n     ${text(error)}${where}`);
    } else {
      this.passed += 1;
      console.log(`ok   ${name} ${took}`);
    }
    await visit.close();
  }
}

function limited(promise, name) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${name}: not over after ${CHECK_MS / 1000} s`)), CHECK_MS); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** What was wrong and where in the checks; not the stack of the browser's driver. */
function text(error) {
  const message = String(error?.message ?? error).replaceAll(/\u001b\[\d+m/g, "").split("\n").slice(0, 14).join("\n     ");
  const line = /tests\/browser\/((?:checks\/)?[\w.]+\.mjs:\d+)/.exec(String(error?.stack).split("\n").filter((at) => at.includes("checks/")).join("\n"));
  return line ? `${message}\n     at ${line[1]}` : message;
}
