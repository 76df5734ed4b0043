//! The output streams of a child, read as they come and never left unread.

use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};

use crate::lines::{Line, Lines};
use crate::matcher::{Matcher, Seen, Wholeness};

const CHUNK: usize = 8 * 1024;

/// All output streams of one child.
pub(crate) struct Output {
    streams: Vec<Stream>,
    /// Which stream is looked at first, so that a flood on one cannot silence the other.
    turn: usize,
}

struct Stream {
    reader: Option<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: Box<[u8]>,
    lines: Lines,
    matcher: Matcher,
    /// The prompt of the present line has been reported.
    prompted: bool,
}

/// What a look at the output found.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) seen: Vec<Seen>,
    /// The last whole line that may explain a failure.
    pub(crate) words: Option<String>,
}

impl Output {
    pub(crate) fn new(
        readers: Vec<Box<dyn AsyncRead + Send + Unpin>>,
        line_limit: usize,
        matcher: impl Fn() -> Matcher,
    ) -> Self {
        let stream = |reader| Stream {
            reader: Some(reader),
            buffer: vec![0; CHUNK].into_boxed_slice(),
            lines: Lines::new(line_limit),
            matcher: matcher(),
            prompted: false,
        };
        Self { streams: readers.into_iter().map(stream).collect(), turn: 0 }
    }

    /// Whether every stream has ended.
    pub(crate) fn ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.reader.is_none())
    }

    /// Whether some line is unfinished.
    pub(crate) fn has_partial(&self) -> bool {
        self.streams.iter().any(|stream| stream.lines.has_partial())
    }

    /// Waits for the next chunk of any stream and says what it means. Pends for ever once all have ended.
    /// Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> News {
        let count = self.streams.len();
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let streams = &mut self.streams;
        let (position, length) = std::future::poll_fn(|context| {
            for offset in 0..count {
                let position = turn.wrapping_add(offset) % count;
                let stream = &mut streams[position];
                let Some(reader) = &mut stream.reader else { continue };
                let mut buffer = ReadBuf::new(&mut stream.buffer);
                match Pin::new(reader).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => return Poll::Ready((position, buffer.filled().len())),
                    // A stream that cannot be read any more has nothing more to say.
                    Poll::Ready(Err(_)) => return Poll::Ready((position, 0)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await;
        self.streams[position].take(length)
    }

    /// What the unfinished lines mean, now that they have been still for a while.
    pub(crate) fn still(&mut self, wholeness: Wholeness) -> News {
        let mut news = News::default();
        for stream in &mut self.streams {
            if let Some(line) = stream.lines.partial() {
                stream.understand(&line, wholeness, &mut news);
            }
        }
        news
    }

    /// Ends the present lines, as the Enter key does on a screen: what follows an answer is a new line, and a
    /// prompt in it is a new prompt.
    pub(crate) fn break_lines(&mut self) {
        for stream in &mut self.streams {
            stream.lines.finish();
            stream.prompted = false;
        }
    }
}

impl Stream {
    fn take(&mut self, length: usize) -> News {
        let mut news = News::default();
        let mut whole = Vec::new();
        if length == 0 {
            self.reader = None;
            whole.extend(self.lines.finish());
        } else {
            self.lines.feed(&self.buffer[..length], |line| whole.push(line));
        }
        for line in &whole {
            self.understand(line, Wholeness::Whole, &mut news);
            self.prompted = false;
        }
        if !self.prompted
            && let Some(line) = self.lines.partial().filter(|line| self.matcher.is_prompt(&line.text))
        {
            self.understand(&line, Wholeness::Partial, &mut news);
        }
        news
    }

    fn understand(&mut self, line: &Line, wholeness: Wholeness, news: &mut News) {
        for seen in self.matcher.read(line, wholeness) {
            if seen == Seen::Prompt && std::mem::replace(&mut self.prompted, true) {
                continue;
            }
            news.seen.push(seen);
        }
        if wholeness == Wholeness::Whole && explains(&line.text) {
            news.words = Some(line.text.clone());
        }
    }
}

/// Whether a line may explain why a login did not come about. Others are not kept: some CLIs print tokens.
fn explains(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["error", "fail", "couldn't", "could not", "cannot", "unable", "denied", "refused", "invalid", "not "]
        .iter()
        .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::Registry;

    type Reader = Box<dyn AsyncRead + Send + Unpin>;

    /// The recorded bytes of each stream.
    fn recorded(name: &str) -> Vec<Vec<u8>> {
        let path = format!("{}/tests/fixtures/{name}.events", env!("CARGO_MANIFEST_DIR"));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let (_, stream, text): (f64, String, String) = serde_json::from_str(line).unwrap();
            if stream == "err" { &mut second } else { &mut first }.extend_from_slice(text.as_bytes());
        }
        [first, second].into_iter().filter(|bytes| !bytes.is_empty()).collect()
    }

    /// Everything that a session would hear, first mentions only.
    async fn replay(readers: Vec<Reader>, matcher: impl Fn() -> Matcher) -> Vec<Seen> {
        let mut output = Output::new(readers, 8192, matcher);
        let mut heard = Vec::new();
        while !output.ended() {
            for seen in output.next().await.seen {
                if !heard.contains(&seen) {
                    heard.push(seen);
                }
            }
        }
        heard
    }

    fn url(url: String, device: bool) -> Seen {
        Seen::Url { url, openable: true, device }
    }

    const CODEX: &str = "https://auth.openai.com/oauth/authorize?response_type=code&client_id=app_EMoamEEZ73f0CkXaXp7hrann&redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback&code_challenge={challenge}&code_challenge_method=S256&state={state}&scope=openid+profile+email+offline_access+api.connectors.read+api.connectors.invoke&id_token_add_organizations=true&codex_cli_simplified_flow=true&originator=codex_cli_rs";
    const CLAUDE: &str = "https://claude.com/cai/oauth/authorize?code=true&client_id=9d1c250a-e61b-44d9-88ed-5944d1962f5e&response_type=code&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth%2Fcode%2Fcallback&scope={scope}&code_challenge={challenge}&code_challenge_method=S256&state={state}";
    const SCOPE: &str = "org%3Acreate_api_key+user%3Aprofile+user%3Ainference+user%3Asessions%3Aclaude_code+user%3Amcp_servers+user%3Afile_upload+user%3Aplugins+user%3Aprivacy_consents%3Awrite+org%3Adesktop_config";

    fn codex(challenge: &str, state: &str) -> Seen {
        url(CODEX.replace("{challenge}", challenge).replace("{state}", state), false)
    }

    fn claude(scope: &str, challenge: &str, state: &str) -> Seen {
        let text = CLAUDE.replace("{scope}", scope).replace("{challenge}", challenge);
        url(text.replace("{state}", state), false)
    }

    type Recording = (&'static str, (&'static str, &'static str), Vec<Seen>);

    fn logged_in() -> Seen {
        Seen::LoggedIn { email: None }
    }

    fn code(code: &str) -> Seen {
        Seen::DeviceCode(code.to_owned())
    }

    fn of_codex() -> Vec<Recording> {
        vec![
            (
                "codex-login-pipe",
                ("codex", "login"),
                vec![codex(
                    "b52AqdhWoHABcNGP6dZ-ibR4z4oB6Be_XMU9aLguSuM",
                    "AT4_UFWax6x8JcgUMW6av9_Z0QuYhNVre-rQ0LGnBMo",
                )],
            ),
            (
                "codex-login-pty",
                ("codex", "login"),
                vec![codex(
                    "dGYYrTvv541wJlEZrh1siSCG8a5GW2sVcvaqYGVGHoo",
                    "A80t3fWq_SODhBD1L7CPz-Ip2Swjcv-IgweD-lDvyTw",
                )],
            ),
            (
                "codex-login-fake",
                ("codex", "login"),
                vec![
                    codex(
                        "U6i6iB3Mt-jfkmBO1cipHPSiuEkHDKE2W1DDoLvRwZ0",
                        "eJkbKqMfhxt7RuW_3oZiW0-I8q2KOTgYX58Wjmk4lvs",
                    ),
                    logged_in(),
                ],
            ),
            (
                "codex-device-pipe",
                ("codex", "device-auth"),
                vec![
                    url("https://auth.openai.com/codex/device".into(), true),
                    code("ABCD-12345"),
                    logged_in(),
                ],
            ),
        ]
    }

    fn of_claude() -> Vec<Recording> {
        vec![
            (
                "claude-login-pipe",
                ("claude", "login"),
                vec![
                    claude(
                        SCOPE,
                        "yNEbfS1lvL_7eXvgzErJudzvm759sCx4ErMMb2HKjRI",
                        "kAeycczK-f6NfHp3hfxZtgGeaJ9g5VZn5g4oP_XEk3I",
                    ),
                    Seen::Prompt,
                    Seen::Refused,
                ],
            ),
            (
                "claude-login-pty",
                ("claude", "login"),
                vec![
                    claude(
                        SCOPE,
                        "0XoWjB3YvL7HC_FAUxQ3XOuoTUdoTEfM0yuSY71Dmqw",
                        "possbH2f1iPZN36kcqQXfQXbviSPyF_zr2iO_TVhTxI",
                    ),
                    Seen::Prompt,
                    Seen::Refused,
                ],
            ),
            (
                "claude-login-fake-pipe",
                ("claude", "login"),
                vec![
                    claude(
                        SCOPE,
                        "u2vIxMsEkMptbtZZxFhm0eBBn9OWcz5Gfh3bltO6Keo",
                        "Fw9qx0PlyA8DoMUVACKk1LxVzaTuDJJozjj4DIwXBMs",
                    ),
                    Seen::Prompt,
                    logged_in(),
                ],
            ),
            (
                "claude-login-fake-pty",
                ("claude", "login"),
                vec![
                    claude(
                        SCOPE,
                        "nWyIOgdbhuhoFFQC5xZMoz1_PEECxW07TzfZ4SoNVYI",
                        "wlPT0AAl9etMjpG6SG0-5IZjwdpvUInjZ5dfp4vLuGs",
                    ),
                    Seen::Prompt,
                    logged_in(),
                ],
            ),
            // Wrapped at 80 columns by the CLI itself: the hyperlink's target is whole.
            (
                "claude-setup-token-pty",
                ("claude", "login"),
                vec![claude(
                    "user%3Ainference",
                    "hw145voAI8rMVeoscBew0p5F4L56CtQbSDQTq_KrT0M",
                    "oW2pBp5oe_aHzxXcN5YYTQfznkkbMW2x8kuY3IJTtgo",
                )],
            ),
        ]
    }

    fn of_kimi() -> Vec<Recording> {
        let kimi = || url("https://www.kimi.com/code/authorize_device?user_code=WXYZ-1234".into(), true);
        vec![
            ("kimicode-login-pipe", ("kimi-code", "login"), vec![kimi(), code("WXYZ-1234"), logged_in()]),
            ("kimicode-login-pty", ("kimi-code", "login"), vec![kimi(), code("WXYZ-1234"), logged_in()]),
            (
                "kimicode-denied",
                ("kimi-code", "login"),
                vec![
                    kimi(),
                    code("WXYZ-1234"),
                    Seen::Denied("Login cancelled: Authorization denied: denied".into()),
                ],
            ),
        ]
    }

    #[tokio::test]
    async fn recordings_of_real_clis_cut_at_every_byte() {
        let registry = Registry::builtin().unwrap();
        for (name, (provider, recipe), expected) in [of_codex(), of_claude(), of_kimi()].concat() {
            let provider = registry.provider(provider).unwrap();
            let matcher = || Matcher::new(provider, provider.recipe(recipe).unwrap());
            let streams = recorded(name);
            let longest = streams.iter().map(Vec::len).max().unwrap();
            for cut in 0..=longest {
                let reader = |bytes: &Vec<u8>| -> Reader {
                    let (head, tail) = bytes.split_at(cut.min(bytes.len()));
                    Box::new(Cursor::new(head.to_vec()).chain(Cursor::new(tail.to_vec())))
                };
                let heard = replay(streams.iter().map(reader).collect(), matcher).await;
                // Two streams have no order among each other.
                let complete =
                    expected.iter().all(|seen| heard.contains(seen)) && heard.len() == expected.len();
                let same = if streams.len() == 1 { heard == expected } else { complete };
                assert!(same, "{name} cut at {cut}: {heard:#?}");
            }
        }
    }
}
