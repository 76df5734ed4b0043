//! Enums whose values are strings on the wire.

/// Defines an enum whose values are strings on the wire. An unknown string is parsed as `Other` and written unchanged,
/// so that a client keeps working with a newer daemon. `and` adds a value with a text after its prefix.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }
        $(and { $(#[$text_doc:meta])* $text:ident = $prefix:literal })?
    ) => {
        #[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema)]
        $(#[$meta])*
        pub(crate) enum $name {
            $($(#[$doc])* #[schemars(rename = $word)] $variant,)+
            $($(#[$text_doc])* #[schemars(skip)] $text(String),)?
            /// A value unknown to this program.
            #[schemars(skip)]
            Other(String),
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($word),)+
                    $(Self::$text(text) => write!(f, "{}{text}", $prefix),)?
                    Self::Other(word) => f.write_str(word),
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => {
                        $(if let Some(text) = other.strip_prefix($prefix) {
                            return Self::$text(text.to_owned());
                        })?
                        Self::Other(other.to_owned())
                    }
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(<String as serde::Deserialize>::deserialize(deserializer)?.as_str()))
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::wire::Status;

    #[test]
    fn unknown_value_is_read_and_written_unchanged() {
        for (value, word) in [
            (Status::Valid, "valid"),
            (Status::NeedsReauth, "needs_reauth"),
            (Status::Other("resting".to_owned()), "resting"),
        ] {
            assert_eq!(serde_json::to_value(&value).unwrap(), word);
            assert_eq!(serde_json::from_value::<Status>(word.into()).unwrap(), value);
            assert_eq!(value.to_string(), word);
        }
        serde_json::from_value::<Status>(1.into()).unwrap_err();
    }

    #[test]
    fn schema_lists_only_known_values() {
        let schema = serde_json::to_value(schemars::schema_for!(Status)).unwrap();
        let words: Vec<&str> =
            schema["oneOf"].as_array().unwrap().iter().map(|one| one["const"].as_str().unwrap()).collect();
        assert_eq!(words, ["valid", "expired", "needs_reauth", "invalid", "unknown"]);
    }
}
