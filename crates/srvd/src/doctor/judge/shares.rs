//! Judges what srvd shared of the person's own setup with the homes of CLIs.

use crate::doctor::facts::Shared;
use crate::doctor::finding::{Finding, Severity};
use crate::hint::Step;

/// The largest number of parts that a finding names.
const NAMED: usize = 8;

pub(super) fn judge(shares: &[Shared]) -> Vec<Finding> {
    let unusable: Vec<String> = shares
        .iter()
        .filter_map(|shared| Some(format!("{}: {}", shared.path.display(), shared.problem.as_ref()?)))
        .collect();
    let broken: Vec<String> =
        shares.iter().flat_map(|shared| &shared.broken).map(|path| path.display().to_string()).collect();
    let left: Vec<String> = shares.iter().flat_map(left_out).collect();
    let found = [
        (!unusable.is_empty()).then(|| {
            let meaning =
                "srvd does not know what it made there, so it shares nothing with it and removes nothing.";
            let title = "The record of a shared setup cannot be read";
            Finding::new("share.record", Severity::Warning, title, named(&unusable), meaning)
                .fix(Step::RemoveRecord)
        }),
        (!broken.is_empty()).then(|| {
            let meaning = "The CLI does not find these files. The next launch removes the links.";
            let title = "Shared files do not exist any more";
            Finding::new("share.links", Severity::Note, title, named(&broken), meaning)
                .fix(Step::RestoreShared)
        }),
        (!left.is_empty()).then(|| {
            let meaning = "The CLIs of these bundles work without them.";
            let title = "Parts of your own setup are not shared";
            Finding::new("share.left-out", Severity::Note, title, named(&left), meaning).fix(Step::ShowShare)
        }),
    ];
    let mut findings: Vec<Finding> = found.into_iter().flatten().collect();
    if findings.is_empty() && !shares.is_empty() {
        let homes = format!("{} directories of CLIs", shares.len());
        findings.push(Finding::well("share", "Your own setup is shared as you asked", homes));
    }
    findings
}

fn left_out(shared: &Shared) -> Vec<String> {
    let home = shared.path.components().rev().take(2).collect::<Vec<_>>();
    let home: Vec<String> =
        home.iter().rev().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let home = home.join("/");
    let line = |(path, place, reason): &(String, String, String)| {
        let inside = if place.is_empty() { String::new() } else { format!("{place} in ") };
        format!("{inside}{home}/{path} ({reason})")
    };
    shared.left_out.iter().map(line).collect()
}

fn named(texts: &[String]) -> String {
    let mut named = texts.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if texts.len() > NAMED {
        named.push(format!("and {} more", texts.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_judged_by_its_record() {
        let shared = Shared {
            path: "/data/identities/work/claude".into(),
            problem: None,
            broken: Vec::new(),
            left_out: Vec::new(),
        };
        let ids = |shares: &[Shared]| judge(shares).into_iter().map(|finding| finding.id).collect::<Vec<_>>();
        assert_eq!(ids(&[]), Vec::<String>::new());
        assert_eq!(ids(std::slice::from_ref(&shared)), ["share"]);
        let left = ("settings.json".to_owned(), "apiKeyHelper".to_owned(), "why".to_owned());
        let many = Shared {
            problem: Some("no record".to_owned()),
            broken: vec!["/x".into()],
            left_out: vec![left.clone(), (left.0, String::new(), left.2)],
            ..shared
        };
        let findings = judge(&[many]);
        let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "/data/identities/work/claude: no record",
                "/x",
                "apiKeyHelper in work/claude/settings.json (why), work/claude/settings.json (why)",
            ]
        );
    }
}
