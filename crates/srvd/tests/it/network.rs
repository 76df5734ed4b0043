//! `[network]`: a real proxy on this machine, and requests, logins and launches that go through it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::standin::tls;
use crate::support::Home;

const KEY: &str = "sk-proj-planted-secret-0123456789abcdefghij";

/// A vendor with a certificate of an authority that no machine knows. It accepts every key.
async fn vendor() -> (String, std::net::SocketAddr) {
    let (authority, acceptor) = tls::authority(&["api.openai.com"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate leaves.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut byte = [0; 1];
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read == 1)
                {
                    head.push(byte[0]);
                }
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (authority, address)
}

/// The first lines of the requests to a proxy, with the header that proves the user.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that opens tunnels. Every host leads to the vendor.
async fn proxy(vendor: std::net::SocketAddr) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let noted = noted.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap() == 0 {
                        return;
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                    lines.push(line.trim().to_owned());
                }
                let user = lines.iter().find(|line| line.to_lowercase().starts_with("proxy-authorization"));
                noted.lock().unwrap().push(format!("{} {}", lines[0], user.cloned().unwrap_or_default()));
                let mut upstream = TcpStream::connect(vendor).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    (address, asked)
}

fn submit() -> serde_json::Value {
    json!({"providerId": "openai", "apiKey": KEY, "accountName": "main", "bundleName": "keys"})
}

/// A CLI that fails as without a network, and tells which variables it has.
fn codex(home: &Home) {
    let bin = home.dir("bin");
    crate::support::private_directory(&bin);
    let text = "#!/bin/sh\ncase \"$1\" in --version) echo codex-cli 0.171.0; exit 0;; esac\n\
        env | sort > \"$HOME/variables\"\n\
        echo 'Error logging in with device code: error sending request for url (https://auth.openai.com/x)' >&2\n\
        exit 1\n";
    std::fs::write(bin.join("codex"), text).unwrap();
    std::fs::set_permissions(bin.join("codex"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_logins_and_launches_obey_the_one_setting() {
    let (authority, address) = vendor().await;
    let (proxy, asked) = proxy(address).await;
    let home = Home::new();
    codex(&home);
    let file = home.dir("company.pem");
    std::fs::write(&file, &authority).unwrap();
    let toml = format!(
        "[network]\nproxy = \"http://ann:planted-pass@{proxy}\"\nno_proxy = [\".corp.test\"]\nca_file = \"{}\"\n",
        file.display()
    );
    let bin = home.dir("bin");
    let daemon = home.search(bin).config("srvd.toml", &toml).start();
    let done = daemon.call("auth.submitapikey", submit()).await;
    assert_eq!((&done["success"], &done["status"]), (&json!(true), &json!("valid")), "{done}");
    // "ann:planted-pass" in base64.
    let expect = "CONNECT api.openai.com:443 HTTP/1.1 Proxy-Authorization: Basic YW5uOnBsYW50ZWQtcGFzcw==";
    assert_eq!(
        asked.lock().unwrap().clone().iter().map(|line| line.to_lowercase()).collect::<Vec<_>>(),
        [expect.to_lowercase()]
    );

    let started = daemon.call("auth.start", json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let ended = daemon.ended(started["sessionId"].as_str().unwrap()).await;
    assert!(ended["error"].as_str().unwrap().contains("error sending request"), "{ended}");
    let hint = ended["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("the proxy http://{proxy}/")) && hint.contains("[network]"), "{hint}");
    let variables = std::fs::read_to_string(daemon.home.dir("home/variables")).unwrap();
    let variables: BTreeSet<&str> = variables.lines().collect();
    let whole = format!("http://ann:planted-pass@{proxy}");
    let bundle = daemon.home.dir("data/ca-bundle.pem");
    let expected = [
        format!("HTTPS_PROXY={whole}"),
        format!("https_proxy={whole}"),
        format!("HTTP_PROXY={whole}"),
        "NO_PROXY=localhost,127.0.0.1,::1,.corp.test".to_owned(),
        "no_proxy=localhost,127.0.0.1,::1,.corp.test".to_owned(),
        format!("NODE_EXTRA_CA_CERTS={}", file.display()),
        format!("SSL_CERT_FILE={}", bundle.display()),
    ];
    for line in &expected {
        assert!(variables.contains(&**line), "{line} in {variables:?}");
    }
    assert!(std::fs::read_to_string(&bundle).unwrap().contains(authority.lines().nth(1).unwrap()));

    let launch = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"]})).await;
    for line in &expected {
        let (name, value) = line.split_once('=').unwrap();
        assert_eq!(launch["set"][name], value, "{launch}");
    }
    let dry = daemon.call("launch.resolve", json!({"bundleId": done["bundleId"], "dryRun": true})).await;
    assert_eq!(
        (&dry["set"]["HTTPS_PROXY"], &dry["set"]["OPENAI_API_KEY"]),
        (&json!(""), &json!("")),
        "{dry}"
    );
    assert!(!daemon.log().contains("planted-pass"), "{}", daemon.log());
    let printed = String::from_utf8(daemon.home.run(&["--print-config"]).stdout).unwrap();
    assert!(
        printed.contains(&format!("proxy = \"http://{proxy}/\"")) && !printed.contains("planted-pass"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_login_names_the_setting_when_only_the_environment_has_a_proxy() {
    let home = Home::new();
    codex(&home);
    let bin = home.dir("bin");
    let daemon = home.search(bin).start_with(|command| command.env("HTTPS_PROXY", "http://127.0.0.1:9"));
    let variables = daemon.home.dir("home/variables");
    let started = daemon.call("auth.start", json!({"providerId": "codex", "recipe": "device-auth"})).await;
    let ended = daemon.ended(started["sessionId"].as_str().unwrap()).await;
    let hint = ended["hint"].as_str().unwrap();
    assert!(hint.contains("HTTPS_PROXY") && hint.contains("[network]"), "{hint}");
    assert!(!std::fs::read_to_string(&variables).unwrap().contains("PROXY"), "a variable was passed on");
    assert!(daemon.log().contains("HTTPS_PROXY"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn command_and_checkup_name_the_setting_when_only_the_shell_has_a_proxy() {
    let home = Home::new();
    codex(&home);
    let bin = home.dir("bin");
    let daemon = home.search(bin).start();
    let mut login = daemon.home.command(&["login", "codex", "--recipe", "device-auth"]);
    let output = login.env("NODE_EXTRA_CA_CERTS", "/ca.pem").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NODE_EXTRA_CA_CERTS") && text.contains("[network] in srvd.toml"), "{text}");
    let mut doctor = daemon.home.command(&["doctor", "--json"]);
    let output = doctor.env("https_proxy", "http://127.0.0.1:9").output().unwrap();
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let network = findings["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == "network");
    assert_eq!(network.unwrap()["detail"], "https_proxy");
}
