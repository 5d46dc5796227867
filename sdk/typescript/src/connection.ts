// HTTP/1.1 over sockets that are kept, one request at a time on each: what a checkpoint needs, at a third of what node:http costs per request (RFC 9112).

import net from "node:net";
import tls from "node:tls";

import { type Answer, type Transport, answer, reason } from "./transport.js";

/** A server may close a connection that is idle; many do after five seconds. */
const IDLE_MS = 4_000;
const IDLE_MAX = 64;
const HEAD_MAX = 64 * 1024;

/** Checkpoints and journal requests over kept connections. */
export function socketTransport(): Transport {
  const origins = new Map<string, Origin>();
  const send = (method: string, address: string, token: string, body: string | undefined, timeoutMs: number): Promise<Answer> => {
    let slash = address.indexOf("/", 8);
    if (slash < 0) slash = address.length;
    const name = address.slice(0, slash);
    let origin = origins.get(name);
    try {
      if (!origin) origins.set(name, (origin = new Origin(name)));
    } catch (error) {
      return Promise.resolve({ status: 0, text: reason(error) });
    }
    return origin.send(request(method, address.slice(slash) || "/", origin.host, token, body), timeoutMs);
  };
  return {
    post: (url, token, body, timeoutMs) => send("POST", url, token, body, timeoutMs),
    get: (url, token, timeoutMs) => send("GET", url, token, undefined, timeoutMs),
  };
}

function request(method: string, path: string, host: string, token: string, body: string | undefined): string | Buffer {
  const content = body === undefined ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${token}\r\n${content}\r\n`;
  return Buffer.from(head + (body ?? ""), "utf8");
}

/** The connections to one address. */
class Origin {
  readonly host: string;
  private readonly idle: Connection[] = [];
  private readonly open: () => net.Socket;

  constructor(name: string) {
    const url = new URL(name);
    this.host = url.host;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    if (url.protocol === "https:") this.open = () => tls.connect({ host, port: Number(url.port || 443), servername: net.isIP(host) ? "" : host, ALPNProtocols: ["http/1.1"] });
    else if (url.protocol === "http:") this.open = () => net.connect({ host, port: Number(url.port || 80) });
    else throw new TypeError(`${name} is no http address`);
  }

  async send(bytes: string | Buffer, timeoutMs: number): Promise<Answer> {
    const kept = this.take();
    if (kept) {
      const result = await this.on(kept, bytes, timeoutMs);
      // The server had closed it meanwhile, and has not seen the request.
      if (result) return result;
    }
    return (await this.on(new Connection(this.open()), bytes, timeoutMs)) ?? { status: 0, text: "the connection was closed before an answer" };
  }

  private async on(connection: Connection, bytes: string | Buffer, timeoutMs: number): Promise<Answer | undefined> {
    const result = await connection.exchange(bytes, timeoutMs);
    if (connection.usable && this.idle.length < IDLE_MAX) this.idle.push(connection);
    else connection.destroy();
    return result;
  }

  private take(): Connection | undefined {
    const now = Date.now();
    for (let connection = this.idle.pop(); connection; connection = this.idle.pop()) {
      if (connection.usable && now - connection.usedAt < IDLE_MS) return connection;
      connection.destroy();
    }
    return undefined;
  }
}

class Connection {
  usedAt = Date.now();
  private closed = false;
  private first = true;
  private reader = new Reader();
  private timer: NodeJS.Timeout | undefined;
  private finish: ((answer: Answer | undefined) => void) | undefined;

  constructor(private readonly socket: net.Socket) {
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("error", (error) => this.end({ status: 0, text: reason(error) }));
    socket.on("close", () => this.end(undefined));
    socket.on("end", () => this.receive(undefined));
  }

  get usable(): boolean {
    return !this.closed && !this.finish && !this.reader.last;
  }

  /** Sends a request and answers what came back; undefined when a kept connection turned out to be closed. */
  exchange(bytes: string | Buffer, timeoutMs: number): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      this.finish = resolve;
      this.reader = new Reader();
      this.socket.ref();
      this.timer = setTimeout(() => this.end({ status: 0, text: `no answer within ${timeoutMs} ms` }), timeoutMs);
      this.socket.write(bytes);
    });
  }

  destroy(): void {
    this.closed = true;
    this.socket.destroy();
  }

  private receive(chunk: Buffer | undefined) {
    if (!this.finish) return this.destroy();
    let result: Answer | undefined;
    try {
      result = this.reader.read(chunk);
    } catch (error) {
      return this.end({ status: 0, text: reason(error) });
    }
    if (result) this.settle(result);
    else if (!chunk) this.end(undefined);
  }

  private settle(result: Answer | undefined) {
    const { finish } = this;
    this.finish = undefined;
    clearTimeout(this.timer);
    this.first = false;
    this.usedAt = Date.now();
    // An idle connection keeps no process alive.
    this.socket.unref();
    finish?.(result);
  }

  private end(result: Answer | undefined) {
    this.closed = true;
    this.socket.destroy();
    if (!this.finish) return;
    const silent = !this.first && !this.reader.begun;
    const unseen = silent && (result === undefined || /ECONNRESET|EPIPE/.test(result.text));
    this.settle(unseen ? undefined : (result ?? { status: 0, text: "the connection was closed before the answer was complete" }));
  }
}

/** Reads one answer from the chunks as they come. */
class Reader {
  begun = false;
  /** No request may follow on this connection. */
  last = false;
  private held: Buffer | undefined;
  private head: { status: number; length: number; chunked: boolean; retryAfter: string | undefined } | undefined;
  private parts: Buffer[] = [];
  private size = 0;

  /** Takes a chunk, or undefined at the end of the stream. Answers once the response is complete. Throws for what is no HTTP. */
  read(chunk: Buffer | undefined): Answer | undefined {
    if (!chunk) return this.head && !this.head.chunked && this.head.length === Infinity ? this.complete() : undefined;
    this.begun = true;
    const data = this.held ? Buffer.concat([this.held, chunk]) : chunk;
    this.held = undefined;
    if (this.head) return this.body(data);
    const end = data.indexOf("\r\n\r\n");
    if (end < 0) {
      if (data.length > HEAD_MAX) throw new Error("the answer's head is too long");
      this.held = data;
      return undefined;
    }
    this.readHead(data.toString("latin1", 0, end));
    const rest = data.subarray(end + 4);
    // An interim answer (1xx) comes before the real one.
    if (!this.head) return rest.length > 0 ? this.read(rest) : undefined;
    return this.body(rest);
  }

  private readHead(text: string) {
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(text);
    if (!status) throw new Error("the answer is no HTTP/1.1");
    const code = Number(status[1]);
    if (code >= 100 && code < 200) return;
    const length = /\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r\n|$)/i.exec(text);
    const chunked = /\r\ntransfer-encoding:[^\r]*chunked/i.test(text);
    this.last = text.startsWith("HTTP/1.0") || /\r\nconnection:[^\r]*close/i.test(text);
    const none = code === 204 || code === 304;
    this.head = { status: code, chunked, length: none ? 0 : chunked || !length ? Infinity : Number(length[1]), retryAfter: /\r\nretry-after:[ \t]*([^\r]*)/i.exec(text)?.[1]?.trim() };
    if (!chunked && this.head.length === Infinity) this.last = true;
  }

  private body(data: Buffer): Answer | undefined {
    if (this.head!.chunked) return this.chunks(data);
    this.parts.push(data);
    this.size += data.length;
    if (this.size > this.head!.length) this.last = true;
    return this.size >= this.head!.length ? this.complete() : undefined;
  }

  private chunks(data: Buffer): Answer | undefined {
    for (let at = 0; ; ) {
      const line = data.indexOf("\r\n", at);
      const size = line < 0 ? NaN : parseInt(data.toString("latin1", at, line), 16);
      if (line >= 0 && !(size >= 0)) throw new Error("the answer has no valid chunks");
      const end = size === 0 ? this.trailer(data, line) : line + 2 + size + 2;
      if (line < 0 || end < 0 || data.length < end) {
        this.held = Buffer.from(data.subarray(at));
        return undefined;
      }
      if (size === 0) {
        if (data.length > end) this.last = true;
        return this.complete();
      }
      this.parts.push(Buffer.from(data.subarray(line + 2, line + 2 + size)));
      at = end;
    }
  }

  /** Where the trailer fields after the last chunk end. */
  private trailer(data: Buffer, line: number): number {
    if (data.length >= line + 4 && data[line + 2] === 13) return line + 4;
    const end = data.indexOf("\r\n\r\n", line);
    return end < 0 ? -1 : end + 4;
  }

  private complete(): Answer {
    const { status, retryAfter, length } = this.head!;
    let bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    if (bytes.length > length) bytes = bytes.subarray(0, length);
    return answer(status, bytes.toString("utf8"), retryAfter);
  }
}
