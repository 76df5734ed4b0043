//! Those who come at the same time, and are served together.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::StoreError;

/// Those whom nobody has taken yet, in the order in which they came. While there are any, one who serves them is on its
/// way.
pub(super) struct Queue<Q, A>(Mutex<Vec<Waiting<Q, A>>>);

/// One who waits for an answer.
pub(super) struct Waiting<Q, A> {
    pub(super) asked: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q, A> Waiting<Q, A> {
    pub(super) fn tell(self, answer: Result<A, StoreError>) {
        // Nobody may be there any more.
        let _ = self.answer.send(answer);
    }
}

impl<Q, A> Default for Queue<Q, A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Q, A> Queue<Q, A> {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Waiting<Q, A>>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for an answer; who finds nobody waiting has somebody sent to serve.
    pub(super) async fn ask(&self, asked: Q, send: impl FnOnce()) -> Result<A, StoreError> {
        let (answer, told) = oneshot::channel();
        let is_first = self.with(|queue| {
            queue.push(Waiting { asked, answer });
            queue.len() == 1
        });
        if is_first {
            send();
        }
        told.await.map_err(|gone| StoreError::Unavailable(gone.into()))?
    }

    /// Takes those who are served together, `most` of them and no two that are to be `apart`; `true` when somebody is to be
    /// sent for the others. Who has gone away is left out.
    pub(super) fn take(&self, most: usize, apart: impl Fn(&Q, &Q) -> bool) -> (Vec<Waiting<Q, A>>, bool) {
        self.with(|queue| {
            let (mut taken, mut left): (Vec<Waiting<Q, A>>, _) = (Vec::new(), Vec::new());
            for waiting in queue.drain(..).filter(|waiting| !waiting.answer.is_closed()) {
                let waits = |other: &Waiting<Q, A>| apart(&other.asked, &waiting.asked);
                if taken.len() == most || taken.iter().any(waits) {
                    left.push(waiting);
                } else {
                    taken.push(waiting);
                }
            }
            *queue = left;
            (taken, !queue.is_empty())
        })
    }
}
