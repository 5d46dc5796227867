// A minimal HTTP/1.1 client for loopback: keep-alive, one request in flight per socket, answers framed by Content-Length.
// It costs about half of undici per request; on two cores a dear generator measures itself. Every system gets the same one.
// Out of scope: TLS, chunked answers, redirects, pipelining.
import net from 'node:net';

export class Wire {
  /** `headers` are sent with every request, each `name: value` without a line end. */
  constructor(port, headers = []) {
    this.port = port;
    this.head = [`host: 127.0.0.1:${port}`, 'content-type: application/json', ...headers].join('\r\n');
    this.idle = [];
    this.sockets = new Set();
  }

  /** Posts a JSON text and returns the answer's body; any status but 2xx is an error. */
  async post(path, body) {
    const socket = this.idle.pop() ?? (await this.#open());
    const answer = await new Promise((resolve, reject) => {
      socket.resolve = resolve;
      socket.reject = reject;
      socket.write(`POST ${path} HTTP/1.1\r\n${this.head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
    if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${answer.body.slice(0, 300)}`);
    return answer.body;
  }

  close() {
    for (const socket of this.sockets) socket.destroy();
  }

  #open() {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1', () => resolve(socket));
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.setEncoding('latin1'); // one character per byte, so that lengths are byte lengths
      socket.received = '';
      const fail = (error) => {
        this.sockets.delete(socket);
        this.idle = this.idle.filter((other) => other !== socket);
        reject(error);
        socket.reject?.(error);
      };
      socket.on('error', fail);
      socket.on('close', () => fail(new Error('connection closed')));
      socket.on('data', (text) => this.#read(socket, text));
    });
  }

  #read(socket, text) {
    socket.received += text;
    const end = socket.received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = socket.received.slice(0, end);
    const length = /^content-length: *(\d+)/im.exec(head);
    const status = Number(head.slice(9, 12));
    if (!length && status !== 204) {
      socket.reject(new Error(`an answer without content-length: ${head.slice(0, 200)}`));
      return;
    }
    const bodyEnd = end + 4 + Number(length?.[1] ?? 0);
    if (socket.received.length < bodyEnd) return;
    const body = socket.received.slice(end + 4, bodyEnd);
    socket.received = '';
    this.idle.push(socket);
    socket.resolve({ status, body });
  }
}
