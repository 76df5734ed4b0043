//! `scripts/install.sh` over an installation: its key and its edited unit stay. The build and the service manager are
//! stand-ins; the program, the files and the shell are real.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Home;

const CREDENTIAL: &str =
    "[Service]\nExecStart=/usr/bin/srvd\nLoadCredentialEncrypted=oauth_encryption_key:%E/srvd/key.cred\n";

/// Runs the script with the option that installs a service, and returns what it prints.
fn install(home: &Home) -> String {
    let bin = home.dir("bin");
    crate::support::private_directory(&bin);
    let script = |name: &str, text: &str| {
        std::fs::write(bin.join(name), text).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let built = home.dir("target/release/srvd");
    crate::support::private_directory(built.parent().unwrap());
    if !built.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_srvd"), &built).unwrap();
    }
    script("cargo", "#!/bin/sh\n[ \"$1\" != --version ] || echo cargo 99.0.0\n");
    // No unit of the system's is enabled for this user.
    script("systemctl", "#!/bin/sh\necho \"$*\" >>\"$HOME/systemctl\"\n[ \"$2\" != is-enabled ]\n");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = home.command(&[]);
    let mut run = Command::new("bash");
    run.arg(root.join("scripts/install.sh")).arg("--service").env_clear();
    run.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = std::env::join_paths([bin, PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).unwrap();
    run.env("PATH", path).env("CARGO_TARGET_DIR", home.dir("target")).env("TMPDIR", home.dir("home"));
    let output = run.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn unit(home: &Home) -> PathBuf {
    home.dir("home/.config/systemd/user/srvd.service")
}

#[cfg(target_os = "linux")]
#[test]
fn installation_makes_a_key_once_and_replaces_only_its_own_unit() {
    let home = Home::new();
    std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
    install(&home);
    let key = std::fs::read(home.dir("config/encryption.key")).unwrap();
    let first = std::fs::read_to_string(unit(&home)).unwrap();
    assert!(first.contains("ExecStart="), "{first}");
    let said = install(&home);
    assert!(said.contains("Wrote "), "{said}");
    assert_eq!(std::fs::read(home.dir("config/encryption.key")).unwrap(), key);
    // A unit of an earlier version that was not edited is replaced.
    let edited = format!("{first}Environment=HTTPS_PROXY=http://proxy\n");
    std::fs::write(unit(&home), &edited).unwrap();
    let said = install(&home);
    assert!(said.contains("which was edited"), "{said}");
    assert_eq!(std::fs::read_to_string(unit(&home)).unwrap(), edited);
    assert_eq!(std::fs::read_to_string(unit(&home).with_extension("service.new")).unwrap(), first);
}

#[cfg(target_os = "linux")]
#[test]
fn installation_makes_no_second_key_when_a_service_or_the_keychain_has_one() {
    let check = |change: &dyn Fn(&Home)| {
        let home = Home::new();
        std::fs::remove_file(home.dir("config/encryption.key")).unwrap();
        change(&home);
        let said = install(&home);
        assert!(said.contains("the key of this installation is not in this shell"), "{said}");
        assert!(!home.dir("config/encryption.key").exists(), "{said}");
    };
    check(&|home| {
        crate::support::private_directory(unit(home).parent().unwrap());
        std::fs::write(unit(home), CREDENTIAL).unwrap();
    });
    check(&|home| {
        let dir = unit(home).with_extension("service.d");
        crate::support::private_directory(&dir);
        std::fs::write(dir.join("key.conf"), CREDENTIAL).unwrap();
    });
    check(&|home| std::fs::write(home.dir("config/srvd.toml"), "[key]\nkeychain = true\n").unwrap());
    check(&|home| std::fs::write(home.dir("data/srvd.db"), "").unwrap());
}
