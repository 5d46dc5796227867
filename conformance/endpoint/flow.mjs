// A scripted workflow, its runs, and the ops that scripts are made of.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

export const OVER = ["completed", "failed", "cancelled"];

export const result = (key, value, more) => ({ op: "result", key, value, ...more });
export const error = (key, message, more) => ({ op: "error", key, error: { name: "Error", message }, ...more });
export const nap = (key, forMs) => ({ op: "sleep", key, forMs });
export const signal = (key, name, timeoutMs) => ({ op: "signal", key, name, ...(timeoutMs !== undefined && { timeoutMs }) });
export const done = (value) => ({ op: "done", value });
export const fail = (message) => ({ op: "fail", error: { name: "Error", message } });

/** A reply: its ops and what the run waits for. */
export const reply = (ops, tree) => ({ v: 1, ops: [ops].flat(), ...(tree !== undefined && { await: tree }) });

/** The reason for which a run is paused. */
export const pauseReason = (run) => run.pauseReason ?? run.pause?.reason ?? run.reason;

/** A workflow whose replies are scripted, in an app of its own. */
export class Flow {
  constructor(stage, app, name, script, given) {
    Object.assign(this, { stage, app, name, script, given, invokes: new Map(), runs: [] });
  }

  /** Starts a run; what is not accepted is an error. */
  async start(input, more = {}) {
    const answer = await this.stage.api("POST", `/v1/workflows/${this.name}/runs`, { input, ...more });
    assert.ok(answer.status === 202 || answer.status === 200, `the start was answered with ${answer.status}: ${answer.text}`);
    return this.run(answer.json.id);
  }

  run(id) {
    const known = this.runs.find((run) => run.id === id);
    if (known) return known;
    const run = new RunHandle(this, id);
    this.runs.push(run);
    return run;
  }
}

/** A run of a scripted workflow, as the public API and the endpoint see it. */
export class RunHandle {
  constructor(flow, id) {
    Object.assign(this, { flow, id, stage: flow.stage });
  }

  /** Its dispatches so far, a second delivery of one included. */
  get invokes() {
    return this.flow.invokes.get(this.id) ?? [];
  }

  /** Its n-th dispatch, from 1; waits for it. */
  async invoke(number, ms) {
    const what = async () => `dispatch ${number} of ${this.id}; there were ${this.invokes.length}; the run: ${JSON.stringify(await this.show()).slice(0, 600)}; ${this.flow.app.faults.slice(0, 2).join("; ")}`;
    const got = await this.stage.until(what, () => this.invokes[number - 1], ms);
    return got.body;
  }

  async show() {
    const answer = await this.stage.api("GET", `/v1/runs/${this.id}`);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  /** Waits until it has a status; one that is over with another is an error. */
  async until(status, ms) {
    let run;
    const what = () => `${this.id} is ${status}; it is ${JSON.stringify(run).slice(0, 600)}; ${this.flow.app.faults.slice(0, 2).join("; ")}`;
    return this.stage.until(what, async () => {
      run = await this.show();
      if (OVER.includes(run.status) && run.status !== status) throw new Error(what());
      return run.status === status && run;
    }, ms);
  }

  async output(ms) {
    return (await this.until("completed", ms)).output;
  }

  async post(verb, body, more) {
    return this.stage.api("POST", `/v1/runs/${this.id}/${verb}`, body, more);
  }

  /** A control verb that must be answered with 200. */
  async control(verb, body) {
    const answer = await this.post(verb, body);
    assert.equal(answer.status, 200, `${verb}: ${answer.text}`);
    return answer.json;
  }

  async signal(name, value) {
    const answer = await this.post(`signals/${name}`, value);
    assert.equal(answer.status, 202, `signal: ${answer.text}`);
  }

  /** A checkpoint under the fence of a dispatch. */
  async checkpoint(invoke, ops, { have = 0, token = invoke.fence.token, more = {}, raw } = {}) {
    return this.stage.api("POST", invoke.engine.checkpoint, { v: 1, have, ops, ...more }, { key: token, raw });
  }

  /** Says that nothing more is dispatched for a while. */
  async quiet(ms) {
    const before = this.invokes.length;
    await sleep(ms);
    assert.equal(this.invokes.length, before, `no dispatch within ${ms} ms`);
  }
}
