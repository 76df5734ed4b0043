//! The queue of callers who ask for a bundle's credentials at the same time. They are answered together, because a round
//! trip to the database costs far more than a row.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::id::{BundleId, ProviderId};
use crate::model::credential::Credentials;

/// The maximum number of callers that one statement answers.
const TOGETHER: usize = 64;

/// The callers that were not taken yet, in the order of their arrival. While there are any, a reader that serves them is
/// on its way.
#[derive(Default)]
pub(crate) struct CredentialQueue(Mutex<Vec<Caller>>);

/// A question and the caller that waits for its answer.
pub(crate) struct Caller {
    question: Question,
    pub(crate) answer: oneshot::Sender<Result<Credentials, StoreError>>,
}

impl CredentialQueue {
    /// Queues a question and waits for the answer. If the queue was empty, calls `send` to start a reader.
    pub(crate) async fn ask(
        &self,
        question: Question,
        send: impl FnOnce(),
    ) -> Result<Credentials, StoreError> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push(Caller { question, answer });
            queue.len() == 1
        };
        if is_first {
            send();
        }
        answered.await.map_err(|gone| StoreError::Unavailable(gone.into()))?
    }

    /// Takes callers to answer by one statement. Also returns whether another reader must be sent for the rest. Callers
    /// that have gone are dropped.
    pub(crate) fn take(&self) -> (Vec<Caller>, bool) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.retain(|caller| !caller.answer.is_closed());
        let most = queue.len().min(TOGETHER);
        let rest = queue.split_off(most);
        let taken = std::mem::replace(&mut *queue, rest);
        (taken, !queue.is_empty())
    }
}

/// A bundle, and optionally the one provider whose account is wanted.
#[derive(PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) bundle: BundleId,
    pub(crate) provider: Option<ProviderId>,
}

/// Returns the distinct questions, and for each caller the number of its question.
pub(crate) fn numbered(callers: &[Caller]) -> (Vec<&Question>, Vec<usize>) {
    let mut questions: Vec<&Question> = Vec::new();
    let numbers = callers.iter().map(|Caller { question, .. }| {
        questions.iter().position(|known| *known == question).unwrap_or_else(|| {
            questions.push(question);
            questions.len() - 1
        })
    });
    let numbers = numbers.collect();
    (questions, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One reader is one connection and one statement.
    #[tokio::test]
    async fn queue_sends_one_reader_when_several_callers_wait() {
        let queue = CredentialQueue::default();
        let sent = std::cell::Cell::new(0);
        let question = || Question { bundle: BundleId::blank(), provider: None };
        let mut calls: Vec<_> =
            (0..=TOGETHER).map(|_| Box::pin(queue.ask(question(), || sent.set(sent.get() + 1)))).collect();
        for call in &mut calls {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(sent.get(), 1);
        drop(calls.remove(0));
        let (taken, more) = queue.take();
        assert_eq!((taken.len(), more), (TOGETHER, false));
    }
}
