//! The comparison of the person of an account with the person of the login that a CLI would use.

use auth_spawner::Credential;
use identity_store::Account;

/// The names by which a provider knows a person. A missing name is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Person<'a> {
    /// The email address.
    pub email: Option<&'a str>,
    /// The provider's own id of the account.
    pub subject: Option<&'a str>,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sameness {
    /// A name that both have is the same, and none differs.
    Same,
    /// The two have no name in common, so nothing is proven.
    Unproven,
    /// A name that both have differs.
    Another,
}

impl<'a> Person<'a> {
    /// Returns the person of an account.
    pub(crate) fn of(account: &'a Account) -> Self {
        Self { email: account.email.as_deref(), subject: account.subject.as_deref() }
    }

    /// Returns the person of a login that the files of a CLI hold.
    pub(crate) fn in_files(found: &'a Credential) -> Self {
        Self { email: found.email.as_deref(), subject: found.subject.as_deref() }
    }

    /// Compares two persons, without regard to case.
    pub(crate) fn compare(self, other: Person<'_>) -> Sameness {
        let same =
            |ours: Option<&str>, theirs: Option<&str>| Some(ours?.to_lowercase() == theirs?.to_lowercase());
        let pairs = [same(self.email, other.email), same(self.subject, other.subject)];
        if pairs.contains(&Some(false)) {
            Sameness::Another
        } else if pairs.contains(&Some(true)) {
            Sameness::Same
        } else {
            Sameness::Unproven
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_compared_by_the_names_that_both_have() {
        let person = |email, subject| Person { email, subject };
        let ann = person(Some("ann@a.test"), Some("1"));
        for (other, expected) in [
            (person(Some("ANN@a.test"), None), Sameness::Same),
            (person(None, Some("1")), Sameness::Same),
            (person(Some("ann@a.test"), Some("2")), Sameness::Another),
            (person(Some("bob@a.test"), Some("1")), Sameness::Another),
            (person(None, None), Sameness::Unproven),
        ] {
            assert_eq!(ann.compare(other), expected, "{other:?}");
            assert_eq!(other.compare(ann), expected, "{other:?}");
        }
        let unlike = person(Some("ann@a.test"), None).compare(person(None, Some("1")));
        assert_eq!(unlike, Sameness::Unproven);
    }
}
