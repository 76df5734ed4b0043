//! Forge: the operator's sign-ins at forges such as GitHub, and the tokens that they give.
//!
//! `oauth` is the client side of OAuth: requests, answers, live flows. `operator` keeps the granted tokens, the active
//! forge and the cookie of a browser's session. It uses `wire`, `base` and `config`. It must not answer HTTP requests;
//! `http` and `rpc` do that.

pub(crate) mod oauth;
pub(crate) mod operator;
