//! Keys: API keys, from their submission to their use in a launch.
//!
//! The room checks the format of a key, asks the provider's service whether it accepts the key, stores a submitted key,
//! and resolves keys that are stored elsewhere. It uses `wire`, `base`, `config` and `destination`. It must not decide
//! which key an agent receives.

pub(crate) mod api_key;
pub(crate) mod external;
pub(crate) mod probe;
pub(crate) mod submit;
pub(crate) mod takers;
