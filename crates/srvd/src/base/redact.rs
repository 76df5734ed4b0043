//! Removal of live secrets from the log, even when a library prints them.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use identity_store::ReceivedTokens;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The secrets in use. All clones share the same list.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    known: Arc<RwLock<KnownSecrets>>,
}

/// A form in which a secret may be written.
type Form = Arc<Zeroizing<Vec<u8>>>;

/// The known forms. When many tokens are refreshed, many forms are added per second, while log lines are short and few.
/// A table keyed by first bytes is therefore the only search structure.
#[derive(Default)]
struct KnownSecrets {
    /// The forms, keyed by their first bytes.
    forms: HashMap<[u8; SHORTEST], Vec<Form>>,
    /// The forms that are dropped when newer ones arrive, oldest first.
    passing: VecDeque<Form>,
}

/// The minimum length of a secret that is removed, in bytes. A shorter one would also remove ordinary words.
const SHORTEST: usize = 8;
/// The maximum number of temporary forms. A key is no longer printed once it has been encrypted.
const MOST: usize = 256;
const BLANK: &[u8] = b"[REDACTED]";

impl Redactor {
    /// Removes this secret from the log from now on: as plain text, base64 and percent-encoded. Older secrets are
    /// dropped when many newer ones arrive. The caller must limit their length.
    pub(crate) fn hide(&self, secret: &SecretString) {
        self.add(secret, KnownSecrets::pass);
    }

    /// Removes tokens that have just been received from the log from now on.
    pub(crate) fn hide_received(&self, received: &ReceivedTokens) {
        let tokens = [Some(&received.access), received.refresh.as_ref(), received.id.as_ref()];
        tokens.into_iter().flatten().for_each(|token| self.hide(token));
    }

    /// Removes one of the daemon's secrets from the log for as long as the daemon runs.
    pub(crate) fn pin(&self, secret: &SecretString) {
        self.add(secret, KnownSecrets::stay);
    }

    fn add(&self, secret: &SecretString, keep: impl Fn(&mut KnownSecrets, Zeroizing<Vec<u8>>)) {
        let secret = secret.expose_secret().as_bytes();
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
        for form in forms {
            keep(&mut known, form);
        }
    }

    /// Returns the line with every secret replaced.
    pub(crate) fn clean<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut cleaned = Vec::new();
        let (mut at, mut copied) = (0, 0);
        while at < line.len() {
            let length = known.at_the_start(&line[at..]);
            if length == 0 {
                at += 1;
                continue;
            }
            cleaned.extend_from_slice(&line[copied..at]);
            cleaned.extend_from_slice(BLANK);
            at += length;
            copied = at;
        }
        if copied == 0 {
            return line.into();
        }
        cleaned.extend_from_slice(&line[copied..]);
        cleaned.into()
    }

    /// Returns a factory of writers to standard error, for the log.
    pub(crate) fn stderr(&self) -> impl Fn() -> RedactingWriter<io::Stderr> + Send + Sync + 'static {
        let redactor = self.clone();
        move || RedactingWriter { redactor: redactor.clone(), inner: io::stderr() }
    }
}

impl KnownSecrets {
    /// Stores a form until newer ones replace it.
    fn pass(&mut self, form: Zeroizing<Vec<u8>>) {
        let (form, is_new) = self.insert(form);
        if is_new {
            self.passing.push_back(form);
        }
        while self.passing.len() > MOST {
            let Some(oldest) = self.passing.pop_front() else { return };
            self.forget(&oldest);
        }
    }

    /// Stores a form permanently.
    fn stay(&mut self, form: Zeroizing<Vec<u8>>) {
        let (form, _) = self.insert(form);
        self.passing.retain(|passing| !Arc::ptr_eq(passing, &form));
    }

    /// Returns the stored form, and `true` if it is new.
    fn insert(&mut self, form: Zeroizing<Vec<u8>>) -> (Form, bool) {
        // A form is at least as long as its secret, so it has a start.
        let same_start = self.forms.entry(start(&form).unwrap_or_default()).or_default();
        if let Some(known) = same_start.iter().find(|known| ***known == form) {
            return (Arc::clone(known), false);
        }
        let form = Arc::new(form);
        same_start.push(Arc::clone(&form));
        (form, true)
    }

    fn forget(&mut self, form: &Form) {
        let Some(start) = start(form) else { return };
        if let Some(same_start) = self.forms.get_mut(&start) {
            same_start.retain(|known| !Arc::ptr_eq(known, form));
            if same_start.is_empty() {
                self.forms.remove(&start);
            }
        }
    }

    /// Returns the length of the longest form at the start of the text; 0 if there is none.
    fn at_the_start(&self, text: &[u8]) -> usize {
        let same_start = start(text).and_then(|start| self.forms.get(&start)).into_iter().flatten();
        same_start.filter(|form| text.starts_with(form)).map(|form| form.len()).max().unwrap_or_default()
    }
}

fn start(text: &[u8]) -> Option<[u8; SHORTEST]> {
    text.first_chunk().copied()
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

/// A writer that removes secrets from each line. The log's formatter writes one complete line per call.
pub(crate) struct RedactingWriter<W> {
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
    fn redactor_removes_plain_base64_and_percent_encoded_secrets() {
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
    fn redactor_drops_the_oldest_unpinned_secrets_when_full() {
        let redactor = Redactor::default();
        redactor.pin(&SecretString::from("the-daemons-own"));
        for number in 0..1000 {
            redactor.hide(&SecretString::from(format!("secret-number-{number}")));
        }
        let forms: usize = redactor.known.read().unwrap().forms.values().map(Vec::len).sum();
        assert!(forms <= MOST + 4, "{forms}");
        assert_eq!(&*redactor.clean(b"secret-number-999"), b"[REDACTED]");
        assert_eq!(&*redactor.clean(b"secret-number-0 "), b"secret-number-0 ");
        assert_eq!(&*redactor.clean(b"the-daemons-own"), b"[REDACTED]");
    }

    #[test]
    fn redactor_keeps_a_hidden_secret_when_it_is_pinned_later() {
        let redactor = Redactor::default();
        redactor.hide(&SecretString::from("the-daemons-own"));
        redactor.pin(&SecretString::from("the-daemons-own"));
        for number in 0..1000 {
            redactor.hide(&SecretString::from(format!("secret-number-{number}")));
        }
        assert_eq!(&*redactor.clean(b"the-daemons-own"), b"[REDACTED]");
    }

    #[test]
    fn redactor_finds_overlapping_and_adjacent_secrets() {
        let redactor = Redactor::default();
        for secret in ["token-of-eve", "token-of-eve-and-adam", "n-of-eve-too"] {
            redactor.hide(&SecretString::from(secret));
        }
        let check = |line: &str, clean: &str| assert_eq!(&*redactor.clean(line.as_bytes()), clean.as_bytes());
        check("", "");
        check("token", "token");
        check("token-of-ev", "token-of-ev");
        check("token-of-eve", "[REDACTED]");
        check("token-of-eve-and", "[REDACTED]-and");
        check("token-of-eve-and-adam", "[REDACTED]");
        check("token-of-evetoken-of-eve x", "[REDACTED][REDACTED] x");
        check("a toke token-of-eve.", "a toke [REDACTED].");
        check("token-of-e n-of-eve-too", "token-of-e [REDACTED]");
    }
}
