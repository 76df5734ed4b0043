//! The symbols and words for the states of credentials. Every list of the command line uses them.

use std::borrow::Cow;

use super::ui::{Ui, plain_line};
use crate::wire::operator::TokenState;
use crate::wire::{CredentialKind, Status};

/// A symbol before the words of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    /// The state is good.
    Good,
    /// The credential is renewed without the user.
    Renewing,
    /// The user has to act.
    Attention,
    /// The state is bad.
    Bad,
    /// The state is not known.
    Unknown,
}

impl Symbol {
    /// Returns the symbol as the terminal can show it.
    pub(super) fn text(self, ui: &Ui) -> &'static str {
        let (unicode, ascii) = match self {
            Self::Good => ("✓", "+"),
            Self::Renewing => ("↻", "~"),
            Self::Attention => ("!", "!"),
            Self::Bad => ("✗", "x"),
            Self::Unknown => ("?", "?"),
        };
        if ui.unicode { unicode } else { ascii }
    }
}

/// The state of a credential as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The symbol.
    pub(super) symbol: Symbol,
    /// The words.
    pub(super) words: Cow<'static, str>,
}

impl State {
    fn new(symbol: Symbol, words: impl Into<Cow<'static, str>>) -> Self {
        Self { symbol, words: words.into() }
    }

    /// Returns the symbol and the words.
    pub(super) fn draw(&self, ui: &Ui) -> String {
        format!("{} {}", self.symbol.text(ui), self.words)
    }

    /// Returns whether the credential works, or is renewed, without the user.
    pub(super) fn is_fine(&self) -> bool {
        matches!(self.symbol, Symbol::Good | Symbol::Renewing)
    }

    /// Puts the reason for the state, if there is one, in place of the words.
    pub(super) fn because(self, reason: Option<&str>) -> Self {
        match reason {
            Some(reason) => Self { words: plain_line(reason).into(), ..self },
            None => self,
        }
    }
}

/// Returns the state of a credential. Only a login is renewed when it has expired. A credential of unknown kind is
/// taken for a login.
pub(super) fn credential(status: &Status, kind: Option<&CredentialKind>) -> State {
    let is_key = kind == Some(&CredentialKind::ApiKey);
    match status {
        Status::Valid => State::new(Symbol::Good, "valid"),
        Status::Expired if is_key => State::new(Symbol::Bad, "expired"),
        Status::Expired => State::new(Symbol::Renewing, "expired, renews automatically"),
        Status::NeedsReauth if is_key => State::new(Symbol::Attention, "needs a new key"),
        Status::NeedsReauth => State::new(Symbol::Attention, "needs you to log in"),
        Status::Invalid => State::new(Symbol::Bad, "refused"),
        Status::Unknown => State::new(Symbol::Unknown, "unknown"),
        Status::Other(word) => State::new(Symbol::Unknown, plain_line(word)),
    }
}

/// Returns the state of an account of the operator.
pub(super) fn tokens(state: &TokenState) -> State {
    match state {
        TokenState::Active => credential(&Status::Valid, None),
        TokenState::Refreshing => State::new(Symbol::Renewing, "is being renewed"),
        TokenState::NeedsReauth => credential(&Status::NeedsReauth, None),
        TokenState::Revoked => State::new(Symbol::Bad, "given up"),
        TokenState::Other(word) => State::new(Symbol::Unknown, plain_line(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::ui;
    use super::*;

    #[test]
    fn credential_is_shown_by_status_kind_and_reason() {
        let other = Status::Other("resting\n".to_owned());
        let (login, key) = (CredentialKind::OAuth, CredentialKind::ApiKey);
        for (status, of_login, of_key, ascii) in [
            (Status::Valid, "✓ valid", "✓ valid", "+"),
            (Status::Expired, "↻ expired, renews automatically", "✗ expired", "~"),
            (Status::NeedsReauth, "! needs you to log in", "! needs a new key", "!"),
            (Status::Invalid, "✗ refused", "✗ refused", "x"),
            (Status::Unknown, "? unknown", "? unknown", "?"),
            (other, "? resting ", "? resting ", "?"),
        ] {
            let shown = |kind| credential(&status, kind);
            assert_eq!(shown(Some(&login)).draw(&ui(None)), of_login);
            assert_eq!(shown(None).draw(&ui(None)), of_login);
            assert_eq!(shown(Some(&key)).draw(&ui(None)), of_key);
            assert_eq!(shown(None).symbol.text(&Ui { unicode: false, ..ui(None) }), ascii);
            assert_eq!(shown(None).is_fine(), matches!(status, Status::Valid | Status::Expired), "{status}");
            assert_eq!(shown(None).because(Some("why\u{1b}")).words, "why\u{fffd}");
            assert_eq!(shown(None).because(None), shown(None));
        }
    }

    #[test]
    fn tokens_of_the_operator_are_shown_in_the_same_words() {
        for (state, expected) in [
            (TokenState::Active, "✓ valid"),
            (TokenState::Refreshing, "↻ is being renewed"),
            (TokenState::NeedsReauth, "! needs you to log in"),
            (TokenState::Revoked, "✗ given up"),
            (TokenState::Other("parked".to_owned()), "? parked"),
        ] {
            assert_eq!(tokens(&state).draw(&ui(None)), expected);
        }
    }
}
