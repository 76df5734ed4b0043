//! Names of parameters: those that a type has, and those that a client sent in vain.

use std::collections::BTreeSet;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_ignored::Path;

/// The maximum number of edits between a misspelt name and the right one.
const EDITS: usize = 2;
/// The maximum number of unknown parameters that are reported.
const REPORTED: usize = 16;

/// The unknown parameters of one call, as the client wrote them.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// Names of parameters.
    pub(super) parameters: Vec<String>,
    /// Paths of members inside parameters.
    inner: Vec<Vec<String>>,
}

impl Unknown {
    /// Records an ignored member.
    pub(super) fn add(&mut self, path: &Path<'_>) {
        if self.parameters.len() + self.inner.len() >= REPORTED {
            return;
        }
        let mut steps = steps(path);
        if steps.len() == 1 {
            self.parameters.append(&mut steps);
        } else {
            self.inner.push(steps);
        }
    }

    /// Returns the names as `show` makes them safe to repeat.
    pub(super) fn shown(&self, show: impl Fn(&str) -> &str) -> Vec<String> {
        let names = self.parameters.iter().map(|name| show(name).to_owned());
        let inner =
            self.inner.iter().map(|steps| steps.iter().map(|step| show(step)).collect::<Vec<_>>().join("."));
        names.chain(inner).collect()
    }
}

/// Returns the keys and indexes that lead to a member.
fn steps(path: &Path<'_>) -> Vec<String> {
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(format!("item{index}"))),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            (parent, None)
        }
    };
    let mut all = steps(parent);
    all.extend(step);
    all
}

/// Returns the parameter of `P` that is not in the JSON text `params` and is nearest to `name`, if one is near.
pub(super) fn nearest_absent<P: DeserializeOwned>(name: &str, params: &str) -> Option<&'static str> {
    let known = names_of::<P>();
    let present = keys(params);
    let absent = known.iter().copied().filter(|known| !present.contains(*known));
    nearest(name, absent, EDITS)
}

/// Returns the candidate with the fewest edits, at most `edits`.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
    edits: usize,
) -> Option<&'a str> {
    // A difference of lengths is a lower bound, which spares the comparison with a long text.
    let near = candidates.filter(|known| known.len().abs_diff(name.len()) <= edits);
    let measured = near.map(|known| (strsim::osa_distance(name, known), known));
    measured.filter(|(distance, _)| *distance <= edits).min().map(|(_, known)| known)
}

/// Returns the names of the members of a struct; none for another type.
fn names_of<P: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The deserializer only learns the names, so it always fails.
    let _ = P::deserialize(NamesOf(&mut names));
    names
}

struct NamesOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for NamesOf<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only the names are needed"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Returns the keys of a JSON object.
fn keys(text: &str) -> BTreeSet<String> {
    struct Keys;

    impl<'de> Visitor<'de> for Keys {
        type Value = BTreeSet<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut keys = BTreeSet::new();
            while let Some((key, IgnoredAny)) = members.next_entry::<String, IgnoredAny>()? {
                keys.insert(key);
            }
            Ok(keys)
        }
    }

    serde_json::Deserializer::from_str(text).deserialize_map(Keys).unwrap_or_default()
}
