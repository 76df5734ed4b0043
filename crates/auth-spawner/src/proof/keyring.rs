//! Checks whether a CLI's own files show that its login is in the system keyring.

use super::document::parse;
use super::files::{MAX_BYTES, Root, read_trusted};
use super::{Proof, facts};
use crate::registry::{Cli, KeyringMark};

/// Returns the proof, replacing a missing login with [`Proof::InKeyring`] where that applies.
pub(super) fn or_in_keyring(proof: Proof, cli: &Cli, root: &Root<'_>) -> Proof {
    if !matches!(proof, Proof::Absent | Proof::Incomplete { .. }) {
        return proof;
    }
    match cli.elsewhere.iter().find(|mark| is_set(mark, root)) {
        Some(mark) => Proof::InKeyring { reason: mark.reason.clone(), hint: mark.hint.clone() },
        None => proof,
    }
}

/// Returns whether the file contains the mark. A file that cannot be read or parsed does not.
fn is_set(mark: &KeyringMark, root: &Root<'_>) -> bool {
    let path = root.find(&mark.path).ok().flatten();
    let bytes = path.and_then(|path| read_trusted(&path, MAX_BYTES, root.trust).ok().flatten());
    let Some(document) = bytes.and_then(|bytes| parse(mark.format, &bytes).ok()) else { return false };
    mark.when.iter().all(|(pointer, accepted)| {
        let found = document.pointer(pointer).and_then(facts::text);
        found.is_some_and(|found| accepted.is_empty() || accepted.iter().any(|text| text == found))
    })
}
