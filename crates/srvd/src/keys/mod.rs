//! Keys: API keys from their submission to their value at a launch.
//!
//! It checks the form of a key, asks the provider's service whether it accepts the key, stores a submitted key, and
//! resolves the keys that are kept outside the store. It uses `wire`, `base`, `config` and `destination`. It must not
//! decide which key an agent gets.

pub(crate) mod api_key;
pub(crate) mod external;
pub(crate) mod probe;
pub(crate) mod submit;
