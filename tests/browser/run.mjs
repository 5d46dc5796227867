// The dashboard in a real browser: starts `tikku dev` with endpoints and an app, walks each page and each action in headless Chromium, and
// asks the API whether it happened. `cargo xtask test browser` installs what it needs and runs it; the last line is `N passed, N failed`.
//
//   node run.mjs [--docs] [word...]    --docs writes the README's screenshots too; words choose checks whose sentence has one of them
//
// Environment: TIKKU_BIN, TIKKU_NODE_MODULES, TIKKU_CHROMIUM, TIKKU_BROWSER_OUT (a folder for data and screenshots).

import { mkdirSync, rmSync } from "node:fs";
import { Desk } from "./desk.mjs";
import { Runner } from "./runner.mjs";
import { World } from "./world.mjs";

const FILES = ["pages", "runs", "messages", "send", "dlq", "schedules", "fanouts", "flows", "apps", "events", "access", "refresh", "keys", "roles", "session", "weight", "overview", "plain"];
/** Two cores compute; the third waits for polls meanwhile. */
const LANES = 3;

/** A file's checks one after the other; those that only look at a page may be shared among the lanes. */
const shared = ({ looks, checks }) => (looks ? Object.entries(checks).map((one) => [one]) : [Object.entries(checks)]);

const words = process.argv.slice(2);
const out = process.env.TIKKU_BROWSER_OUT;
if (!out) throw new Error("TIKKU_BROWSER_OUT names no folder");
rmSync(out, { recursive: true, force: true });
mkdirSync(`${out}/failed`, { recursive: true });

const runner = new Runner(out, words.filter((word) => !word.startsWith("--")));
const world = await World.start(out);
try {
  const desk = await Desk.open(world, { out, docs: words.includes("--docs") });
  try {
    const files = await Promise.all(FILES.map(async (name) => await import(`./checks/${name}.mjs`)));
    const waiting = files.flatMap(shared);
    await Promise.all(Array.from({ length: LANES }, async () => {
      const lane = new Map();
      for (let checks; (checks = waiting.shift()); ) await runner.run(desk, lane, checks);
    }));
  } finally {
    await desk.close();
  }
} finally {
  await world.stop();
}
console.log(`${runner.passed} passed, ${runner.failed} failed`);
process.exitCode = runner.failed > 0 ? 1 : 0;
