//! The codes and sessions, and their times.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::pairing::Grant;
use crate::wire::scope::Scopes;

/// The time in which a code can be exchanged.
pub(super) const CODE_LIFE: Duration = Duration::from_mins(1);
/// The maximum duration of a session, and of a session without a connection.
const LIFE: Duration = Duration::from_hours(12);
const IDLE: Duration = Duration::from_mins(30);
/// The maximum numbers of codes and sessions. A further one ends the oldest.
const CODES: usize = 8;
const SESSIONS: usize = 16;
/// The permissions of a session. Credentials leave only through clients that were paired for launches.
const SCOPES: &str = "admin";
/// The maximum length of a browser's name, in characters.
const NAME: usize = 60;

type Hash = [u8; 32];

/// The codes and the sessions.
#[derive(Default)]
pub(super) struct State {
    codes: Vec<(Hash, Instant)>,
    sessions: Vec<Session>,
}

/// A session.
pub(super) struct Session {
    pub(super) id: String,
    cookie: Hash,
    secret: Hash,
    pub(super) browser: String,
    /// The times of the start and of the last use, in Unix milliseconds.
    pub(super) created_at: i64,
    pub(super) used_at: i64,
    since: Instant,
    last: Instant,
    connections: usize,
    ended: CancellationToken,
}

/// The data of a new session. `browser` is the header `User-Agent`.
pub(super) struct New<'a> {
    pub(super) cookie: Hash,
    pub(super) secret: Hash,
    pub(super) browser: &'a str,
    pub(super) at: Instant,
    pub(super) now: i64,
}

impl Session {
    /// Returns the name of the session in the audit log.
    pub(super) fn caller(&self) -> String {
        format!("console:{}", self.id)
    }

    fn is_over(&self, at: Instant) -> bool {
        let idle = self.connections == 0 && at.duration_since(self.last) >= IDLE;
        idle || at.duration_since(self.since) >= LIFE
    }
}

impl State {
    /// Adds a code.
    pub(super) fn offer(&mut self, code: Hash, at: Instant) {
        self.codes.retain(|(_, since)| at.duration_since(*since) < CODE_LIFE);
        let excess = (self.codes.len() + 1).saturating_sub(CODES);
        self.codes.drain(..excess);
        self.codes.push((code, at));
    }

    /// Removes the code and adds a session. Returns the session's id, or `None` if the code is not valid.
    pub(super) fn exchange(&mut self, code: &Hash, new: &New<'_>) -> Option<String> {
        let position = self.codes.iter().position(|(known, _)| known == code)?;
        let (_, since) = self.codes.remove(position);
        if new.at.duration_since(since) >= CODE_LIFE {
            return None;
        }
        self.expire(new.at);
        let excess = (self.sessions.len() + 1).saturating_sub(SESSIONS);
        for old in self.sessions.drain(..excess) {
            old.ended.cancel();
        }
        let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        self.sessions.push(Session {
            id: id.clone(),
            cookie: new.cookie,
            secret: new.secret,
            browser: browser(new.browser),
            created_at: new.now,
            used_at: new.now,
            since: new.at,
            last: new.at,
            connections: 0,
            ended: CancellationToken::new(),
        });
        Some(id)
    }

    pub(super) fn knows(&mut self, cookie: &Hash, secret: &Hash, at: Instant) -> bool {
        self.expire(at);
        self.sessions.iter().any(|session| session.cookie == *cookie && session.secret == *secret)
    }

    /// Counts a connection of the session with these secrets, and returns the session's permissions.
    pub(super) fn attach(&mut self, cookie: &Hash, secret: &Hash, at: Instant, now: i64) -> Option<Grant> {
        self.expire(at);
        let session = self.sessions.iter_mut().find(|one| one.cookie == *cookie && one.secret == *secret)?;
        session.connections += 1;
        session.used_at = now;
        Some(Grant {
            caller: session.caller(),
            scopes: Scopes::parse(SCOPES).ok()?,
            revoked: session.ended.clone(),
            until: Some(session.since + LIFE),
        })
    }

    /// Ends the count of a connection.
    pub(super) fn detach(&mut self, id: &str, at: Instant) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
            session.connections = session.connections.saturating_sub(1);
            session.last = at;
        }
    }

    pub(super) fn end(&mut self, id: &str) -> bool {
        let known = self.sessions.len();
        self.sessions.retain(|session| {
            let stays = session.id != id;
            if !stays {
                session.ended.cancel();
            }
            stays
        });
        self.sessions.len() < known
    }

    /// Ends the sessions whose time is over.
    pub(super) fn expire(&mut self, at: Instant) {
        self.sessions.retain(|session| {
            let over = session.is_over(at);
            if over {
                session.ended.cancel();
            }
            !over
        });
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter()
    }
}

/// Returns the name of a browser and its system, from the header `User-Agent`.
fn browser(agent: &str) -> String {
    // The order matters: later ones also name the earlier ones.
    let known = [("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
    let name = known.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("Mac OS X", "macOS"),
        ("Windows", "Windows"),
        ("Linux", "Linux"),
    ];
    let system = systems.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (name, system) {
        (Some(name), Some(system)) => format!("{name}, {system}"),
        (Some(name), None) => name.to_owned(),
        _ => agent.chars().filter(|c| !c.is_control()).take(NAME).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: Hash = [1; 32];
    const SECRET: Hash = [2; 32];

    fn opened(at: Instant) -> State {
        let mut state = State::default();
        state.offer([9; 32], at);
        state
    }

    fn exchange(state: &mut State, code: Hash, at: Instant) -> Option<String> {
        state.exchange(&code, &New { cookie: COOKIE, secret: SECRET, browser: "", at, now: 0 })
    }

    #[test]
    fn code_is_accepted_once_and_for_a_minute() {
        let start = Instant::now();
        let mut state = opened(start);
        assert_eq!(exchange(&mut state, [8; 32], start), None);
        assert!(exchange(&mut state, [9; 32], start + Duration::from_secs(59)).is_some());
        assert_eq!(exchange(&mut state, [9; 32], start), None);
        assert_eq!(exchange(&mut opened(start), [9; 32], start + CODE_LIFE), None);
    }

    #[test]
    fn session_needs_both_secrets() {
        let start = Instant::now();
        let mut state = opened(start);
        exchange(&mut state, [9; 32], start).unwrap();
        assert!(state.knows(&COOKIE, &SECRET, start));
        assert!(!state.knows(&COOKIE, &COOKIE, start) && !state.knows(&SECRET, &SECRET, start));
    }

    #[test]
    fn session_ends_when_it_is_idle_or_after_twelve_hours() {
        let start = Instant::now();
        let mut state = opened(start);
        let id = exchange(&mut state, [9; 32], start).unwrap();
        let grant = state.attach(&COOKIE, &SECRET, start, 0).unwrap();
        let late = start + Duration::from_hours(11);
        assert!(state.knows(&COOKIE, &SECRET, late), "a session with a connection is not idle");
        state.detach(&id, start + Duration::from_hours(10));
        assert!(!state.knows(&COOKIE, &SECRET, late));
        assert!(grant.revoked.is_cancelled());

        let mut state = opened(start);
        exchange(&mut state, [9; 32], start).unwrap();
        state.attach(&COOKIE, &SECRET, start, 0).unwrap();
        assert!(!state.knows(&COOKIE, &SECRET, start + LIFE));
    }

    #[test]
    fn further_session_ends_the_oldest_when_there_are_too_many() {
        let start = Instant::now();
        let mut state = State::default();
        let ids: Vec<String> = (0..=SESSIONS)
            .map(|_| {
                state.offer([9; 32], start);
                exchange(&mut state, [9; 32], start).unwrap()
            })
            .collect();
        let left: Vec<String> = state.sessions().map(|session| session.id.clone()).collect();
        assert_eq!(left, ids[1..]);
    }

    #[test]
    fn browser_is_named_by_its_user_agent() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36";
        assert_eq!(browser(chrome), "Chrome, Linux");
        assert_eq!(browser("curl/8\u{7}"), "curl/8");
    }
}
