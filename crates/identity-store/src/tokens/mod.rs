//! Use cases on the token sets that the store keeps: saving, parking, reading, and the lease and answer of a refresh.
//!
//! The rules for a set are in `model::token`, which is pure; here they meet the rows. The room may use accounts. It must
//! not know who owns a set: profiles and operators are rooms above it.

pub(crate) mod keep;
pub(crate) mod lease;
pub(crate) mod parked;
pub(crate) mod refresh;
pub(crate) mod row;
pub(crate) mod set;
