//! The steps for files and directories that other users can change, or that this user cannot use.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{fails, findings, program, remedy, severity, succeeds, typed};
use crate::support::Home;
use crate::support::fake::{self, HAPPY};

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns a home with a program that does what sudo does for root; `None` if this user is not root.
fn of_root() -> Option<Home> {
    let home = Home::new();
    if !rustix::process::geteuid().is_root() {
        return None; // Only root can give a file away and take it back.
    }
    program(&home, "sudo", "#!/bin/sh\nexec \"$@\"\n");
    let bin = home.dir("bin");
    Some(home.search(bin))
}

typed! {
    open_configuration_is_closed_or_accepted types [CloseOwn, AcceptInVariable]: |typed| {
        let home = Home::new();
        succeeds(&home, "srvd serve --migrate-only");
        mode(&home.dir("config"), 0o777);
        let said = fails(&home, "srvd migrate --dry-run");
        let variable = typed.step("AcceptInVariable", &said);
        succeeds(&home, &format!("{variable} srvd migrate --dry-run"));
        typed.types("CloseOwn", &said, &home);
        succeeds(&home, "srvd migrate --dry-run");
    }

    file_of_another_user_is_taken_back types [TakeAsRoot, TakeFile, TakeTree]: |typed| {
        let Some(home) = of_root() else {
            return;
        };
        succeeds(&home, "srvd serve --migrate-only");
        let give = |name: &str| std::os::unix::fs::chown(home.dir(name), Some(12_345), None).unwrap();
        std::fs::write(home.dir("config/srvd.toml"), "").unwrap();
        give("config/srvd.toml");
        typed.types("TakeAsRoot", &fails(&home, "srvd migrate --dry-run"), &home);
        succeeds(&home, "srvd migrate --dry-run");
        give("data");
        let found = findings(&home, "srvd doctor --json");
        let said = remedy(&found, "data.dir");
        let row = if said.starts_with("Run:") { "TakeAsRoot" } else { "TakeFile" };
        typed.types(row, &said, &home);
        give("data/srvd.db");
        typed.types("TakeFile", &remedy(&findings(&home, "srvd doctor --json"), "database.file"), &home);
        succeeds(&home, "srvd migrate --dry-run");
        let login = home.dir("data/identities/gone/codex");
        crate::support::private_directory(&login);
        std::fs::write(login.join("auth.json"), "{}").unwrap();
        give("data/identities/gone/codex/auth.json");
        typed.types("TakeTree", &remedy(&findings(&home, "srvd doctor --json"), "identities.owner"), &home);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "identities.owner"), None);
    }

    open_directories_of_logins_are_closed types [Chmod, RepairAll, MakePrivateDirectory]: |typed| {
        let home = Home::new();
        let line = typed.step("MakePrivateDirectory", &remedy(&findings(&home, "srvd doctor --json"), "runtime.dir"));
        succeeds(&home, &line);
        succeeds(&home, "srvd serve --migrate-only");
        for bundle in ["one", "two"] {
            let dir = home.dir("data/identities").join(bundle);
            crate::support::private_directory(&dir);
            mode(&dir, 0o755);
        }
        let fix = typed.step("RepairAll", &remedy(&findings(&home, "srvd doctor --json"), "identities.mode"));
        succeeds(&home, &fix);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "identities.mode"), None);
        mode(&home.dir("data/identities/one"), 0o755);
        typed.types("Chmod", &remedy(&findings(&home, "srvd doctor --json"), "identities.mode"), &home);
        assert_eq!(severity(&findings(&home, "srvd doctor --json"), "identities.mode"), None);
    }

    file_in_the_place_of_a_directory_is_named types [MoveAwayOrConfigure, CorrectConfiguration]: |typed| {
        let home = Home::new();
        std::fs::write(home.dir("run"), "").unwrap();
        let shown = typed.types("MoveAwayOrConfigure", &remedy(&findings(&home, "srvd doctor --json"), "runtime.dir"), &home);
        assert!(super::out(&shown).contains(&home.dir("run").display().to_string()));
        let home = Home::new().config("srvd.toml", "no-such-key = 1\n");
        let line = typed.step("CorrectConfiguration", &remedy(&findings(&home, "srvd doctor --json"), "config"));
        assert!(fails(&home, &line).contains("no-such-key"));
        std::fs::write(home.dir("config/srvd.toml"), "").unwrap();
        succeeds(&home, &line);
    }

    program_in_the_place_of_a_shim_is_left types [MoveShimTarget]: |typed| {
        let home = fake::home(HAPPY);
        crate::support::private_directory(&home.dir("data/shims"));
        std::fs::write(home.dir("data/shims/fakecli"), "mine").unwrap();
        let flag = typed.step("MoveShimTarget", &fails(&home, "srvd shims install fakecli"));
        let flag = flag.replace("DIR", &home.dir("data/other").display().to_string());
        succeeds(&home, &format!("srvd shims install fakecli {flag}"));
        assert_eq!(std::fs::read_to_string(home.dir("data/shims/fakecli")).unwrap(), "mine");
    }

    directory_of_root_that_others_can_change_is_closed types [CloseAsRoot]: |typed| {
        let Some(home) = of_root() else {
            return;
        };
        // The user is not root, and has no right to close the directory.
        let as_user = |line: &str| format!("setpriv --reuid 12345 --regid 12345 --clear-groups sh -c '{line}'");
        succeeds(&home, &format!("chown -R 12345:12345 '{}'", home.dir("").display()));
        succeeds(&home, &as_user("srvd serve --migrate-only"));
        std::os::unix::fs::chown(home.dir("config"), Some(0), Some(0)).unwrap();
        mode(&home.dir("config"), 0o777);
        let said = fails(&home, &as_user("srvd migrate --dry-run"));
        typed.types("CloseAsRoot", &said, &home);
        succeeds(&home, &as_user("srvd migrate --dry-run"));
    }

    file_of_entries_is_closed_or_replaced types [CloseFile, ReplaceEntry]: |typed| {
        let home = Home::new();
        let file = home.dir("home/my entries/twin.toml");
        crate::support::private_directory(file.parent().unwrap());
        std::fs::write(&file, crate::providers::TWIN.replace("tested = '1.0'\n", "")).unwrap();
        mode(&file, 0o666);
        let add = format!("srvd providers add '{}'", file.display());
        typed.types("CloseFile", &fails(&home, &add), &home);
        succeeds(&home, &add);
        let flag = typed.step("ReplaceEntry", &fails(&home, &add));
        succeeds(&home, &format!("{add} {flag}"));
    }
}
