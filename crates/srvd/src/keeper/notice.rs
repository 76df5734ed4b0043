//! Notices to the user: a login that the provider refused, and a login whose own deadline is near. Each is made once.

use identity_store::{Account, DeadlineNotice, Keeping};
use rpc_engine::Broker;

use super::flight::{Keeper, Subject};
use crate::wire::error::with_causes;
use crate::wire::events;

/// The numbers of days before a deadline for which a notice is made, the largest first.
const DAYS: [u8; 2] = [3, 1];
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Announces that a login can no longer be renewed.
pub(super) fn dead(broker: &Broker, account: &Account, reason: &str, at: i64) {
    tracing::warn!(account = %account.id, provider = %account.provider, reason, "a login is dead; log in again");
    let data = serde_json::json!({"accountId": account.id.as_str(), "notice": "dead", "text": reason});
    broker.publish(&events::login_notice(account.id.as_str()), at, Some(data));
}

/// Announces the deadline of a login, if it is near and was not announced.
pub(super) async fn deadline(keeper: &Keeper, subject: &Subject, now: i64) {
    let Some(deadline) = subject.seen.login().and_then(|login| login.login_deadline_at) else { return };
    let account = &subject.account;
    let Some(days) = due(account.keeping.notice, deadline, now) else { return };
    let notice = Some(DeadlineNotice { days, deadline });
    let keeping = Keeping { notice, ..account.keeping.clone() };
    if let Err(error) = keeper.store().record_keeping(&account.id, keeping, now).await {
        tracing::warn!(account = %account.id, error = with_causes(&error), "a notice could not be recorded");
        return;
    }
    let text =
        format!("the login ends within {days} {}, whatever is renewed; log in again before", words(days));
    tracing::warn!(account = %account.id, provider = %account.provider, days, "the deadline of a login is near");
    let data = serde_json::json!({
        "accountId": account.id.as_str(), "notice": "deadline", "days": days, "deadlineAt": deadline, "text": text,
    });
    keeper.broker().publish(&events::login_notice(account.id.as_str()), now, Some(data));
}

fn words(days: u8) -> &'static str {
    if days == 1 { "day" } else { "days" }
}

/// Returns the number of days of the notice that has to be made.
fn due(made: Option<DeadlineNotice>, deadline: i64, now: i64) -> Option<u8> {
    let left = deadline - now;
    if left <= 0 {
        return None;
    }
    let days = DAYS.into_iter().rfind(|days| left <= i64::from(*days) * DAY)?;
    let known = made.filter(|made| made.deadline == deadline).is_some_and(|made| made.days <= days);
    (!known).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_is_announced_three_days_and_one_day_before_it() {
        let made = |days, deadline| Some(DeadlineNotice { days, deadline });
        for (left, known, expected) in [
            (4 * DAY, None, None),
            (3 * DAY, None, Some(3)),
            (2 * DAY, made(3, 2 * DAY), None),
            (2 * DAY, made(3, 1), Some(3)),
            (DAY, made(3, DAY), Some(1)),
            (DAY - 1, made(1, DAY - 1), None),
            (DAY, None, Some(1)),
            (0, None, None),
        ] {
            assert_eq!(due(known, left, 0), expected, "{left} {known:?}");
        }
    }
}
