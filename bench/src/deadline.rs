//! Deadlines. Every wait in the benchmark has one, so that a server that stops answering fails its row.

use std::time::Duration;

use anyhow::{Result, bail};

/// The maximum wait for one reply, one event, or the start of a server.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
/// The maximum duration of a row without a limit of its own.
pub(crate) const ROW: Duration = Duration::from_mins(5);
/// The maximum duration of a row that first fills a database.
pub(crate) const FILL: Duration = Duration::from_mins(30);

/// Waits for work, and fails if the limit is reached first.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => bail!("not done within {} s", limit.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn within_fails_when_the_work_does_not_finish() {
        let error = within(Duration::from_millis(1), std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.to_string(), "not done within 0.001 s");
    }
}
