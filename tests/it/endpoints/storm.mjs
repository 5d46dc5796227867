// The endpoint of scenarios/run_crash.rs: a run of 50 steps with parallel branches, children and a signal. Every body writes a line to the ledger when it
// begins, so that what the database says can be compared with what really ran.
import { appendFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import http from 'node:http';

const { workflow } = await import(`${process.env.TIKKU_SDK}/index.js`);
const { serve } = await import(`${process.env.TIKKU_SDK}/node.js`);

const body = (run, name) => async () => {
  const nonce = randomUUID();
  appendFileSync(process.env.LEDGER, `${run} ${name} ${nonce}\n`);
  await new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 8));
  return nonce;
};

const leaf = workflow({ name: 'leaf' }, async (step, input, { run }) => [
  await step.run('first', body(run.id, 'first')),
  await step.run('second', body(run.id, 'second')),
]);

const storm = workflow({ name: 'storm' }, async (step, input, { run }) => {
  const nonces = {};
  const one = async (name) => {
    nonces[`${name}#0`] = await step.run(name, body(run.id, name));
  };
  for (let i = 0; i < 10; i++) await one(`before-${i}`);
  await Promise.all(Array.from({ length: 10 }, async (_, branch) => {
    for (let i = 0; i < 3; i++) await one(`branch-${branch}-${i}`);
  }));
  await Promise.all([step.invoke('left', leaf, null), step.invoke('right', leaf, null)]);
  const signal = await step.waitForSignal('go', { timeout: '1h' });
  await step.sleep('nap', 50);
  for (let i = 0; i < 10; i++) await one(`after-${i}`);
  return { nonces, signal };
});

const mode = process.env.TIKKU_CHECKPOINT ?? 'each';
http.createServer(serve({ workflows: [storm, leaf], checkpoint: mode === 'batched' ? { everyMs: 20, maxSteps: 5 } : mode }))
  .listen(Number(process.env.PORT), '127.0.0.1');
