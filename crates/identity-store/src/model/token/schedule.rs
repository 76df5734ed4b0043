//! The times at which new tokens are requested.

/// The longest time before its expiry at which a token is refreshed, in milliseconds.
pub(crate) const LEAD: i64 = 5 * 60 * 1000;

/// The wait after the first failure, in milliseconds. It doubles with each further failure.
const BACK_OFF: i64 = 30 * 1000;

/// The maximum wait that doubling can reach, in milliseconds.
const BACK_OFF_MOST: i64 = 15 * 60 * 1000;

/// The maximum wait that an issuer may ask for, in milliseconds: a day.
const RETRY_AFTER_MOST: i64 = 24 * 60 * 60 * 1000;

/// A random share of a wait, so that many clients do not ask at the same moment. The caller provides the random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u32);

impl Jitter {
    /// A share of zero.
    pub const NONE: Self = Self(0);

    /// Creates a share between zero and a tenth from a random number.
    pub fn new(random: u32) -> Self {
        Self(random)
    }

    /// Returns the share of a time span.
    fn of(self, span: i64) -> i64 {
        let share = i128::from(span.max(0)) * i128::from(self.0) / i128::from(u32::MAX) / 10;
        i64::try_from(share).unwrap_or(0)
    }
}

/// Returns how long before its expiry a token is refreshed that lives `lifetime` milliseconds: five minutes, or a
/// quarter of a short life.
pub fn lead(lifetime: i64) -> i64 {
    LEAD.min(lifetime.max(0) / 4)
}

/// Returns the time to refresh a token that was received at `received_at` and expires at `expires_at`.
pub(crate) fn refresh_at(received_at: i64, expires_at: i64, jitter: Jitter) -> i64 {
    let lead = lead(expires_at.saturating_sub(received_at));
    expires_at.saturating_sub(lead).saturating_sub(jitter.of(lead))
}

/// Returns the wait after the `failures`th failure in a row, in milliseconds: 30 s doubled up to 15 minutes, and never
/// less than the issuer asked for, up to a day.
pub fn back_off(failures: u32, retry_after: Option<i64>, jitter: Jitter) -> i64 {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = (BACK_OFF << doublings).min(BACK_OFF_MOST);
    let asked = retry_after.unwrap_or(0).clamp(0, RETRY_AFTER_MOST);
    wait.max(asked) + jitter.of(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60 * 1000;

    #[test]
    fn refresh_lead_is_a_quarter_of_the_lifetime_up_to_five_minutes() {
        for (lifetime, expected) in
            [(24 * 60 * MINUTE, 5 * MINUTE), (20 * MINUTE, 5 * MINUTE), (5 * MINUTE, 75_000), (0, 0), (-9, 0)]
        {
            assert_eq!(lead(lifetime), expected, "{lifetime}");
        }
        let most = Jitter::new(u32::MAX);
        assert_eq!(refresh_at(0, 60 * MINUTE, Jitter::NONE), 55 * MINUTE);
        assert_eq!(refresh_at(0, 60 * MINUTE, most), 55 * MINUTE - MINUTE / 2);
        assert_eq!(refresh_at(0, 5 * MINUTE, most), 225_000 - 7_500);
        assert_eq!(refresh_at(i64::MIN, i64::MAX, most), i64::MAX - 330_000);
    }

    /// An issuer that asks for 120 s is not asked again earlier.
    #[test]
    fn back_off_doubles_up_to_a_limit_and_honours_retry_after() {
        for (failures, retry_after, expected) in [
            (0, None, 30_000),
            (1, None, 30_000),
            (2, None, 60_000),
            (5, None, 480_000),
            (6, None, 15 * MINUTE),
            (u32::MAX, None, 15 * MINUTE),
            (1, Some(120_000), 120_000),
            (6, Some(120_000), 15 * MINUTE),
            (1, Some(-1), 30_000),
            (1, Some(i64::MAX), 24 * 60 * MINUTE),
        ] {
            assert_eq!(back_off(failures, retry_after, Jitter::NONE), expected, "{failures} {retry_after:?}");
        }
        assert_eq!(back_off(1, None, Jitter::new(u32::MAX)), 33_000);
    }
}
