//! A table of the figures for readers.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

/// Measured figures in the order of measurement: name, figure and target.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 3]>);

impl Table {
    /// Adds a figure. The target may be empty.
    pub(crate) fn row(&mut self, name: &str, figure: String, target: &str) {
        progress(&format!("{name}: {figure}"));
        self.0.push([name.to_owned(), figure, target.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = [0, 1].map(|column| self.0.iter().map(|row| row[column].len()).max().unwrap_or(0));
        for [name, figure, target] in &self.0 {
            let line = format!("{name:<0$}  {figure:<1$}  {target}", widths[0], widths[1]);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A distribution of durations.
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Takes the durations in any order.
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The smallest duration that at least `percent` of all do not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, worst] = [50, 99, 100].map(|percent| milliseconds(self.percentile(percent)));
        write!(f, "p50 {p50}, p99 {p99}, max {worst}")
    }
}

/// Formats a duration as `1.23 ms`.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// Formats a size as `12.3 MB`, in units of 10^6 bytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Reports progress on standard error.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}
