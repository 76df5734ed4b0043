//! `srvd providers check` with every installed CLI, in a network where the vendors answer.

use serde_json::{Value, json};

use super::trusting;
use crate::support::namespace::inside;
use crate::support::{Home, clis, optional};

/// The login of the old Kimi CLI. That CLI trusts only its own certificates, so its device login does not reach the
/// stand-in.
const UNREACHED: (&str, &str) = ("kimi", "login");

/// The CLIs in directories of their own, because not every system has each of them.
const NEWER: [&str; 6] = ["auggie", "cline", "droid", "grok", "kilo", "qodercli"];

#[expect(clippy::disallowed_methods, reason = "these say how the tests run, they are not a user's")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[test]
fn every_installed_cli_matches_its_entry_when_the_vendors_answer() {
    inside(async |vendors| {
        let optional = ["gh", "kimi-cli"].into_iter().chain(NEWER).filter_map(optional);
        let home = optional.fold(trusting(&vendors), Home::search).search(clis());
        let report_file = variable("SRVD_TEST_REPORT");
        let mut command = home.command(&["providers", "check", "--json"]);
        // The whole program is read then.
        command.args(report_file.as_ref().map(|_| "--names"));
        // The stand-in answers on this thread.
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        if let Some(file) = report_file {
            std::fs::write(file, &output.stdout).unwrap();
        }
        let mut checked = 0;
        for provider in report["providers"].as_array().unwrap() {
            let id = provider["id"].as_str().unwrap();
            if provider["outcome"] == "not_installed" {
                let name = if id == "qoder" { "qodercli" } else { id };
                let untested = provider["tested"].is_null();
                let absent = ["github", "kimi"].contains(&id) || NEWER.contains(&name);
                assert!(untested || absent, "{provider}");
                continue;
            }
            assert_eq!(
                (&provider["outcome"], &provider["problems"]),
                (&json!("ok"), &json!([])),
                "{provider}"
            );
            if variable("SRVD_TEST_NEWEST").is_none() {
                assert_eq!(provider["version"], provider["tested"], "{provider}");
            }
            for recipe in provider["recipes"].as_array().unwrap() {
                checked += 1;
                let reached = (id, recipe["id"].as_str().unwrap()) != UNREACHED;
                let expected = if reached { "ok" } else { "not_checked" };
                assert_eq!(recipe["outcome"], expected, "{id}: {recipe}");
            }
        }
        assert!(checked >= 16, "{report:#}");
    });
}
