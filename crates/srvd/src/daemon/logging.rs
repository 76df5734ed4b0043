//! The log: text or JSON on standard error, filtered, without secrets.

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

use crate::base::redact::Redactor;
use crate::config::{Config, LogFormat};

/// Crates that print whole messages or statements below `info`, which may contain keys. The filter cannot enable them.
const CAPPED: &[&str] = &["tungstenite", "tokio_tungstenite", "hyper", "hyper_util", "sqlx", "rustls", "h2"];

/// Starts the log. It is called once per process; a second call changes nothing.
///
/// # Errors
/// The parser's error when the filter is not valid.
pub(crate) fn start(config: &Config, redactor: &Redactor) -> Result<(), ParseError> {
    let registry = Registry::default().with(filter(&config.log)?);
    let lines = fmt::layer().with_writer(redactor.stderr());
    // An existing subscriber is kept, as in tests that share a process.
    let _ = match config.log_format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(terminal).with_target(false)).try_init()
        }
        LogFormat::Json => {
            registry.with(lines.fmt_fields(JsonFields::new()).event_format(json_lines())).try_init()
        }
    };
    // The message of a panic may quote secret data, so only its location is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked");
    }));
    Ok(())
}

/// Writes the error that ended a start as a line of a JSON log, whatever the filter is.
pub(crate) fn start_failed(message: &str, hint: &str, exit_code: u8) {
    let log = fmt().fmt_fields(JsonFields::new()).event_format(json_lines());
    let log = log.with_writer(Redactor::default().stderr()).finish();
    tracing::subscriber::with_default(log, || tracing::error!(exit_code, hint, "{message}"));
}

/// A line of JSON. The call that it belongs to is its `span`.
fn json_lines() -> Format<Json> {
    Format::default().json().flatten_event(true).with_span_list(false)
}

/// Returns the filter of a text such as `info` or `srvd=debug,info`.
fn filter(text: &str) -> Result<Targets, ParseError> {
    let asked: Targets = text.parse()?;
    let default = asked.default_level();
    let is_capped = |target: &str| {
        CAPPED.iter().any(|name| {
            target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    let asked = asked.into_iter().map(|(target, level)| {
        let level = if is_capped(&target) { level.min(LevelFilter::INFO) } else { level };
        (target, level)
    });
    let capped = CAPPED.iter().map(|name| ((*name).to_owned(), LevelFilter::INFO));
    // A later entry replaces an earlier one of the same target, so a lower level that the text asks for stays.
    let filter = Targets::new().with_targets(capped).with_targets(asked);
    Ok(match default {
        Some(level) => filter.with_default(level),
        None => filter,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use rpc_engine::{Broker, BrokerConfig, Call, Engine, Limits, Router, RpcError};
    use tracing::{Level, Subscriber};

    use super::*;
    use crate::wire::daemon::{Ping, Pong};
    use crate::wire::events;

    async fn talkative((): (), _: Call, Ping { text }: Ping) -> Result<Pong, RpcError> {
        tracing::info!(answer = 42, "a call is running");
        Ok(Pong { text })
    }

    /// Logs two lines, one of them from a call, and returns them.
    fn logged<S>(log: impl FnOnce(Arc<File>) -> S) -> (String, String)
    where
        S: Subscriber + Send + Sync + 'static,
    {
        let out = Arc::new(tempfile::tempfile().unwrap());
        tracing::subscriber::with_default(log(Arc::clone(&out)), || {
            let service =
                Router::new().on(talkative).build(&(), crate::rpc::routes::info(), Limits::default());
            let broker =
                Broker::new(BrokerConfig { epoch: "1".to_owned(), keep: 1, methods: events::METHODS });
            let engine = Engine::new(service, broker);
            let reply = pin!(engine.post(br#"{"jsonrpc":"2.0","id":7,"method":"srvd.ping","params":{}}"#));
            assert!(matches!(reply.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Some(_))));
            tracing::info!(answer = 43, "no call is running");
        });
        let mut text = String::new();
        (&*out).rewind().unwrap();
        (&*out).read_to_string(&mut text).unwrap();
        let (first, second) = text.trim_end().split_once('\n').unwrap();
        (first.to_owned(), second.to_owned())
    }

    #[test]
    fn log_line_names_call_only_when_written_inside_it() {
        let (asked, other) = logged(|out| {
            let log = fmt().with_ansi(false).with_target(false);
            log.with_writer(out).finish()
        });
        let named = r#"INFO call{method="srvd.ping" request=1 connection=0}: a call is running answer=42"#;
        assert!(asked.ends_with(named), "{asked}");
        assert!(other.ends_with("INFO no call is running answer=43"), "{other}");

        let (asked, other) = logged(|out| {
            let log = fmt().fmt_fields(JsonFields::new());
            log.event_format(json_lines()).with_writer(out).finish()
        });
        let [asked, other] =
            [asked, other].map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
        let span = serde_json::json!({"name": "call", "method": "srvd.ping", "request": 1, "connection": 0});
        assert_eq!((&asked["span"], &asked["answer"]), (&span, &42.into()));
        assert_eq!((other.get("span"), &other["message"]), (None, &"no call is running".into()));
    }

    #[test]
    fn log_filter_caps_verbose_crates_at_info() {
        for text in ["trace", "tungstenite=trace", "sqlx=trace,debug", "hyper::proto=debug,trace"] {
            let filter = filter(text).unwrap();
            for name in CAPPED {
                for target in [(*name).to_owned(), format!("{name}::proto")] {
                    assert!(filter.would_enable(&target, &Level::INFO), "{text}: {target}");
                    assert!(!filter.would_enable(&target, &Level::DEBUG), "{text}: {target}");
                }
            }
        }
        let quiet = filter("hyper=warn,srvd=debug,info").unwrap();
        assert!(!quiet.would_enable("hyper", &Level::INFO));
        assert!(quiet.would_enable("srvd::login", &Level::DEBUG));
        assert!(!quiet.would_enable("rpc_engine", &Level::DEBUG));
        assert!(filter("no such=level=at all").is_err());
    }
}
