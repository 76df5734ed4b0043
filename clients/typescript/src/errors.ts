import type { errorCodes, NamedErrorKind } from "./protocol.js";

/** A kind of error that this version of the client knows. */
export type KnownErrorKind = keyof typeof errorCodes | NamedErrorKind;

/** The additional data of an error. Members depend on the kind; see docs/protocol.md. */
export interface ErrorData {
  kind: string;
  hint?: string;
  [member: string]: unknown;
}

/**
 * An error that the daemon answered.
 *
 * `kind` tells errors apart. Use {@link isRpcError} in a `catch`, or compare `kind` after `instanceof RpcError`.
 */
export class RpcError<K extends string = string> extends Error {
  override readonly name = "RpcError";
  constructor(
    /** The JSON-RPC error code. */
    readonly code: number,
    readonly kind: K,
    message: string,
    readonly data: ErrorData,
  ) {
    super(message);
  }

  /** An action that may resolve the error, in words for the user. */
  get hint(): string | undefined {
    return this.data.hint;
  }
}

/** The errors of the daemon, as a union that `kind` discriminates. */
export type SrvdError = { [K in KnownErrorKind]: RpcError<K> }[KnownErrorKind];

/** The reason of a {@link ConnectionError}. */
export type ConnectionErrorKind =
  /** The daemon cannot be reached. */
  | "unreachable"
  /** The connection ended while a call was in flight. The call may have taken effect. */
  | "lost"
  /** The daemon did not answer in time. The call may take effect later. */
  | "timeout"
  /** The caller cancelled the wait. The call may take effect. */
  | "aborted"
  /** The client was closed. */
  | "closed"
  /** Too many calls wait for a connection. */
  | "busy";

/** An error of the connection, not of the daemon. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  constructor(
    readonly kind: ConnectionErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Returns whether a value is an error of the daemon, of the given kind if there is one. */
export function isRpcError(value: unknown): value is SrvdError;
export function isRpcError<K extends KnownErrorKind>(value: unknown, kind: K): value is RpcError<K>;
export function isRpcError(value: unknown, kind?: string): boolean {
  return value instanceof RpcError && (kind === undefined || value.kind === kind);
}
