/** The browser session of the console: the hand-over from the command line, and the connection. */
import { Client, ConnectionError, type ConnectionState } from "@srvd/client";

/** A second secret beside the cookie. Cookies do not separate ports, so another local server may know the cookie. */
const STORED = "srvd-console";

/** The reason why there is no session. */
export type NoSession = "used" | "none";

/**
 * Exchanges the one-time code in the fragment for a session, or continues the session of this tab. The code leaves the address bar and
 * the history at once.
 */
export async function handOver(): Promise<string | NoSession> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return sessionStorage.getItem(STORED) ?? "none";
  history.replaceState(null, "", "/console/");
  const answer = await fetch("/console/session", { method: "POST", body: code });
  if (!answer.ok) return "used";
  const { secret } = (await answer.json()) as { secret: string };
  sessionStorage.setItem(STORED, secret);
  return secret;
}

export const isSecret = (value: string): boolean => value !== "used" && value !== "none";

export function forget(): void {
  sessionStorage.removeItem(STORED);
}

/** Connects with the session. The cookie goes with the upgrade by itself. */
export function connect(secret: string, onState: (state: ConnectionState) => void): Promise<Client> {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/rpc`;
  return Client.connect(() => new WebSocket(url, ["srvd.v1", `srvd.console.${secret}`]), { onState });
}

export const isUnreachable = (error: unknown): boolean => error instanceof ConnectionError;
