/** The browser session of the console: the hand-over from the command line, and the connection. */
import { Client, ConnectionError, type ConnectionState } from "@srvd/client";

/** A second secret beside the cookie. Cookies do not separate ports, so another local server may know the cookie. */
const STORED = "srvd-console";

const CODE = /^#code=([\w-]+)$/;

/** The reason why there is no session. */
export type NoSession = "used" | "none";

/**
 * Exchanges the one-time code in the fragment for a session, or continues the session of this tab. The code leaves the address bar and
 * the history at once.
 */
export async function handOver(): Promise<string | NoSession> {
  const code = CODE.exec(location.hash)?.[1];
  if (!code) return sessionStorage.getItem(STORED) ?? "none";
  history.replaceState(null, "", "/console/");
  const answer = await fetch("/console/session", { method: "POST", body: code });
  if (!answer.ok) return "used";
  const { secret } = (await answer.json()) as { secret: string };
  sessionStorage.setItem(STORED, secret);
  return secret;
}

/** Begins again when another link from the command line is opened in this tab, which does not load the page. */
export function followLinks(): void {
  addEventListener("hashchange", () => {
    if (CODE.test(location.hash)) location.reload();
  });
}

export const isSecret = (value: string): boolean => value !== "used" && value !== "none";

export function forget(): void {
  sessionStorage.removeItem(STORED);
}

/** Connects with the session. The browser adds the cookie to the request. */
export function connect(secret: string, onState: (state: ConnectionState) => void): Promise<Client> {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/rpc`;
  return Client.connect(() => new WebSocket(url, ["srvd.v1", `srvd.console.${secret}`]), { onState });
}

const isUnreachable = (error: unknown): boolean => error instanceof ConnectionError && error.kind === "unreachable";

/**
 * Returns whether the daemon answers although it refuses to connect, which means that it does not know the session any more. A page
 * cannot read the reason for which a WebSocket was refused.
 */
export async function isRefused(error: unknown): Promise<boolean> {
  if (!isUnreachable(error)) return false;
  return fetch("/console/app.css", { cache: "no-store" }).then(({ ok }) => ok, () => false);
}
