import { Client, type ClientOptions } from "./client.js";

export * from "./client.js";
export * from "./errors.js";
export * from "./login.js";
export type * from "./protocol.js";
export { errorCodes } from "./protocol.js";

export interface ConnectOptions extends ClientOptions {
  /** The URL of the daemon's WebSocket, such as `ws://127.0.0.1:7415/rpc`. */
  url: string;
  /** The token, or a function that reads it. It is read again for each connection. */
  token: string | (() => string | Promise<string>);
}

/** Connects from a browser, or from any runtime with a global `WebSocket`. */
export function connect({ url, token, ...options }: ConnectOptions): Promise<Client> {
  return Client.connect(async () => {
    const value = typeof token === "string" ? token : await token();
    return new WebSocket(url, ["srvd.v1", `srvd.bearer.${value}`]);
  }, options);
}
