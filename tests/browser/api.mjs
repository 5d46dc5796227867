// The HTTP API with one key: how checks make data, and how they learn whether an action of the dashboard happened.

export class Api {
  constructor(url, key) {
    this.url = url;
    this.key = key;
  }

  /** Answers JSON (undefined for no content); throws for what the API refused. */
  async send(method, path, body, headers = {}) {
    const answer = await this.raw(method, path, body, headers);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 400)}`);
    return answer.text === "" ? undefined : JSON.parse(answer.text);
  }

  async raw(method, path, body, headers = {}) {
    const all = { authorization: `Bearer ${this.key}`, "content-type": "application/json", ...headers };
    const response = await fetch(this.url + path, { method, headers: all, body: body === undefined ? undefined : JSON.stringify(body) });
    return { status: response.status, text: await response.text() };
  }

  get = (path) => this.send("GET", path);
  post = (path, body) => this.send("POST", path, body);
  put = (path, body) => this.send("PUT", path, body);

  message = (id) => this.get(`/v1/messages/${id}`);
  run = (id) => this.get(`/v1/runs/${id}`);

  /** Publishes and answers the id. */
  publish = async (message) => (await this.post("/v1/messages", message)).id;
  /** Starts a run and answers its id. */
  start = async (workflow, request = {}) => (await this.post(`/v1/workflows/${workflow}/runs`, request)).id;
  /** Many, in batches of the most that the API takes. */
  async batch(messages) {
    for (let at = 0; at < messages.length; at += 1000) await this.post("/v1/messages/batch", { messages: messages.slice(at, at + 1000) });
  }
}
