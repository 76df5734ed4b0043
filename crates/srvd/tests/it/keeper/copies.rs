//! Two directories with the same refresh token, of which each renewal ends the other.

use serde_json::json;

use super::{Login, Times, home_at};
use crate::support::namespace::inside;

#[test]
fn copies_of_a_login_are_named_and_not_renewed() {
    inside(async |vendors| {
        let home = home_at(&vendors);
        let (one, other) =
            (Login::plant(&home, "codex", "one").await, Login::plant(&home, "codex", "other").await);
        for login in [&one, &other] {
            login.write_codex("rt_1", Times { age: 2_000, left: 1_600 });
        }
        let daemon = home.start();
        for (login, copy) in [(&one, &other), (&other, &one)] {
            let kept = login.until(&daemon, "no copy is found", |kept| kept["state"] == "copied").await;
            assert_eq!(kept["copies"], json!([copy.account]), "{kept}");
        }
        for command in ["status", "doctor"] {
            let said = daemon.home.run(&[command]);
            let said = String::from_utf8(said.stdout).unwrap().replace('\n', " ");
            for login in [&one, &other] {
                assert!(said.contains(login.dir.to_str().unwrap()), "{command}: {said}");
            }
        }
        assert!(vendors.refreshes().is_empty());
        // A new login in one of them ends it.
        other.write_codex("rt_2", Times { age: 0, left: 3_600 });
        other.until(&daemon, "the copy is still there", |kept| kept["state"] == "waiting").await;
        vendors.accept_refresh_token("rt_1");
        one.until(&daemon, "the first login is not renewed", |kept| kept["outcome"] == "moved").await;
    });
}
