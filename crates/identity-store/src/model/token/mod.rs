//! The tokens that the store itself holds: their content, their expiry and the rules for their use.
//!
//! Everything here is pure: no clock, no HTTP, no SQL. [`crate::Store`] saves the results.

mod authority;
mod expiry;
mod jwt;
mod lease;
mod login;
mod schedule;
mod set;
mod state;

pub use authority::{Authority, BaseUrl, Endpoint, Identity, InvalidBaseUrl};
pub use expiry::{Expiry, ExpirySource};
pub use lease::{
    CompletedRefresh, DueRefresh, FailedRefresh, RefreshFailure, RefreshLease, RefreshRequest,
    RefreshResponse, RefreshStart, RefreshWhy,
};
pub(crate) use lease::{LeaseColumns, NoRefresh, RefreshDecision, verdict};
pub use login::{LoginNotSaved, ParkLogin, ParkedLogin, SavedTokens, UnsavedLogin};
pub use schedule::{Jitter, back_off, lead};
pub(crate) use schedule::{LEAD, refresh_at};
pub use set::{Consumer, ReceivedTokens, Token, TokenSet};
pub use state::{Life, RefreshReason, RefreshState, StoredTokens};
