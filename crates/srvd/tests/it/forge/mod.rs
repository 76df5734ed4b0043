//! Forges for tests: the four kinds as stand-ins on loopback, and a certified `OpenID` provider.

pub(crate) mod browser;
pub(crate) mod issuer;
pub(crate) mod standin;
