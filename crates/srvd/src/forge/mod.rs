//! Forge: the operator's sign-ins at forges such as GitHub, and the tokens they yield.
//!
//! `oauth` is the client side of OAuth: requests, responses and live flows. `operator` stores the granted tokens, the
//! active forge and the session cookie of a browser. The room uses `wire`, `base` and `config`. It must not answer HTTP
//! requests; `http` and `rpc` do that.

pub(crate) mod oauth;
pub(crate) mod operator;
