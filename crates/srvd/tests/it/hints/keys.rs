//! The steps about encryption keys, and about databases of a server.

use super::{fails, findings, remedy, shell, succeeds, typed};
use crate::database::add_key;
use crate::support::terminal::Terminal;
use crate::support::{Home, KEY, postgres, private_file};

const PASSPHRASE: &str = "correct horse battery staple";
const NEW: &str = "a-new-key-0123456789abcdef-0123456789";

typed! {
    missing_key_is_generated types [GenerateKey]: |typed| {
        let home = Home::new();
        std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
        typed.types("GenerateKey", &remedy(&findings(&home, "srvd doctor --json"), "key"), &home);
        succeeds(&home, "srvd serve --migrate-only");
    }

    rotation_is_finished_or_prepared types [FinishRotation, ChangeKeyThere]: |typed| {
        let home = Home::new();
        succeeds(&home, "srvd serve --migrate-only");
        // A rotation that was killed leaves the old key.
        private_file(&home.dir("config/encryption.keys.old"), format!("{NEW}\n").as_bytes());
        private_file(&home.dir("home/new.key"), format!("{NEW}-2\n").as_bytes());
        let rotate = format!("srvd key rotate --new-key '{}'", home.dir("home/new.key").display());
        typed.types("FinishRotation", &fails(&home, &rotate), &home);
        succeeds(&home, &rotate);
        let key = std::fs::read_to_string(home.dir("config/encryption.key")).unwrap();
        let both = format!("OAUTH_ENCRYPTION_KEY='{}' srvd key rotate", key.trim());
        // The key is in a variable as well as in the file.
        let line = typed.step("ChangeKeyThere", &fails(&home, &both));
        std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
        succeeds(&home, &format!("OAUTH_ENCRYPTION_KEYS_OLD='{}' OAUTH_ENCRYPTION_KEY='{KEY}' {line}", key.trim()));
    }

    database_of_a_server_is_copied_by_its_tools types [UseServerTool]: |typed| {
        let server = postgres().await;
        let home = Home::new();
        let file = home.dir("copy").display().to_string();
        let said = fails(&home, &format!("SRVD_DATABASE_URL='{}' srvd backup '{file}'", server.url));
        let line = typed.step("UseServerTool", &said);
        let line = line.replace("FILE", &file).replace("DATABASE", &format!("'{}'", server.url));
        succeeds(&home, &line);
        assert!(std::fs::metadata(home.dir("copy")).unwrap().len() > 0);
    }

    export_is_written_to_a_named_file types [NameExportFile, PassPassphrase]: |typed| {
        let daemon = Home::new().start();
        add_key(&daemon, "my box", None).await;
        let home = &daemon.home;
        let at_terminal = |line: &str| Terminal::start(shell(home, line).current_dir(home.dir("home")));
        let (code, said) = at_terminal("srvd export --bundle 'my box'").end();
        assert_eq!(code, 64, "{said}");
        let line = typed.step("NameExportFile", &said).replace("FILE", "work.age");
        let mut export = at_terminal(&line);
        for question in ["Passphrase (not shown):", "Repeat the passphrase:"] {
            export.shows(question).await;
            export.types(&format!("{PASSPHRASE}\n"));
        }
        let (code, said) = export.end();
        assert!(code == 0 && home.dir("home/work.age").exists(), "{line}: {said}");
        // A script has no terminal.
        let file = home.dir("home/other.age").display().to_string();
        let export = format!("srvd export --bundle 'my box' --output '{file}'");
        let said = fails(home, &export);
        private_file(&home.dir("home/passphrase"), PASSPHRASE.as_bytes());
        let path = home.dir("home/passphrase").display().to_string();
        succeeds(home, &format!("{export} {}", typed.step("PassPassphrase", &said).replace("PATH", &path)));
        assert!(said.contains(" or --passphrase-stdin"), "{said}");
        std::fs::remove_file(&file).unwrap();
        succeeds(home, &format!("echo '{PASSPHRASE}' | {export} --passphrase-stdin"));
    }
}
