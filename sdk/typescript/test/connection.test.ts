// HTTP/1.1 as servers speak it, byte by byte.

import net from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";

import { socketTransport } from "../src/connection.js";
import { wait } from "./fake.js";

const servers: net.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A server that answers each request, once it is complete, by what `act` does. */
async function serve(act: (socket: net.Socket, request: string, number: number) => void): Promise<{ url: string; requests: string[]; connections: () => number }> {
  const requests: string[] = [];
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    let text = "";
    socket.setNoDelay(true).on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
      const end = text.indexOf("\r\n\r\n");
      const length = Number(/content-length: (\d+)/.exec(text)?.[1] ?? 0);
      if (end < 0 || Buffer.byteLength(text.slice(end + 4)) < length) return;
      requests.push(text);
      const request = text;
      text = "";
      act(socket, request, requests.length);
    });
  });
  servers.push(server.listen(0, "127.0.0.1"));
  await new Promise((resolve) => server.once("listening", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/x?y=1`, requests, connections: () => connections };
}

const plain = (body: string, more = "") => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;
const chunked = (...chunks: string[]) =>
  `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${[...chunks, ""].map((chunk) => `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`).join("")}`;

test("what is sent", async () => {
  const { url, requests } = await serve((socket) => void socket.write(plain("{}")));
  await socketTransport().post(url, "7.secret", '{"ü":1}', 1_000);
  const host = new URL(url).host;
  expect(requests).toEqual([`POST /v1/x?y=1 HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer 7.secret\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"ü":1}`]);
});

describe("answers", () => {
  const answers: [string, string, string][] = [
    ["with a length", plain('{"ü":"🦀"}'), '{"ü":"🦀"}'],
    ["in chunks", chunked('{"a":', '"ü"', "}"), '{"a":"ü"}'],
    ["in chunks with extensions and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n", "{}"],
    ["after an interim one", `HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${plain("{}")}`, "{}"],
    ["that are empty", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""],
  ];
  test.each(answers)("%s, in one piece, and split at every byte", async (_, bytes, text) => {
    const { url, connections } = await serve((socket, _request, number) => {
      const all = Buffer.from(bytes);
      // The nth answer comes in two pieces, split at the nth byte.
      if (number >= all.length) return void socket.write(all);
      socket.write(all.subarray(0, number));
      setImmediate(() => setImmediate(() => socket.write(all.subarray(number))));
    });
    const transport = socketTransport();
    for (let i = 0; i <= Buffer.byteLength(bytes); i += 1) expect(await transport.get(url, "t", 1_000)).toEqual({ status: 200, text });
    expect(connections()).toBe(1);
  });

  test("without a length end with the connection", async () => {
    const { url, connections } = await serve((socket) => void socket.end("HTTP/1.1 200 OK\r\n\r\nall of it"));
    const transport = socketTransport();
    for (let i = 0; i < 3; i += 1) expect(await transport.get(url, "t", 1_000)).toEqual({ status: 200, text: "all of it" });
    expect(connections()).toBe(3);
  });

  test("with Retry-After", async () => {
    const { url } = await serve((socket) => void socket.write("HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"));
    expect(await socketTransport().get(url, "t", 1_000)).toEqual({ status: 503, text: "", retryAfterMs: 2_000 });
  });

  test.each([
    ["no HTTP", "SSH-2.0-x\r\n\r\n", "no HTTP/1.1"],
    ["broken chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "no valid chunks"],
    ["a head without end", `HTTP/1.1 200 OK\r\nx: ${"y".repeat(70_000)}`, "too long"],
  ])("that are %s are none", async (_, bytes, text) => {
    const { url } = await serve((socket) => void socket.write(bytes));
    expect(await socketTransport().get(url, "t", 1_000)).toEqual({ status: 0, text: expect.stringContaining(text) });
  });

  test("that are cut off are none", async () => {
    for (const bytes of ["HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha"]) {
      const { url } = await serve((socket) => void socket.end(bytes));
      expect(await socketTransport().get(url, "t", 1_000)).toMatchObject({ status: 0 });
    }
  });
});

describe("connections", () => {
  test("are kept, as many as requests are under way", async () => {
    const { url, connections } = await serve((socket) => void setTimeout(() => socket.write(plain("{}")), 10));
    const transport = socketTransport();
    for (let i = 0; i < 5; i += 1) await Promise.all(Array.from({ length: 4 }, () => transport.post(url, "t", "{}", 1_000)));
    expect(connections()).toBe(4);
  });

  test("that the server closes after an answer are not used again", async () => {
    const { url, connections } = await serve((socket) => void socket.end(plain("{}", "Connection: close\r\n")));
    const transport = socketTransport();
    for (let i = 0; i < 3; i += 1) expect((await transport.post(url, "t", "{}", 1_000)).status).toBe(200);
    expect(connections()).toBe(3);
  });

  test("that were closed while they were idle cost nothing", async () => {
    const { url, requests } = await serve((socket) => {
      socket.write(plain("{}"));
      setTimeout(() => socket.destroy(), 5);
    });
    const transport = socketTransport();
    for (let i = 0; i < 4; i += 1) {
      expect((await transport.post(url, "t", "{}", 1_000)).status).toBe(200);
      await wait(i * 5);
    }
    expect(requests.length).toBeGreaterThanOrEqual(4);
  });

  test("on which more comes than was asked for are not used again", async () => {
    const { url, connections } = await serve((socket) => void socket.write(plain("{}") + plain("{}")));
    const transport = socketTransport();
    for (let i = 0; i < 2; i += 1) expect(await transport.get(url, "t", 1_000)).toEqual({ status: 200, text: "{}" });
    expect(connections()).toBe(2);
  });

  test("that break in an answer are an answer of status 0, and the request is not sent again", async () => {
    const { url, requests } = await serve((socket, _request, number) => {
      if (number === 1) return void socket.write(plain("{}"));
      socket.write("HTTP/1.1 200 OK\r\n");
      setTimeout(() => socket.destroy(), 5);
    });
    const transport = socketTransport();
    await transport.post(url, "t", "{}", 1_000);
    expect(await transport.post(url, "t", "{}", 1_000)).toMatchObject({ status: 0 });
    expect(requests).toHaveLength(2);
  });
});
