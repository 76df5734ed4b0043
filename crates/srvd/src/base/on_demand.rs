//! Work that a caller can ask for, one run at a time.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;

type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that is provided by one part of the program and requested by another. Cheap to clone; clones share the turn.
pub(crate) struct OnDemand<T> {
    start: Arc<dyn Fn() -> Running<T> + Send + Sync>,
    turn: Arc<Mutex<()>>,
}

impl<T> Clone for OnDemand<T> {
    fn clone(&self) -> Self {
        Self { start: Arc::clone(&self.start), turn: Arc::clone(&self.turn) }
    }
}

impl<T> OnDemand<T> {
    /// Creates the work from a function that starts one run. Each run must end.
    pub(crate) fn new<F>(start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        Self { start: Arc::new(move || Box::pin(start())), turn: Arc::default() }
    }

    /// Does the work, after the runs of earlier callers.
    pub(crate) async fn run(&self) -> T {
        let _turn = self.turn.lock().await;
        (self.start)().await
    }
}
