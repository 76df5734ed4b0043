//! The table of all rows, in human-readable and machine-readable form.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::deadline::within;

/// The daemon's name in the tables.
pub(crate) const SRVD: &str = "srvd";

/// All rows, in the order of measurement.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    ratios: Vec<Ratio>,
    /// Omitted rows, with the reason.
    left_out: Vec<String>,
}

/// The figures of one server, or the reason why there are none.
#[derive(Serialize)]
struct Row {
    name: String,
    of: String,
    #[serde(flatten)]
    figure: Figure,
    goal: Option<Goal>,
    failed: Option<String>,
}

/// The comparison of `srvd` with a peer.
#[derive(Serialize)]
struct Ratio {
    name: String,
    against: String,
    /// `None` if either of the two failed.
    value: Option<f64>,
    goal: Goal,
}

/// Values with their units.
#[derive(Default, Serialize)]
pub(crate) struct Figure {
    values: Vec<(f64, &'static str)>,
}

/// The limit on a value. It applies to the value with this unit.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Goal {
    unit: &'static str,
    at_least: bool,
    limit: f64,
}

impl Goal {
    /// The largest value that meets the goal.
    pub(crate) const fn at_most(limit: f64, unit: &'static str) -> Self {
        Self { unit, at_least: false, limit }
    }

    /// The smallest value that meets the goal.
    pub(crate) const fn at_least(limit: f64, unit: &'static str) -> Self {
        Self { unit, at_least: true, limit }
    }

    fn mark(self, value: f64) -> &'static str {
        let met = if self.at_least { value >= self.limit } else { value <= self.limit };
        if met { "met" } else { "missed" }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { ">=" } else { "<=" };
        write!(f, "{sign} {:.2} {}", self.limit, self.unit)
    }
}

impl Figure {
    /// Creates a figure from values with their units.
    pub(crate) fn of<const N: usize>(values: [(f64, &'static str); N]) -> Self {
        Self { values: values.into() }
    }

    /// The median, the 99th percentile and the maximum of durations, in milliseconds.
    pub(crate) fn spread(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            milliseconds(sorted.get(rank - 1).copied().unwrap_or_default())
        };
        Self::of([(percentile(50), "ms p50"), (percentile(99), "ms p99"), (percentile(100), "ms max")])
    }

    /// One duration in milliseconds.
    pub(crate) fn time(duration: Duration) -> Self {
        Self::of([(milliseconds(duration), "ms")])
    }

    /// Adds a value.
    pub(crate) fn and(mut self, value: f64, unit: &'static str) -> Self {
        self.values.push((value, unit));
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (value, unit)) in self.values.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let digits = if *value < 100.0 { 2 } else { 0 };
            write!(f, "{comma}{value:.digits$} {unit}")?;
        }
        Ok(())
    }
}

impl Row {
    fn mark(&self) -> &'static str {
        if self.failed.is_some() {
            return "failed";
        }
        let Some(goal) = self.goal else { return "" };
        let value = self.figure.values.iter().find(|(_, unit)| *unit == goal.unit);
        value.map_or("", |(value, _)| goal.mark(*value))
    }
}

impl Report {
    /// Adds a figure.
    pub(crate) fn figure(&mut self, row: &str, of: &str, figure: Figure, goal: Option<Goal>) {
        progress(&format!("{row}, {of}: {figure}"));
        let (name, of) = (row.to_owned(), of.to_owned());
        self.rows.push(Row { name, of, figure, goal, failed: None });
    }

    /// Adds one value, if there is one.
    pub(crate) fn value(&mut self, row: &str, of: &str, unit: &'static str, value: Option<f64>) {
        if let Some(value) = value {
            self.figure(row, of, Figure::of([(value, unit)]), None);
        }
    }

    /// Adds a row that failed.
    pub(crate) fn failed(&mut self, row: &str, of: &str, error: &anyhow::Error) {
        // A table row must be a single line.
        let reason = format!("{error:#}").replace(['\n', '|'], " ");
        progress(&format!("{row}, {of}: failed: {reason}"));
        let (name, of, figure) = (row.to_owned(), of.to_owned(), Figure::default());
        self.rows.push(Row { name, of, figure, goal: None, failed: Some(reason) });
    }

    /// Adds a comparison. There is none if the peer is absent. It fails if either of the two failed.
    pub(crate) fn ratio(&mut self, row: &str, against: &str, value: Option<f64>, goal: Goal) {
        let failed = |of: &str| {
            self.rows
                .iter()
                .any(|other| other.failed.is_some() && other.of == of && row.starts_with(&other.name))
        };
        if value.is_some() || failed(SRVD) || failed(against) {
            self.ratios.push(Ratio { name: row.to_owned(), against: against.to_owned(), value, goal });
        }
    }

    /// Records omitted rows, with the reason.
    pub(crate) fn left_out(&mut self, text: &str) {
        progress(text);
        if !self.left_out.iter().any(|known| known == text) {
            self.left_out.push(text.to_owned());
        }
    }

    /// Waits for work until a deadline. The row fails if the work fails or does not finish in time.
    pub(crate) async fn attempt<T>(
        &mut self,
        row: &str,
        of: &str,
        limit: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        match within(limit, work).await {
            Ok(result) => Some(result),
            Err(error) => {
                self.failed(row, of, &error);
                None
            }
        }
    }

    /// The number of rows that failed.
    pub(crate) fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.failed.is_some()).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.rows.is_empty() {
            writeln!(f, "| row | of | figure | goal | |\n|---|---|---|---|---|")?;
        }
        for one in &self.rows {
            let goal = one.goal.map(|goal| goal.to_string()).unwrap_or_default();
            let reason = one.failed.as_deref().unwrap_or_default();
            let Row { name, of, figure, .. } = one;
            writeln!(f, "| {name} | {of} | {figure}{reason} | {goal} | {} |", one.mark())?;
        }
        if !self.ratios.is_empty() {
            writeln!(f, "\n| row | against | ratio | goal | |\n|---|---|---|---|---|")?;
        }
        for Ratio { name, against, value, goal } in &self.ratios {
            let mark = value.map_or("failed", |value| goal.mark(value));
            let value = value.map(|value| format!("{value:.3}")).unwrap_or_default();
            writeln!(f, "| {name} | {against} | {value} | {goal} | {mark} |")?;
        }
        for text in &self.left_out {
            writeln!(f, "\n{text}")?;
        }
        Ok(())
    }
}

/// Converts a duration to milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Reports progress to a waiting user.
pub(crate) fn progress(line: &str) {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn report_shows_a_failed_row_and_ratio_when_a_peer_never_answers() {
        let mut report = Report::default();
        let answer = std::future::pending::<Result<()>>();
        assert!(report.attempt("requests", "a peer", LIMIT, answer).await.is_none());
        report.value("requests", SRVD, "us", Some(3.0));
        report.ratio("requests: CPU", "a peer", None, Goal::at_most(1.0, "x"));
        assert_eq!(report.failures(), 1);
        let table = report.to_string();
        assert!(table.contains("| requests | a peer | not done within 0.001 s |  | failed |"), "{table}");
        assert!(table.contains("| requests | srvd | 3.00 us |  |  |"), "{table}");
        assert!(table.contains("| requests: CPU | a peer |  | <= 1.00 x | failed |"), "{table}");
    }

    #[test]
    fn report_has_no_ratio_when_a_peer_is_absent() {
        let mut report = Report::default();
        report.value("requests", SRVD, "us", Some(3.0));
        report.ratio("requests: CPU", "a peer", None, Goal::at_most(1.0, "x"));
        assert!(report.ratios.is_empty());
    }

    #[test]
    fn goal_applies_to_the_value_with_its_unit() {
        let mut report = Report::default();
        let times = [1, 2, 30].map(Duration::from_millis);
        report.figure("calls", SRVD, Figure::spread(times), Some(Goal::at_most(10.0, "ms p99")));
        report.figure("calls", SRVD, Figure::spread(times), Some(Goal::at_most(2.0, "ms p50")));
        let table = report.to_string();
        assert!(table.contains("| <= 10.00 ms p99 | missed |"), "{table}");
        assert!(table.contains("| <= 2.00 ms p50 | met |"), "{table}");
    }
}
