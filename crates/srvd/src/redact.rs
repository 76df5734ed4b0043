//! Keeps live secrets out of the log, whatever a library prints.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The secrets that are in use. Every clone is the same list.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    /// Secrets of the daemon itself, which stay.
    pinned: Vec<Zeroizing<Vec<u8>>>,
    forms: Vec<Zeroizing<Vec<u8>>>,
    search: Option<AhoCorasick>,
}

/// What is shorter would blank out ordinary words.
const SHORTEST: usize = 8;
/// The newest secrets that are kept; a key that has been sealed is not printed by anybody later.
const MOST: usize = 256;

impl Redactor {
    /// Blanks out this secret from now on, plain, in base64 and percent-encoded. Clients' secrets push each other out
    /// after a while; the caller bounds their length.
    pub fn hide(&self, secret: &SecretString) {
        self.add(secret.expose_secret().as_bytes(), |known| &mut known.forms);
    }

    /// The same for a secret of the daemon itself, for as long as it runs.
    pub fn pin(&self, secret: &SecretString) {
        self.add(secret.expose_secret().as_bytes(), |known| &mut known.pinned);
    }

    fn add(&self, secret: &[u8], list: impl Fn(&mut Known) -> &mut Vec<Zeroizing<Vec<u8>>>) {
        if secret.len() < SHORTEST {
            return;
        }
        let encode =
            |engine: &base64::engine::GeneralPurpose| Zeroizing::new(engine.encode(secret).into_bytes());
        let percent: String = url::form_urlencoded::byte_serialize(secret).collect();
        let forms = [
            Zeroizing::new(secret.to_vec()),
            encode(&base64::engine::general_purpose::STANDARD_NO_PAD),
            encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD),
            Zeroizing::new(percent.into_bytes()),
        ];
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let list = list(&mut known);
        for form in forms {
            if !list.contains(&form) {
                list.push(form);
            }
        }
        let excess = known.forms.len().saturating_sub(MOST);
        known.forms.drain(..excess);
        // The automaton that is quick to build: secrets come one at a time, and some are kilobytes long.
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::NoncontiguousNFA));
        match builder.build(known.pinned.iter().chain(&known.forms).map(|form| form.as_slice())) {
            Ok(search) => known.search = Some(search),
            Err(error) => tracing::error!(%error, "the log keeps blanking out the earlier secrets only"),
        }
    }

    /// The line with every secret replaced.
    pub fn clean<'a>(&self, line: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &known.search {
            Some(search) if search.is_match(line) => {
                let blank = vec!["[REDACTED]"; search.patterns_len()];
                search.replace_all_bytes(line, &blank).into()
            }
            _ => line.into(),
        }
    }

    /// A maker of writers to standard error, for the log.
    pub fn stderr(&self) -> impl Fn() -> RedactingWriter<io::Stderr> + Send + Sync + 'static {
        let redactor = self.clone();
        move || RedactingWriter { redactor: redactor.clone(), inner: io::stderr() }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// Cleans each line on its way. The log's formatter hands over one whole line a call.
pub struct RedactingWriter<W> {
    redactor: Redactor,
    inner: W,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&self.redactor.clean(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_blanked() {
        let redactor = Redactor::default();
        redactor.hide(&SecretString::from("sk-planted/+key=1"));
        redactor.hide(&SecretString::from("short"));
        let mut writer = RedactingWriter { redactor: redactor.clone(), inner: Vec::new() };
        let forms = ["sk-planted/+key=1", "c2stcGxhbnRlZC8ra2V5PTE", "sk-planted%2F%2Bkey%3D1"];
        writeln!(writer, "a {} b {} c {} short", forms[0], forms[1], forms[2]).unwrap();
        assert_eq!(writer.inner, b"a [REDACTED] b [REDACTED] c [REDACTED] short\n");
        assert_eq!(format!("{redactor:?}"), "Redactor");
    }

    #[test]
    fn the_list_is_bounded() {
        let redactor = Redactor::default();
        redactor.pin(&SecretString::from("the-daemons-own"));
        for number in 0..1000 {
            redactor.hide(&SecretString::from(format!("secret-number-{number}")));
        }
        assert!(redactor.known.read().unwrap().forms.len() <= MOST);
        assert_eq!(&*redactor.clean(b"secret-number-999"), b"[REDACTED]");
        assert_eq!(&*redactor.clean(b"the-daemons-own"), b"[REDACTED]");
    }
}
