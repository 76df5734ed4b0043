import type { Client } from "./client.js";
import { ConnectionError } from "./errors.js";
import type { Methods, Outcome, Session } from "./protocol.js";

export type LoginParams = Methods["auth.start"]["params"];

/** The maximum wait of one poll, in milliseconds. The daemon accepts no more. */
const POLL_MS = 30_000;

/**
 * A login. Iterating over it starts the login and yields its states, the last of which has the status `success` or
 * `failed`. A loop that is left early cancels the login.
 */
export class LoginAttempt implements AsyncIterable<Session> {
  #session: Promise<string> | undefined;
  #ended = false;

  constructor(
    private readonly client: Client,
    private readonly params: LoginParams,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Starts the login if it is not started yet, and returns the session's id. */
  start(): Promise<string> {
    this.#session ??= this.client.call("auth.start", this.params).then((started) => started.sessionId);
    return this.#session;
  }

  /** Sends a pasted answer, such as the URL that the browser was redirected to, to the CLI. */
  async answer(callbackUrl: string): Promise<Outcome> {
    return this.client.call("auth.submitcallback", { sessionId: await this.start(), callbackUrl });
  }

  /** Cancels the login. */
  async cancel(): Promise<void> {
    if (this.#session && !this.#ended) await this.client.call("auth.cancel", { sessionId: await this.#session });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Session, void, void> {
    const sessionId = await this.start();
    let afterRevision = 0;
    try {
      for (;;) {
        this.signal?.throwIfAborted();
        const session = await this.#poll(sessionId, afterRevision);
        if (!session || session.revision === afterRevision) continue;
        afterRevision = session.revision;
        this.#ended = session.status === "success" || session.status === "failed";
        yield session;
        if (this.#ended) return;
      }
    } finally {
      await this.cancel().catch(() => {});
    }
  }

  /**
   * Polls once. The result is undefined if the connection was lost, because the login goes on without it. The next poll waits for a
   * connection and fails if there is none in time.
   */
  async #poll(sessionId: string, afterRevision: number): Promise<Session | undefined> {
    const options = { timeoutMs: POLL_MS * 2, ...(this.signal && { signal: this.signal }) };
    try {
      return await this.client.call("auth.poll", { sessionId, afterRevision, waitMs: POLL_MS }, options);
    } catch (error) {
      if (error instanceof ConnectionError && error.kind === "lost") return undefined;
      throw error;
    }
  }
}
