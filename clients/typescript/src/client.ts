import { ConnectionError, type ErrorData, RpcError } from "./errors.js";
import { LoginAttempt, type LoginParams } from "./login.js";
import type { Methods, Since, Topics } from "./protocol.js";

/** The part of a WebSocket that a client needs. Browsers and the package `ws` both have it. */
export interface Socket {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

/** Opens a new connection. It is called again after a loss, because a restarted daemon may have a new URL and token. */
export type Connector = () => Promise<Socket> | Socket;

/** The state of a connection. */
export type ConnectionState =
  | { state: "connecting" }
  | { state: "open" }
  /** The next attempt is at `retryAt`, in Unix milliseconds. */
  | { state: "waiting"; retryAt: number; error: unknown }
  | { state: "closed" };

export interface ClientOptions {
  /** The maximum time for an answer, in milliseconds; 60,000 if absent. A call that waits longer sets its own. */
  timeoutMs?: number;
  /** The first and the longest pause between two attempts, in milliseconds; 100 and 5,000 if absent. */
  retryMs?: { first: number; longest: number };
  /** Called at each change of the connection's state. */
  onState?: (state: ConnectionState) => void;
  /** Ends the client when it is aborted. */
  signal?: AbortSignal;
}

export interface CallOptions {
  /** Ends the wait for the answer. The call itself is not undone. */
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** The data of the events of a topic, or of the topics that a prefix with `*` stands for. */
export type TopicData<T extends string> = T extends keyof Topics ? Topics[T] : unknown;

export interface TopicEvent<T extends string = string> {
  topic: T;
  seq: number;
  /** The time of the event, in Unix milliseconds. */
  at: number;
  data: TopicData<T>;
}

export interface Subscription {
  /** Resolves when the daemon has confirmed the subscription for the first time. */
  readonly ready: Promise<void>;
  /** Ends the subscription. */
  close(): void;
}

export interface SubscribeOptions {
  /** Called when events may have been missed, so that the state must be fetched again. */
  onMissed?: () => void;
}

type MethodName = keyof Methods & string;
type Params<M extends MethodName> = Methods[M]["params"];
type Optional<T> = Record<never, never> extends T ? [params?: T, options?: CallOptions] : [params: T, options?: CallOptions];

interface Waiting {
  method: string;
  params: unknown;
  resolve(result: any): void;
  reject(error: unknown): void;
  sent: boolean;
}

interface Subscriber {
  topics: string[];
  listener(event: TopicEvent<any>): void;
  missed(): void;
  id: string | undefined;
  since: Since | undefined;
  closed: boolean;
  ready(): void;
  failed(error: unknown): void;
}

/** The maximum number of calls that wait for a connection, and of events that wait for their subscription. */
const WAITING_CALLS = 256;
const EARLY_EVENTS = 10_000;
/** The maximum time in which a socket opens, in milliseconds. */
const OPEN_MS = 10_000;

/** A connection to the daemon that is restored after a loss, with its subscriptions. */
export class Client {
  #socket: Socket | undefined;
  #open = false;
  #closed = false;
  #lastId = 0;
  #attempt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #calls = new Map<number, Waiting>();
  readonly #subscribers = new Set<Subscriber>();
  /** Events of subscriptions whose id is not known yet, because the daemon sends earlier events before its answer. */
  readonly #early: Array<{ method: string; params: any }> = [];
  /** True if there were more early events than are kept. */
  #overflowed = false;
  #resuming = 0;
  readonly #connector: Connector;
  readonly #options: ClientOptions;

  private constructor(connector: Connector, options: ClientOptions) {
    this.#connector = connector;
    this.#options = options;
  }

  /** Connects. @throws {ConnectionError} if the first attempt fails. */
  static async connect(connector: Connector, options: ClientOptions = {}): Promise<Client> {
    const client = new Client(connector, options);
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", () => client.close(), { once: true });
    try {
      await client.#start();
    } catch (error) {
      client.close();
      throw error instanceof ConnectionError
        ? error
        : new ConnectionError("unreachable", "the daemon cannot be reached", { cause: error });
    }
    return client;
  }

  /**
   * Calls a method. A call that is made while the connection is being restored waits for it.
   *
   * @throws {RpcError} if the daemon answers an error.
   * @throws {ConnectionError} if there is no answer.
   */
  call<M extends MethodName>(method: M, ...rest: Optional<Params<M>>): Promise<Methods[M]["result"]> {
    const [params, options] = rest as [unknown, CallOptions | undefined];
    return this.#call(method, params ?? {}, options);
  }

  /** Subscribes to topics: exact ones, or prefixes that end in `*`. The subscription survives a loss of the connection. */
  subscribe<T extends string>(
    topics: readonly T[],
    listener: (event: TopicEvent<T>) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    let subscriber!: Subscriber;
    const ready = new Promise<void>((resolve, reject) => {
      subscriber = {
        topics: [...topics],
        listener,
        missed: () => options.onMissed?.(),
        id: undefined,
        since: undefined,
        closed: false,
        ready: resolve,
        failed: reject,
      };
    });
    // A caller that does not wait learns of a failure from its calls.
    ready.catch(() => {});
    this.#subscribers.add(subscriber);
    if (this.#open) void this.#resume(subscriber);
    return { ready, close: () => this.#unsubscribe(subscriber) };
  }

  /** Starts a login. Iterate over the result for its states. */
  login(params: LoginParams, options: { signal?: AbortSignal } = {}): LoginAttempt {
    return new LoginAttempt(this, params, options.signal);
  }

  /** Closes the connection. Calls in flight fail. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#drop();
    const error = new ConnectionError("closed", "the client is closed");
    for (const call of this.#calls.values()) call.reject(error);
    for (const subscriber of this.#subscribers) subscriber.failed(error);
    this.#calls.clear();
    this.#subscribers.clear();
    this.#tell({ state: "closed" });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #call(method: string, params: unknown, { signal, timeoutMs }: CallOptions = {}): Promise<any> {
    if (this.#closed) return Promise.reject(new ConnectionError("closed", "the client is closed"));
    if (signal?.aborted) return Promise.reject(aborted(method, signal));
    if (!this.#open && this.#calls.size >= WAITING_CALLS) {
      return Promise.reject(new ConnectionError("busy", "too many calls wait for a connection"));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#calls.delete(id);
      };
      const fail = (error: unknown) => (end(), reject(error));
      const abort = () => fail(aborted(method, signal!));
      const timer = setTimeout(
        () => fail(new ConnectionError("timeout", `the daemon did not answer ${method} in time`)),
        timeoutMs ?? this.#options.timeoutMs ?? 60_000,
      );
      signal?.addEventListener("abort", abort, { once: true });
      const call: Waiting = { method, params, resolve: (value) => (end(), resolve(value)), reject: fail, sent: false };
      this.#calls.set(id, call);
      if (this.#open) this.#send(id, call);
    });
  }

  #send(id: number, call: Waiting): void {
    call.sent = true;
    this.#socket!.send(JSON.stringify({ jsonrpc: "2.0", id, method: call.method, params: call.params }));
  }

  async #start(): Promise<void> {
    this.#tell({ state: "connecting" });
    const socket = await this.#connector();
    await opened(socket, () => this.#use(socket));
  }

  /** Uses an open socket. It must be called when the socket opens, or a message that came at once would be lost. */
  #use(socket: Socket): void {
    if (this.#closed) return socket.close();
    this.#socket = socket;
    this.#open = true;
    this.#attempt = 0;
    socket.onmessage = ({ data }) => this.#receive(String(data));
    socket.onerror = () => {};
    socket.onclose = ({ reason }) => this.#lost(reason);
    this.#tell({ state: "open" });
    for (const subscriber of this.#subscribers) void this.#resume(subscriber);
    for (const [id, call] of this.#calls) if (!call.sent) this.#send(id, call);
  }

  #lost(reason: string): void {
    this.#drop();
    const error = new ConnectionError("lost", `the connection was lost${reason ? `: ${reason}` : ""}`);
    for (const subscriber of this.#subscribers) subscriber.id = undefined;
    for (const call of [...this.#calls.values()]) if (call.sent) call.reject(error);
    this.#again(error);
  }

  #again(error: unknown): void {
    if (this.#closed) return;
    const { first, longest } = this.#options.retryMs ?? { first: 100, longest: 5_000 };
    // Jitter, so that the windows of a frontend do not return all at once.
    const pause = Math.min(longest, first * 2 ** this.#attempt++) * (0.5 + Math.random() / 2);
    this.#tell({ state: "waiting", retryAt: Date.now() + pause, error });
    this.#retry = setTimeout(() => this.#start().catch((cause) => this.#again(cause)), pause);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#open = false;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #receive(text: string): void {
    let message: any;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#lost("the daemon sent a message that is not JSON");
    }
    const { method, params } = message;
    if (method === "event" || method === "events.lagged") return this.#event(method, params);
    const call = this.#calls.get(message.id);
    if (!call) return;
    const { error } = message;
    if (!error) return call.resolve(message.result);
    const data: ErrorData = { kind: "internal", ...error.data };
    call.reject(new RpcError(error.code, data.kind, error.message, data));
  }

  #event(method: string, params: any): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.id !== params.subscriptionId) continue;
      if (subscriber.since) subscriber.since = { ...subscriber.since, seq: params.seq };
      if (method === "event") subscriber.listener(params);
      else subscriber.missed();
      return;
    }
    if (this.#resuming === 0) return;
    if (this.#early.length < EARLY_EVENTS) this.#early.push({ method, params });
    else this.#overflowed = true;
  }

  async #resume(subscriber: Subscriber): Promise<void> {
    const { topics, since } = subscriber;
    this.#resuming++;
    const answer = await this.#call("events.subscribe", since ? { topics, since } : { topics }).catch((error) => {
      this.#notResumed(subscriber, error);
    });
    const early = this.#early.filter(({ params }) => params.subscriptionId === answer?.subscriptionId);
    const missed = this.#overflowed;
    if (--this.#resuming === 0) {
      this.#early.length = 0;
      this.#overflowed = false;
    }
    if (!answer) return;
    if (subscriber.closed) return this.#end(answer.subscriptionId);
    subscriber.id = answer.subscriptionId;
    subscriber.since = { epoch: answer.epoch, seq: since && !answer.lagged ? since.seq : answer.seq };
    subscriber.ready();
    if (answer.lagged || missed) subscriber.missed();
    for (const { method, params } of early) this.#event(method, params);
  }

  #notResumed(subscriber: Subscriber, error: unknown): void {
    if (!(error instanceof ConnectionError)) {
      this.#subscribers.delete(subscriber);
      subscriber.failed(error);
    } else if (error.kind === "timeout") {
      // Without an answer it is unknown what the daemon sends. The next connection resumes everything.
      this.#lost("the daemon did not answer");
    }
  }

  #unsubscribe(subscriber: Subscriber): void {
    subscriber.closed = true;
    this.#subscribers.delete(subscriber);
    if (subscriber.id && this.#open) this.#end(subscriber.id);
  }

  #end(subscriptionId: string): void {
    this.#call("events.unsubscribe", { subscriptionId }).catch(() => {});
  }

  #tell(state: ConnectionState): void {
    this.#options.onState?.(state);
  }
}

function aborted(method: string, signal: AbortSignal): ConnectionError {
  return new ConnectionError("aborted", `the wait for ${method} was cancelled`, { cause: signal.reason });
}

/** Waits until a socket is open, and calls `use` at that moment. */
function opened(socket: Socket, use: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const open = () => {
      clearTimeout(timer);
      use();
      resolve();
    };
    const fail = (message: string, cause?: unknown) => {
      clearTimeout(timer);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => {};
      socket.close();
      reject(new ConnectionError("unreachable", message, { cause }));
    };
    const timer = setTimeout(() => fail("the daemon did not accept the connection in time"), OPEN_MS);
    if (socket.readyState === 1) return open();
    socket.onopen = open;
    socket.onerror = (event) => fail(event.message || "the daemon refused the connection", event.error);
    socket.onclose = () => fail("the daemon closed the connection");
  });
}
