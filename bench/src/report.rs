//! The figures, for people and for programs.

use std::fmt;
use std::io::Write as _;

use serde::Serialize;

/// All measurements, in order.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
}

/// The cost of one server.
#[derive(Serialize)]
struct Figure {
    work: String,
    server: String,
    unit: String,
    value: f64,
}

/// The comparison of `srvd` with a peer.
#[derive(Serialize)]
struct Ratio {
    work: String,
    against: String,
    value: f64,
    goal: Goal,
}

/// The target of a ratio.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit:.2}"),
            Self::AtLeast(limit) => write!(f, ">= {limit:.2}"),
        }
    }
}

impl Report {
    /// Adds a figure.
    pub(crate) fn figure(&mut self, work: &str, server: &str, unit: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        progress(&format!("{work}, {server}: {value:.3} {unit}"));
        let (work, server, unit) = (work.to_owned(), server.to_owned(), unit.to_owned());
        self.figures.push(Figure { work, server, unit, value });
    }

    /// Adds a comparison. There is none when the peer was not present.
    pub(crate) fn ratio(&mut self, work: &str, against: &str, value: Option<f64>, goal: Goal) {
        let Some(value) = value else { return };
        self.ratios.push(Ratio { work: work.to_owned(), against: against.to_owned(), value, goal });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | server | figure |\n|---|---|---|")?;
        for Figure { work, server, unit, value } in &self.figures {
            writeln!(f, "| {work} | {server} | {value:.2} {unit} |")?;
        }
        writeln!(f, "\n| work | against | ratio | goal | |\n|---|---|---|---|---|")?;
        for Ratio { work, against, value, goal } in &self.ratios {
            let mark = if goal.met(*value) { "met" } else { "missed" };
            writeln!(f, "| {work} | {against} | {value:.3} | {goal} | {mark} |")?;
        }
        Ok(())
    }
}

/// Reports progress to a waiting user.
fn progress(line: &str) {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints the result.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().write_all(text.as_bytes())
}
