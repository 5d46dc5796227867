// Cloudflare Workflows: ten no-op steps, and a word back when they are through.
import { WorkflowEntrypoint } from 'cloudflare:workers';

export class Ten extends WorkflowEntrypoint {
  async run(event, step) {
    for (let i = 0; i < 10; i++) await step.do(`s${i}`, async () => i);
    await (await fetch(`${this.env.BACK}/?${encodeURIComponent(JSON.stringify(event.payload))}`)).arrayBuffer();
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === '/ok') return new Response('ok');
    const instance = await env.TEN.create({ params: JSON.parse(decodeURIComponent(url.search.slice(1))) });
    return new Response(instance.id);
  },
};
