//! A queue of requests that arrive at the same time and are answered together.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::StoreError;

/// The requests that were not taken yet, in the order of their arrival. While there are any, a task that serves them is
/// on its way.
pub(super) struct Queue<Q, A>(Mutex<Vec<Waiting<Q, A>>>);

/// A request that waits for an answer.
pub(super) struct Waiting<Q, A> {
    pub(super) asked: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q, A> Waiting<Q, A> {
    pub(super) fn tell(self, answer: Result<A, StoreError>) {
        // The caller may have gone.
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

    /// Queues a request and waits for the answer. If the queue was empty, calls `send` to start a task that serves it.
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

    /// Takes requests to serve together: at most `most` of them, and no two for which `apart` is true. Also returns
    /// whether another task must be sent for the rest. Requests whose caller has gone are dropped.
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
