//! The list of the credential model's acceptance cases is complete, and each case has tests that exist.

use std::collections::BTreeMap;
use std::path::Path;

/// Number of acceptance cases.
const CASES: u32 = 81;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    says: String,
    note: Option<String>,
    tests: Vec<String>,
}

/// Returns whether a source has a test of this name. The test has the attribute above it, or it is in the list of a
/// module whose cases run on each database.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &&str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let Some(at) = lines.iter().position(begins) else { return false };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("///"));
    let attribute = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    above.copied().any(|line| attribute(&line)) || lines.contains(&format!("{name},").as_str())
}

#[test]
fn acceptance_case_has_a_test_or_a_note() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(crates.join("srvd/tests/acceptance.toml")).unwrap();
    let cases: BTreeMap<String, Case> = toml::from_str(&text).unwrap();
    let mut numbers: Vec<u32> = cases.keys().map(|number| number.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=CASES).collect::<Vec<_>>());
    for (number, case) in &cases {
        assert!(case.says.ends_with('.'), "{number} says nothing");
        assert!(!case.tests.is_empty() || case.note.is_some(), "{number} has neither a test nor a reason");
        for test in &case.tests {
            let (file, name) = test.split_once(' ').unwrap_or_else(|| panic!("{number}: {test}"));
            let source = std::fs::read_to_string(crates.join(file))
                .unwrap_or_else(|error| panic!("{number}: {file}: {error}"));
            assert!(has_test(&source, name), "{number}: {file} has no test {name}");
        }
    }
}

#[test]
fn has_test_finds_only_test_functions() {
    let source = "/// A case.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {\n}\nfn two() {}\n\
                  on_each! {\n    three,\n}\nasync fn three(f: Fixture) {}\n";
    let found = ["one", "two", "three", "on"].map(|name| has_test(source, name));
    assert_eq!(found, [true, false, true, false]);
}
