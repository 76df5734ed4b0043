import { open, readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

import { WebSocket } from "ws";

import { Client, type ClientOptions, type Socket } from "./client.js";
import { ConnectionError } from "./errors.js";

export * from "./index.js";

/** The content of the daemon's endpoint file. */
export interface Endpoint {
  version: number;
  pid: number;
  /** The URL of the WebSocket; absent if TCP is off. */
  url?: string;
  socket: string;
  tokenFile: string;
  epoch: string;
}

export interface LocalOptions extends ClientOptions {
  /** The path of the daemon's `endpoint.json`; found as the command line finds it if absent. */
  endpointFile?: string;
}

/** Connects to the daemon of this user over its Unix socket, which needs no token. */
export function connectLocal({ endpointFile, ...options }: LocalOptions = {}): Promise<Client> {
  // Read again for each connection: a daemon that was restarted may listen elsewhere.
  return Client.connect(async () => {
    const { socket } = await readEndpoint(endpointFile);
    return new WebSocket(`ws+unix:${socket}:/rpc`, ["srvd.v1"]) as unknown as Socket;
  }, options);
}

/**
 * Reads the endpoint file of this user's daemon.
 *
 * @throws {ConnectionError} if there is none.
 */
export async function readEndpoint(file?: string): Promise<Endpoint> {
  let cause: unknown;
  for (const path of file ? [file] : await endpointFiles()) {
    try {
      return await readOwn(path);
    } catch (error) {
      cause ??= error;
    }
  }
  throw new ConnectionError("unreachable", "no running daemon was found; start one with: srvd", { cause });
}

/** Reads an endpoint file of this user. Another user could lead the client to a socket of their own. */
async function readOwn(path: string): Promise<Endpoint> {
  const file = await open(path);
  try {
    const { uid } = await file.stat();
    if (uid !== process.getuid!()) throw new Error(`${path} belongs to another user`);
    return JSON.parse(await file.readFile("utf8"));
  } finally {
    await file.close();
  }
}

/** Returns the places of the endpoint file, in the order in which the command line looks. */
async function endpointFiles(): Promise<string[]> {
  const set = (name: string) => {
    const value = process.env[name];
    return value && isAbsolute(value) ? value : undefined;
  };
  const mac = process.platform === "darwin";
  const base = mac
    ? join(homedir(), "Library/Application Support")
    : (set("XDG_DATA_HOME") ?? join(homedir(), ".local/share"));
  const data = set("SRVD_DATA_DIR") ?? join(base, "srvd");
  const session = mac ? undefined : set("XDG_RUNTIME_DIR");
  const runtime = set("SRVD_RUNTIME_DIR") ?? (session ? join(session, "srvd") : join(data, "run"));
  const dirs = [runtime, data];
  if (!mac && !set("SRVD_DATA_DIR") && !set("SRVD_RUNTIME_DIR")) {
    dirs.push(`/run/user/${process.getuid!()}/srvd`);
    const units = await readdir("/run/srvd").catch(() => []);
    dirs.push(...units.sort().map((name) => join("/run/srvd", name)));
  }
  return dirs.map((dir) => join(dir, "endpoint.json"));
}
