//! The steps about encryption keys, and about databases of a server.

use super::{fails, findings, remedy, succeeds, typed};
use crate::support::{Home, KEY, postgres, private_file};

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
}
