//! The pasted answer of a login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words;

words! {
    /// A format of the text accepted by `auth.submitcallback`.
    PasteShape {
        /// The complete URL of the page where the browser ended up.
        Url = "url",
        /// The code and the state, as `code#state`.
        CodeState = "code_state",
        /// Only the code.
        Code = "code",
    }
}

words! {
    /// The time at which a login accepts a pasted answer.
    PasteWhen {
        /// Now, whether or not the CLI has asked for it.
        Now = "now",
        /// Later: the CLI has not come so far, or is processing an answer.
        Later = "later",
    }
}

words! {
    /// The place where the user finds the text to paste.
    PasteSource {
        /// The address bar of the browser, after the sign-in, even if the page cannot be displayed.
        AddressBar = "address_bar",
        /// The page that the browser shows after the sign-in.
        Page = "page",
    }
}

/// The pasted answer that a login accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paste {
    /// The accepted formats, in no particular order.
    pub shapes: Vec<PasteShape>,
    /// The time at which it is accepted.
    pub when: PasteWhen,
    /// The places where the user finds it, one for each way.
    pub from: Vec<PasteSource>,
}
