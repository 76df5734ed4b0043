//! Places for connections: some for those that have not shown who they are, and others for those that have.
//!
//! A stranger can open a connection and send half a head. Such connections have places of their own, and the oldest of
//! them is closed when a newer one needs its place. They can therefore not keep an authenticated client out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The number of connections of one listener that are not authenticated yet.
const UNFINISHED: usize = 512;

/// The places of one listener.
#[derive(Debug, Clone)]
pub(super) struct Places {
    unfinished: Arc<Unfinished>,
    authenticated: Arc<Semaphore>,
}

impl Places {
    /// Creates the places of a listener that serves so many authenticated connections.
    pub(super) fn new(authenticated: usize) -> Self {
        Self {
            unfinished: Unfinished::new(UNFINISHED),
            authenticated: Arc::new(Semaphore::new(authenticated)),
        }
    }

    /// Gives a new connection a place, and returns whether another connection lost its place for it.
    pub(super) fn enter(&self) -> (Place, bool) {
        let (slot, evicts) = self.unfinished.enter();
        let closed = slot.closed.clone();
        let stage = Mutex::new(Stage::Unfinished(slot));
        (Place { stage, closed, authenticated: self.authenticated.clone() }, evicts)
    }
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Place {
    stage: Mutex<Stage>,
    authenticated: Arc<Semaphore>,
    /// Cancelled when the connection loses its place.
    pub(super) closed: CancellationToken,
}

#[derive(Debug)]
enum Stage {
    /// The connection has shown nothing yet.
    Unfinished(#[expect(dead_code, reason = "it is held until it is dropped")] Slot),
    /// The request is complete. It is answered at once and needs no place.
    Complete,
    /// The connection counts against the quota.
    Authenticated(OwnedSemaphorePermit),
}

impl Place {
    /// Records that the request is complete and is answered without a proof.
    pub(super) fn complete(&self) {
        self.set(Stage::Complete);
    }

    /// Moves the connection to the places of authenticated ones. Returns false if all of them are taken.
    pub(super) fn authenticate(&self) -> bool {
        let permit = self.authenticated.clone().try_acquire_owned().ok();
        let taken = permit.is_some();
        self.set(permit.map_or(Stage::Complete, Stage::Authenticated));
        taken
    }

    /// Takes the place out, for a connection that outlives its HTTP request.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        match self.set(Stage::Complete) {
            Stage::Authenticated(permit) => Some(permit),
            Stage::Unfinished(_) | Stage::Complete => None,
        }
    }

    /// Returns whether no complete request has been received.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(*self.stage.lock().unwrap_or_else(PoisonError::into_inner), Stage::Unfinished(_))
    }

    fn set(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *self.stage.lock().unwrap_or_else(PoisonError::into_inner), stage)
    }
}

/// The connections that have shown nothing yet, the oldest first.
#[derive(Debug)]
struct Unfinished {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    slots: BTreeMap<u64, CancellationToken>,
}

impl Unfinished {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default() })
    }

    fn enter(self: &Arc<Self>) -> (Slot, bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if open.slots.len() >= self.limit { open.slots.pop_first() } else { None };
        let evicts = oldest.is_some();
        if let Some((_, closed)) = oldest {
            closed.cancel();
        }
        open.last += 1;
        let (number, closed) = (open.last, CancellationToken::new());
        open.slots.insert(number, closed.clone());
        (Slot { among: self.clone(), number, closed }, evicts)
    }
}

/// A place among the unfinished connections, until it is dropped.
#[derive(Debug)]
struct Slot {
    among: Arc<Unfinished>,
    number: u64,
    closed: CancellationToken,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.among.open.lock().unwrap_or_else(PoisonError::into_inner).slots.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_unfinished_connection_gives_its_place_to_a_newer_one() {
        let unfinished = Unfinished::new(2);
        let (first, none) = unfinished.enter();
        let (second, _) = unfinished.enter();
        assert!(!none);
        let (third, evicts) = unfinished.enter();
        assert!(evicts);
        let closed = [&first, &second, &third].map(|slot| slot.closed.is_cancelled());
        assert_eq!(closed, [true, false, false]);
        drop(first);
        drop(second);
        let (_fourth, evicts) = unfinished.enter();
        assert!(!evicts, "a connection that ended leaves its place");
    }

    #[test]
    fn authenticated_connection_is_neither_closed_nor_counted_among_the_unfinished() {
        let places = Places { unfinished: Unfinished::new(1), authenticated: Arc::new(Semaphore::new(1)) };
        let (known, _) = places.enter();
        assert!(known.is_unfinished() && known.authenticate() && !known.is_unfinished());
        let (stranger, evicts) = places.enter();
        assert!(!evicts && !known.closed.is_cancelled());
        let (other, evicts) = places.enter();
        assert!(evicts && stranger.closed.is_cancelled());
        assert!(!other.authenticate(), "the only place is taken");
        let permit = known.take();
        drop(known);
        assert!(permit.is_some() && !places.enter().0.authenticate(), "the place outlives the request");
        drop(permit);
        assert!(places.enter().0.authenticate());
    }

    #[test]
    fn complete_request_is_not_closed_for_a_newer_connection() {
        let places = Places { unfinished: Unfinished::new(1), authenticated: Arc::new(Semaphore::new(1)) };
        let (answered, _) = places.enter();
        answered.complete();
        let (_, evicts) = places.enter();
        assert!(!evicts && !answered.closed.is_cancelled() && answered.take().is_none());
    }
}
