//! The end of a login that its client has left.
//!
//! A login that was started over a connection ends two minutes after the connection has closed. Another client keeps it
//! alive when it polls it, answers it, or is subscribed to its changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::service::Logins;
use crate::wire::events;

/// The time that a login lives without a client.
const ALONE: Duration = Duration::from_mins(2);
/// The reason in the session of a login that its client has left.
const LEFT: &str = "the client that started it has gone, and no other client took it over";

/// The last time at which a client asked about each login that its client has left, or may leave.
#[derive(Debug, Default)]
pub(super) struct Attendance(Mutex<HashMap<String, Instant>>);

/// The next step for a login without its client.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    End,
    LookAgainAt(Instant),
}

impl Attendance {
    /// Records that a client asked about a login. Other logins are not recorded.
    pub(super) fn seen(&self, session: &str) {
        if let Some(at) = self.known().get_mut(session) {
            *at = Instant::now();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides about a login at a time. `left` is the time when its client went, `seen` the last time when any client asked
/// about it, and `followed` is true if a client is subscribed to it.
fn next(now: Instant, left: Instant, seen: Instant, followed: bool, alone: Duration) -> Next {
    let last = if followed { now } else { left.max(seen) };
    let ends = last + alone;
    if ends <= now { Next::End } else { Next::LookAgainAt(ends) }
}

impl Logins {
    /// Ends a login two minutes after `closed`, unless a client attends to it.
    pub(crate) fn end_when_left(
        self: &Arc<Self>,
        session: &str,
        closed: impl Future<Output = ()> + Send + 'static,
    ) {
        self.end_when_left_for(ALONE, session, closed);
    }

    fn end_when_left_for(
        self: &Arc<Self>,
        alone: Duration,
        session: &str,
        closed: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(mut watch) = self.watch(session) else { return };
        self.attendance.known().insert(session.to_owned(), Instant::now());
        let (logins, session) = (Arc::clone(self), session.to_owned());
        self.resources.tasks.spawn(async move {
            let over = async {
                // The end of the session's actor is an end too.
                let _ = watch.wait_for(|snapshot| snapshot.state.is_terminal()).await;
            };
            tokio::select! {
                () = over => {}
                () = logins.alone(alone, &session, closed) => {
                    tracing::info!(session, "a login without a client is ended");
                    let _ = logins.oauth.cancel(&session, Some(LEFT)).await;
                    // The login may have ended meanwhile.
                    let _ = logins.spawner.cancel_because(&session, Some(LEFT)).await;
                }
            }
            logins.attendance.known().remove(&session);
        });
    }

    /// Ends when the login has been without a client for long enough.
    async fn alone(&self, alone: Duration, session: &str, closed: impl Future<Output = ()>) {
        closed.await;
        let left = Instant::now();
        let topic = events::session_changed(session);
        loop {
            let seen = self.attendance.known().get(session).copied().unwrap_or(left);
            let followed = self.resources.broker.has_subscriber(&topic);
            match next(Instant::now(), left, seen, followed, alone) {
                Next::End => return,
                Next::LookAgainAt(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_ends_when_no_client_attends_to_it_for_two_minutes() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let check = |now: u64, left: u64, seen: u64, followed: bool, expect: Next| {
            assert_eq!(next(at(now), at(left), at(seen), followed, ALONE), expect, "{now} {left} {seen}");
        };
        check(100, 100, 0, false, Next::LookAgainAt(at(220)));
        check(219, 100, 0, false, Next::LookAgainAt(at(220)));
        check(220, 100, 0, false, Next::End);
        // A client that polled after the other one had gone keeps it for two more minutes.
        check(220, 100, 150, false, Next::LookAgainAt(at(270)));
        check(270, 100, 150, false, Next::End);
        // A subscriber keeps it as long as it is there.
        check(500, 100, 0, true, Next::LookAgainAt(at(620)));
        check(620, 100, 0, false, Next::End);
    }

    #[test]
    fn attendance_records_only_logins_that_may_be_left() {
        let attendance = Attendance::default();
        attendance.seen("auth-1");
        assert!(attendance.known().is_empty());
        let old = Instant::now();
        attendance.known().insert("auth-2".to_owned(), old);
        attendance.seen("auth-2");
        assert!(attendance.known()["auth-2"] >= old);
    }
}
