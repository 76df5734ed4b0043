//! The state of one pairing, from the code that is shown to the answer of the person at the terminal. Pure: the caller
//! passes the time.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::wire::pair::PairStatus;
use crate::wire::scope::Scopes;

/// The time for which a code can be exchanged.
pub(super) const LIFETIME: Duration = Duration::from_mins(1);
/// The time for which the person at the terminal is asked.
pub(super) const ASKED: Duration = Duration::from_mins(1);
/// The number of wrong codes that end a pairing.
const WRONG: u8 = 5;

/// The client that exchanged a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The name that the client gives itself.
    pub name: String,
    /// The origin of the page; `None` for a program.
    pub origin: Option<String>,
}

/// A pairing.
pub(super) struct Offer {
    pub(super) id: String,
    code: SecretString,
    pub(super) scopes: Scopes,
    /// The origin that the person allowed for this pairing, in addition to the configured ones.
    pub(super) origin: Option<String>,
    until: Instant,
    wrong: u8,
    pub(super) status: PairStatus,
    pub(super) who: Option<Who>,
}

/// The reason why a code was not exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The name of the client is empty or too long.
    InvalidName,
    /// No pairing is open: none was started, its time is over, or its code was already used.
    NoPairing,
    /// The code is wrong. The number of attempts is left.
    WrongCode(u8),
    /// The code is wrong, and there were too many wrong ones. The pairing has ended.
    TooManyCodes,
    /// The person at the terminal said no, or did not answer.
    Denied,
    /// The token could not be stored.
    Failed,
}

impl Offer {
    pub(super) fn new(
        id: String,
        code: SecretString,
        scopes: Scopes,
        origin: Option<String>,
        now: Instant,
    ) -> Self {
        let status = PairStatus::Waiting;
        Self { id, code, scopes, origin, until: now + LIFETIME, wrong: 0, status, who: None }
    }

    /// Ends the pairing if its time is over. Returns whether it has just ended.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let is_over = now >= self.until && !self.is_ended();
        if is_over {
            self.status = PairStatus::Expired;
        }
        is_over
    }

    /// The time until the pairing ends unless something happens.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    pub(super) fn is_ended(&self) -> bool {
        !matches!(self.status, PairStatus::Waiting | PairStatus::Asked)
    }

    /// Compares a code. The right one is accepted only once; then the person is asked about `who`.
    pub(super) fn exchange(&mut self, code: &SecretString, who: Who, now: Instant) -> Result<(), Refused> {
        self.expire(now);
        if self.status != PairStatus::Waiting {
            return Err(Refused::NoPairing);
        }
        if bool::from(code.expose_secret().as_bytes().ct_eq(self.code.expose_secret().as_bytes())) {
            (self.status, self.who, self.until) = (PairStatus::Asked, Some(who), now + ASKED);
            return Ok(());
        }
        self.wrong += 1;
        if self.wrong < WRONG {
            return Err(Refused::WrongCode(WRONG - self.wrong));
        }
        self.status = PairStatus::TooManyCodes;
        Err(Refused::TooManyCodes)
    }

    /// Records the answer of the person. Returns false if nobody was asked, or the time is over.
    pub(super) fn answer(&mut self, accept: bool, now: Instant) -> bool {
        self.expire(now);
        let was_asked = self.status == PairStatus::Asked;
        if was_asked {
            self.status = if accept { PairStatus::Accepted } else { PairStatus::Denied };
        }
        was_asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(now: Instant) -> Offer {
        let code = SecretString::from("123456");
        Offer::new("p".to_owned(), code, Scopes::parse("login").unwrap(), None, now)
    }

    fn who() -> Who {
        Who { name: "page".to_owned(), origin: None }
    }

    fn attempt(offer: &mut Offer, code: &str, now: Instant) -> Result<(), Refused> {
        offer.exchange(&SecretString::from(code), who(), now)
    }

    #[test]
    fn right_code_is_exchanged_once_and_only_after_the_person_agrees() {
        let now = Instant::now();
        let mut offer = offer(now);
        assert!(!offer.answer(true, now), "there is no client to agree to yet");
        assert_eq!(attempt(&mut offer, "123456", now), Ok(()));
        assert_eq!((&offer.status, &offer.who), (&PairStatus::Asked, &Some(who())));
        assert_eq!(attempt(&mut offer, "123456", now), Err(Refused::NoPairing));
        assert!(offer.answer(true, now));
        assert!(!offer.answer(false, now));
        assert_eq!(offer.status, PairStatus::Accepted);
    }

    #[test]
    fn fifth_wrong_code_ends_the_pairing_for_the_right_one() {
        let now = Instant::now();
        let mut offer = offer(now);
        for left in [4, 3, 2, 1] {
            assert_eq!(attempt(&mut offer, "000000", now), Err(Refused::WrongCode(left)));
        }
        assert_eq!(attempt(&mut offer, "12345", now), Err(Refused::TooManyCodes));
        assert_eq!(attempt(&mut offer, "123456", now), Err(Refused::NoPairing));
        assert_eq!(offer.status, PairStatus::TooManyCodes);
    }

    #[test]
    fn code_and_question_end_after_their_minute() {
        let now = Instant::now();
        let (almost, over) = (LIFETIME.checked_sub(Duration::from_millis(1)).unwrap(), LIFETIME);
        let mut late = offer(now);
        assert_eq!(attempt(&mut late, "123456", now + over), Err(Refused::NoPairing));
        assert_eq!(late.status, PairStatus::Expired);
        let mut asked = offer(now);
        assert_eq!(attempt(&mut asked, "123456", now + almost), Ok(()));
        assert!(asked.expire(now + almost + ASKED));
        assert!(!asked.answer(true, now + almost + ASKED));
    }
}
