//! The costs of several servers that take turns, and the ratios of these costs.

use std::collections::BTreeMap;

/// The figures of each round, by server and by measured quantity.
#[derive(Default)]
pub(crate) struct Rounds(BTreeMap<(String, &'static str), Vec<f64>>);

impl Rounds {
    /// Adds a figure of one round.
    pub(crate) fn add(&mut self, server: &str, what: &'static str, figure: f64) {
        self.0.entry((server.to_owned(), what)).or_default().push(figure);
    }

    /// Removes the figures of a server that failed.
    pub(crate) fn forget(&mut self, server: &str) {
        self.0.retain(|(name, _), _| name != server);
    }

    /// The median over all rounds.
    pub(crate) fn median(&self, server: &str, what: &'static str) -> Option<f64> {
        median(self.0.get(&(server.to_owned(), what))?.clone())
    }

    /// The median of the ratios of all rounds.
    pub(crate) fn ratio(&self, server: &str, peer: &str, what: &'static str) -> Option<f64> {
        let ours = self.0.get(&(server.to_owned(), what))?;
        let theirs = self.0.get(&(peer.to_owned(), what))?;
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = *figures.get((figures.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}
