//! Tokens of clients that were paired with the daemon.

use crate::id::ClientTokenId;

/// A client's token. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// The token's id.
    pub id: ClientTokenId,
    /// The client's name; 1 to 100 characters, not unique.
    pub name: String,
    /// The permissions, as the caller wrote them.
    pub scopes: String,
    /// The origin of the page that received the token; `None` for a program.
    pub origin: Option<String>,
    /// The hash of the token, as the caller made it.
    pub hash: String,
    /// Time when the token was created, in unix milliseconds.
    pub created_at: i64,
}

/// A client's token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClientToken {
    /// The client's name.
    pub name: String,
    /// The permissions.
    pub scopes: String,
    /// The origin of the page that receives the token; `None` for a program.
    pub origin: Option<String>,
    /// The hash of the token.
    pub hash: String,
}
