//! The steps in directories that are bound to a bundle, and in those that cannot be.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{typed, within};
use crate::support::{Home, private_directory};

typed! {
    open_directory_is_closed types [CloseOwn, NameBundle]: |typed| {
        let daemon = Home::new().start();
        daemon.call("bundle.create", json!({"name": "work"})).await;
        let (home, open) = (&daemon.home, daemon.home.dir("home/my project"));
        private_directory(&open);
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        for line in ["srvd use work", "srvd which"] {
            let (done, said) = within(home, &open, line);
            assert!(!done, "{said}");
            typed.step("CloseOwn", &said);
            let flag = typed.step("NameBundle", &said).replace("BUNDLE", "work");
            assert!(within(home, &open, &format!("srvd which {flag}")).0, "{flag}");
        }
        let (_, said) = within(home, &open, "srvd use work");
        let line = typed.step("CloseOwn", &said);
        assert!(within(home, &open, &line).0, "{line}");
        assert!(within(home, &open, "srvd use work").0);
    }

    file_of_another_place_is_allowed_or_replaced types [AllowFile, BindAgain, BundleOfFile, BundleOfVariable]: |typed| {
        let daemon = Home::new().start();
        daemon.call("bundle.create", json!({"name": "work"})).await;
        let (home, project) = (&daemon.home, daemon.home.dir("home/project"));
        private_directory(&project);
        std::fs::write(project.join(".srvd"), "nowhere\n").unwrap();
        let (_, said) = within(home, &project, "srvd which");
        assert!(within(home, &project, &typed.step("AllowFile", &said)).0, "{said}");
        // The bundle of the file does not exist.
        let (_, said) = within(home, &project, "srvd which");
        let line = typed.step("BundleOfFile", &said).replace("BUNDLE", "work");
        assert!(within(home, &project, &line).0, "{line}");
        assert!(within(home, &project, "srvd which").0);
        std::fs::write(project.join(".srvd"), "two\nlines\n").unwrap();
        let (_, said) = within(home, &project, "srvd use --allow");
        let line = typed.step("BindAgain", &said).replace("BUNDLE", "work");
        assert!(within(home, &project, &line).0, "{line}");
        let (_, said) = within(home, &project, "SRVD_BUNDLE=nowhere srvd which");
        let flag = typed.step("BundleOfVariable", &said).replace("BUNDLE", "work");
        assert!(within(home, &project, &format!("SRVD_BUNDLE=nowhere srvd which {flag}")).0, "{flag}");
    }

    directory_without_a_binding_is_bound types [BindDirectory, ShowBinding]: |typed| {
        let daemon = Home::new().start();
        daemon.call("bundle.create", json!({"name": "work"})).await;
        let (home, project) = (&daemon.home, daemon.home.dir("home/project"));
        private_directory(&project.join("part"));
        let (done, said) = within(home, &project.join("part"), "srvd use --remove");
        assert!(!done && !said.contains("hint:"), "{said}");
        let (_, said) = within(home, &project, "srvd which");
        let line = typed.step("BindDirectory", &said).replace("BUNDLE", "work");
        assert!(within(home, &project, &line).0, "{line}");
        assert!(within(home, &project, "srvd which").0);
        // The binding is above this directory.
        let (done, said) = within(home, &project.join("part"), "srvd use --remove");
        assert!(!done, "{said}");
        let line = typed.step("ShowBinding", &said);
        let (done, said) = within(home, &project.join("part"), &line);
        assert!(done && said.contains("work") && said.contains("project/.srvd"), "{said}");
    }
}
