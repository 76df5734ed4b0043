//! Recordings of real CLIs, read as a session reads them.

use std::io::Cursor;

use tokio::io::AsyncReadExt;

use super::output::{Output, Reader};
use crate::matcher::{Matcher, Seen};
use crate::{Registry, Terminal};

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
async fn replay(readers: Vec<Reader>, terminal: Terminal, matcher: impl Fn() -> Matcher) -> Vec<Seen> {
    let mut output = Output::new(readers, terminal, 8192, matcher);
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
            vec![url("https://auth.openai.com/codex/device".into(), true), code("ABCD-12345"), logged_in()],
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
        // What was recorded on a terminal is read as a screen as well.
        let pty: &[Terminal] = if name.ends_with("-pty") { &[Terminal::WIDE] } else { &[] };
        for (terminal, cut) in
            [Terminal::Pipe].iter().chain(pty).flat_map(|on| (0..=longest).map(move |at| (*on, at)))
        {
            let reader = |bytes: &Vec<u8>| -> Reader {
                let (head, tail) = bytes.split_at(cut.min(bytes.len()));
                Box::new(Cursor::new(head.to_vec()).chain(Cursor::new(tail.to_vec())))
            };
            let heard = replay(streams.iter().map(reader).collect(), terminal, matcher).await;
            // Two streams have no order among each other.
            let complete = expected.iter().all(|seen| heard.contains(seen)) && heard.len() == expected.len();
            let same = if streams.len() == 1 { heard == expected } else { complete };
            assert!(same, "{name} on {terminal:?} cut at {cut}: {heard:#?}");
        }
    }
}
