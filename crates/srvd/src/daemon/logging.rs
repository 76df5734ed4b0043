//! The log: text or JSON on standard error, filtered, without secrets.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};

use crate::base::redact::Redactor;
use crate::config::{Config, LogFormat};

/// Crates that print whole messages or statements below `info`, which may contain keys. The filter cannot enable them.
const CAPPED: &[&str] = &["tungstenite", "tokio_tungstenite", "hyper", "hyper_util", "sqlx", "rustls", "h2"];

/// Starts the log. It is called once per process; a second call changes nothing.
///
/// # Errors
/// The parser's error when the filter is not valid.
pub(crate) fn start(config: &Config, redactor: &Redactor) -> Result<(), ParseError> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&config.log)?).with_writer(redactor.stderr());
    // An existing subscriber is kept, as in tests that share a process.
    let _ = match config.log_format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(terminal).with_target(false).try_init()
        }
        LogFormat::Json => builder.fmt_fields(JsonFields::new()).event_format(json_lines()).try_init(),
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
    let log = tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(json_lines());
    let log = log.with_writer(Redactor::default().stderr()).finish();
    tracing::subscriber::with_default(log, || tracing::error!(exit_code, hint, "{message}"));
}

/// A line of JSON. The call that it belongs to is its `span`.
fn json_lines() -> Format<Json> {
    Format::default().json().flatten_event(true).with_span_list(false)
}

fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(text)?;
    for name in CAPPED {
        filter = filter.add_directive(format!("{name}=info").parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use rpc_engine::{Broker, BrokerConfig, Call, Engine, Limits, Router, RpcError};
    use tracing::Subscriber;

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
            let log = tracing_subscriber::fmt().with_ansi(false).with_target(false);
            log.with_writer(out).finish()
        });
        let named = r#"INFO call{method="srvd.ping" request=1 connection=0}: a call is running answer=42"#;
        assert!(asked.ends_with(named), "{asked}");
        assert!(other.ends_with("INFO no call is running answer=43"), "{other}");

        let (asked, other) = logged(|out| {
            let log = tracing_subscriber::fmt().fmt_fields(JsonFields::new());
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
        for text in ["trace", "tungstenite=trace", "sqlx=trace,debug"] {
            let text = filter(text).unwrap().to_string();
            for name in CAPPED {
                assert!(text.contains(&format!("{name}=info")), "{text}");
                assert!(!text.contains(&format!("{name}=trace")), "{text}");
            }
        }
        assert!(filter("no such=level=at all").is_err());
    }
}
