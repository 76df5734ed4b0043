//! The paths that are sent to a forge's API. They never lead out of it.

use std::fmt;

use url::Url;

use super::error::ForgeError;

/// The maximum length of a path, in bytes.
const LONGEST: usize = 2048;

/// A repository's name with its owner or its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepoName(String);

impl RepoName {
    /// Parses `owner/name` or `group/subgroup/name`.
    ///
    /// # Errors
    /// [`ForgeError::Invalid`].
    pub(crate) fn parse(text: &str) -> Result<Self, ForgeError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = |part: &str| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
        let parts: Vec<&str> = text.split('/').collect();
        if text.len() > 255 || parts.len() < 2 || !parts.iter().all(|part| good(part)) {
            let reason = "is not the name of a repository, such as owner/name".to_owned();
            return Err(ForgeError::Invalid { field: "repo", reason });
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as it is.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as one segment of a path.
    pub(super) fn segment(&self) -> String {
        encoded(&self.0)
    }

    /// Returns the name as two segments of a path.
    pub(super) fn segments(&self) -> String {
        self.0.split('/').map(encoded).collect::<Vec<_>>().join("/")
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a text as one segment of a path or as a value of a query.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Returns the URL of a path that a client named, below the API's root.
///
/// # Errors
/// [`ForgeError::Invalid`] for a path that could lead to another place.
pub(super) fn below(root: &str, path: &str) -> Result<String, ForgeError> {
    let refuse = |reason: &str| Err(ForgeError::Invalid { field: "path", reason: reason.to_owned() });
    if !path.starts_with('/') || path.starts_with("//") {
        return refuse("must begin with one slash; the host is always the active forge's");
    }
    if path.len() > LONGEST {
        return refuse("is too long");
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>'))
    {
        return refuse(
            "must be printable ASCII without spaces, backslashes and fragments; encode other characters",
        );
    }
    let (place, _) = path.split_once('?').unwrap_or((path, ""));
    let dots = place.split('/').any(|part| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == "." || part == ".."
    });
    if dots {
        return refuse("must not contain the segments . and ..");
    }
    let url = format!("{root}{path}");
    // The parser must agree that the place is below the root.
    let same = |parsed: &Url, root: &Url| {
        parsed.origin() == root.origin()
            && parsed.path().starts_with(&format!("{}/", root.path().trim_end_matches('/')))
    };
    match (Url::parse(&url), Url::parse(root)) {
        (Ok(parsed), Ok(root)) if same(&parsed, &root) => Ok(url),
        _ => refuse("is not a path of the forge's API"),
    }
}

/// Returns the path without its query, for the audit log: a query may hold a secret.
pub(crate) fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Returns the query of the next page that a `Link` header names (RFC 8288). Its host and its path are not used, so that
/// an answer never leads to another place.
pub(super) fn next_query(link: &str) -> Option<String> {
    let one = link.split(',').find(|one| {
        let mut parameters = one.split(';').skip(1).map(str::trim);
        parameters.any(|parameter| matches!(parameter, "rel=\"next\"" | "rel=next"))
    })?;
    let target = one.split(';').next()?.trim().strip_prefix('<')?.strip_suffix('>')?;
    let (_, query) = target.split_once('?')?;
    let good = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    (good && query.len() <= LONGEST).then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_never_leads_out_of_the_api() {
        let roots = ["https://api.github.com", "https://git.example/code/api/v1"];
        for root in roots {
            for path in
                ["/user", "/user/repos?page=2&q=a%2Fb", "/repos/a/b/contents/x%20y", "/projects/a%2Fb"]
            {
                assert_eq!(below(root, path).unwrap(), format!("{root}{path}"), "{path}");
            }
            for path in [
                "user",
                "",
                "//evil.example/x",
                "https://evil.example/",
                "/../x",
                "/a/../../x",
                "/a/%2e%2E/x",
                "/./x",
                "/a/%2e",
                "/a b",
                "/a\\..\\b",
                "/a#b",
                "/a\nb",
                "@evil.example/x",
                "/ü",
            ] {
                assert!(below(root, path).is_err(), "{root} {path}");
            }
            assert!(below(root, &format!("/{}", "a".repeat(LONGEST))).is_err());
        }
    }

    #[test]
    fn repository_name_is_checked_and_encoded() {
        let name = RepoName::parse("group/sub.group/tool_1").unwrap();
        assert_eq!(name.segment(), "group%2Fsub.group%2Ftool_1");
        assert_eq!(RepoName::parse("a/b").unwrap().segments(), "a/b");
        for bad in ["", "a", "a/", "/a", "a/..", "./b", "a//b", "a/b?x", "a/b c", "a/%2e%2e"] {
            assert!(RepoName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn next_page_is_taken_from_the_link_without_its_host() {
        let check =
            |link: &str, expect: Option<&str>| assert_eq!(next_query(link).as_deref(), expect, "{link}");
        check(
            r#"<https://api.github.com/user/repos?page=2>; rel="next", <https://x/y?page=9>; rel="last""#,
            Some("page=2"),
        );
        check(r#"<https://evil.example/other?page=3&per_page=5>; rel="next""#, Some("page=3&per_page=5"));
        check(r#"<https://x/y?page=1>; rel="prev""#, None);
        check("<https://x/y>; rel=\"next\"", None);
        check("", None);
    }

    #[test]
    fn audited_path_has_no_query() {
        assert_eq!(without_query("/user?private_token=x"), "/user");
    }
}
