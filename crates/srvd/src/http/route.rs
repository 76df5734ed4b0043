//! The purposes of requests.

use super::console::File;

/// The purpose of a request that has passed the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /rpc`, to be upgraded to a WebSocket.
    Socket {
        /// The value of the `Sec-WebSocket-Accept` header.
        accept: String,
        /// True if the client offered the subprotocol `srvd.v1`, which is then selected.
        subprotocol: bool,
    },
    /// `POST /rpc`.
    Post,
    /// `POST /pair`, from a client without a token. The pairing checks its code.
    Pair,
    /// A browser's question whether a page of an allowed origin may send a request.
    Preflight,
    /// `GET /console`, which lacks the slash.
    ConsoleRoot,
    /// A file of the console, which contains nothing of the user.
    ConsoleFile(File),
    /// `POST /console/session`, from a page without a session. The console checks its code.
    ConsoleSession,
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /openrpc.json`.
    OpenRpc,
    /// `GET /metrics`.
    Metrics,
    /// `GET /oauth/callback`, from a browser that was redirected by a forge. It has no token: the login flows check its
    /// query.
    Callback,
    /// `GET /oauth/login`, from a browser that a provider redirects. It has no token: the logins check its query.
    LoginCallback,
    /// `GET /me`.
    Me(Caller),
    /// `GET /login/<name>`, from the operator's browser.
    Login {
        /// The forge's name in `srvd.toml`. Its characters have been checked.
        forge: String,
        /// The authentication of the request.
        caller: Caller,
    },
}

impl Route {
    /// Returns whether the request carries its own proof: the token, or the peer's uid.
    pub(super) fn is_authenticated(&self) -> bool {
        match self {
            Self::Socket { .. } | Self::Post | Self::OpenRpc | Self::Metrics => true,
            Self::Me(caller) | Self::Login { caller, .. } => *caller == Caller::Trusted,
            Self::Pair
            | Self::Preflight
            | Self::ConsoleRoot
            | Self::ConsoleFile(_)
            | Self::ConsoleSession
            | Self::Health
            | Self::Ready
            | Self::Callback
            | Self::LoginCallback => false,
        }
    }
}

/// The means by which a request was authenticated as the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The request arrived through the Unix socket or contains the token.
    Trusted,
    /// The request contains a session cookie, which has not been looked up yet.
    Browser,
}
