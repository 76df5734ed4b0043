//! `GET /metrics`: access, and the text format of Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::http::tcp;
use crate::support::fake;

/// A sample: the name with its labels, and the value.
type Samples = BTreeMap<String, f64>;

/// Parses the text as strictly as its description says: each family once, with its help and its type before its samples,
/// and each sample once.
fn parsed(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line ends");
    let (mut families, mut family, mut samples) = (BTreeSet::new(), String::new(), Samples::new());
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} has one family");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            assert!(
                [format!("{name} counter"), format!("{name} gauge")].contains(&kind.to_owned()),
                "{kind}"
            );
            assert_eq!(kind.ends_with("counter"), name.ends_with("_total"), "{name}");
            family = name.to_owned();
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let name = sample.split('{').next().unwrap();
        assert_eq!(name, family, "{line}");
        if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let inner = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap();
            for label in inner.split("\",") {
                let (label, text) = label.split_once("=\"").unwrap();
                assert!(is_name(label) && !text.trim_end_matches('"').contains('"'), "{line}");
            }
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there once");
    }
    samples
}

/// Parses the text with the parser of the Prometheus project, and compares its samples with those of the test.
fn check_with_prometheus(text: &str, samples: &Samples) {
    let script = "import sys\ntry:\n from prometheus_client.parser import text_string_to_metric_families as parse\n\
        except ImportError:\n sys.exit(3)\nprint(sum(len(family.samples) for family in parse(sys.stdin.read())))";
    let mut python = Command::new("python3");
    python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some((_, installed)) = std::env::vars().find(|(name, _)| name == "SRVD_TEST_PYTHON") {
        python.env("PYTHONPATH", installed);
    }
    let in_ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    let Ok(mut python) = python.spawn() else {
        return assert!(!in_ci, "python3 is missing");
    };
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let read = python.wait_with_output().unwrap();
    if read.status.code() == Some(3) {
        return assert!(!in_ci, "the parser is missing: scripts/test.sh installs it");
    }
    let count = String::from_utf8_lossy(&read.stdout).trim().to_owned();
    assert_eq!((read.status.code(), count), (Some(0), samples.len().to_string()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_count_calls_logins_accounts_and_refusals() {
    let daemon = fake::home(fake::HAPPY).start();
    let bearer = ("Authorization", "Bearer {token}");
    let host = ("Host", "{host}");
    assert_eq!(tcp(&daemon, "GET /metrics", &[host]).0, 401);
    assert_eq!(tcp(&daemon, "GET /metrics", &[("Host", "evil.example"), bearer]).0, 403);
    let done = crate::logins::log_in(&daemon, json!({})).await;
    assert_eq!(done["status"], "success", "{done}");
    let _ = daemon.refused("bundle.get", json!({"bundleId": "no-such-bundle"})).await;
    let _ = daemon.refused("no.such", json!({})).await;
    let _open = daemon.client().await;
    let (status, head, text) = tcp(&daemon, "GET /metrics", &[host, bearer]);
    assert_eq!(status, 200);
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    let samples = parsed(&text);
    check_with_prometheus(&text, &samples);
    let at_least = |sample: &str, least: f64| {
        let value = samples.get(sample).unwrap_or_else(|| panic!("{sample} in {text}"));
        assert!(*value >= least, "{sample} is {value}");
    };
    for (sample, least) in [
        ("srvd_connections", 1.0),
        (r#"srvd_calls_total{method="auth.start",outcome="ok"}"#, 1.0),
        (r#"srvd_calls_total{method="bundle.get",outcome="not_found"}"#, 1.0),
        (r#"srvd_calls_total{method="",outcome="method_not_found"}"#, 1.0),
        (r#"srvd_refused_total{reason="Host"}"#, 1.0),
        (r#"srvd_refused_total{reason="token"}"#, 1.0),
        (r#"srvd_logins_ended_total{ending="success",kind=""}"#, 1.0),
        (r#"srvd_accounts{provider="fake",status="valid"}"#, 1.0),
        ("srvd_store_up", 1.0),
        ("srvd_store_latency_seconds", 0.0),
    ] {
        at_least(sample, least);
    }
    for secret in
        [done["email"].as_str().unwrap_or("no e-mail"), "no-such-bundle", "evil.example", &daemon.tcp().1]
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
