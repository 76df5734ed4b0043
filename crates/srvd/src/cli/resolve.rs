//! Which bundle a person means.

use super::client::Connection;
use super::failure::{Failure, code};
use crate::api::bundle::{Bundle, List};

/// Where a login or a key goes; both empty for a bundle that the daemon makes and names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// A bundle that exists.
    pub(super) into_bundle_id: Option<String>,
    /// The name of a new one.
    pub(super) bundle_name: Option<String>,
}

/// Looks `wanted` up among the daemon's bundles; what is not there becomes a new bundle's name.
pub(super) async fn target(daemon: &Connection, wanted: Option<&str>) -> Result<Target, Failure> {
    match wanted {
        None => Ok(Target::default()),
        Some(wanted) => Ok(Target::of(&daemon.call(&List {}).await?.bundles, wanted)),
    }
}

/// The id of a bundle that has to exist.
pub(super) async fn existing(daemon: &Connection, wanted: &str) -> Result<String, Failure> {
    let bundles = daemon.call(&List {}).await?.bundles;
    let missing = || {
        Failure::new(code::FAILED, format!("no bundle has the id or the name \"{wanted}\""))
            .hint("list them with: srvd bundles")
    };
    find(&bundles, wanted).map(|bundle| bundle.id.clone()).ok_or_else(missing)
}

impl Target {
    fn of(bundles: &[Bundle], wanted: &str) -> Self {
        match find(bundles, wanted) {
            Some(bundle) => Self { into_bundle_id: Some(bundle.id.clone()), bundle_name: None },
            None => Self { into_bundle_id: None, bundle_name: Some(wanted.to_owned()) },
        }
    }
}

/// An id goes before a name, so that no name can hide another bundle.
fn find<'a>(bundles: &'a [Bundle], wanted: &str) -> Option<&'a Bundle> {
    let wanted = wanted.trim().to_lowercase();
    let by =
        |field: fn(&Bundle) -> &str| bundles.iter().find(|bundle| field(bundle).to_lowercase() == wanted);
    by(|bundle| &bundle.id).or_else(|| by(|bundle| &bundle.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(id: &str, name: &str) -> Bundle {
        Bundle {
            id: id.to_owned(),
            name: name.to_owned(),
            description: String::new(),
            is_blank: false,
            created_at: 0,
            updated_at: 0,
            bindings: Vec::new(),
        }
    }

    #[test]
    fn ids_go_before_names_and_the_rest_is_new() {
        let bundles = [bundle("b1", "b2"), bundle("b2", "Work"), bundle("b3", "Ümläut")];
        let check = |wanted: &str, id: Option<&str>| {
            let expect = Target {
                into_bundle_id: id.map(str::to_owned),
                bundle_name: id.is_none().then(|| wanted.to_owned()),
            };
            assert_eq!(Target::of(&bundles, wanted), expect);
        };
        check("b1", Some("b1"));
        check("b2", Some("b2"));
        check("B3", Some("b3"));
        check("work", Some("b2"));
        check(" WORK ", Some("b2"));
        check("üMLÄUT", Some("b3"));
        check("wor", None);
        check("Home", None);
    }
}
