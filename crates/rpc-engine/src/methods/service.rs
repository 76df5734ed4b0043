//! A complete dispatch table.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::call::Call;
use super::fields::nearest;
use super::openrpc::{Description, MethodInfo};
use crate::wire::{Limits, RpcError};

/// The reserved name of the `OpenRPC` discovery method.
pub const DISCOVER: &str = "rpc.discover";

/// The maximum number of edits between an unknown name and the method that is suggested; fewer for a short name.
const EDITS: usize = 3;
/// The maximum length of an unknown name for which a method is suggested, in bytes.
const LONGEST_NAME: usize = 64;

/// A complete dispatch table. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Table>);

struct Table {
    methods: HashMap<&'static str, BoundMethod>,
    /// The name of the method that each further name stands for.
    aliases: HashMap<&'static str, &'static str>,
    description: Description,
    /// The `OpenRPC` document, built on first request: few clients ask for it, and building it takes longer than the
    /// rest of the setup.
    openrpc: OnceLock<Bytes>,
    limits: Arc<Limits>,
}

/// A method bound to its application.
pub(crate) struct BoundMethod {
    pub(super) info: MethodInfo,
    /// The longest time until a call is answered.
    pub(super) longest: Duration,
    pub(super) start: StartCall,
}

/// The start of a reply (its head and the result's JSON), or an error.
pub(crate) type Outcome = Result<Vec<u8>, RpcError>;

/// A call whose parameters have been decoded.
pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(super) type StartCall = Box<dyn Fn(Call, Option<&str>) -> Result<Running, RpcError> + Send + Sync>;

impl Service {
    pub(super) fn new(
        methods: HashMap<&'static str, BoundMethod>,
        description: Description,
        limits: Limits,
    ) -> Self {
        let aliases = methods
            .values()
            .flat_map(|method| method.info.aliases.iter().map(|alias| (*alias, method.info.name)));
        let aliases = aliases.collect();
        Self(Arc::new(Table {
            methods,
            aliases,
            description,
            openrpc: OnceLock::new(),
            limits: Arc::new(limits),
        }))
    }

    /// The limits of the service.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.0.limits
    }

    /// The `OpenRPC` document, as JSON text.
    pub fn openrpc(&self) -> &Bytes {
        self.0.openrpc.get_or_init(|| self.0.description.document())
    }

    /// All registered methods, sorted by name.
    pub fn methods(&self) -> Vec<MethodInfo> {
        let mut methods: Vec<_> = self.0.methods.values().map(|method| method.info).collect();
        methods.sort_unstable_by_key(|info| info.name);
        methods
    }

    pub(crate) fn method(&self, name: &str) -> Option<&BoundMethod> {
        let name = self.0.aliases.get(name).copied().unwrap_or(name);
        self.0.methods.get(name)
    }

    /// Returns the error for a name without a method. It suggests the most similar name.
    pub(crate) fn unknown_method(&self, name: &str) -> RpcError {
        let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
        let known = || self.0.methods.keys().chain(self.0.aliases.keys()).copied();
        let same = || known().filter(|known| plain(known) == plain(name)).min();
        // The comparison takes time with the length of the name.
        let similar = if name.len() > LONGEST_NAME {
            None
        } else {
            same().or_else(|| nearest(name, known(), EDITS.min(name.len() / 3)))
        };
        let error = RpcError::method_not_found();
        match similar {
            Some(known) => error.with_member("suggestion", known.into()),
            None => error,
        }
    }
}

impl BoundMethod {
    /// The longest time until a call is answered.
    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// The name of the method.
    pub(crate) fn name(&self) -> &'static str {
        self.info.name
    }

    /// Decodes a call's parameters and starts its handler.
    pub(crate) fn start(&self, call: Call, params: Option<&str>) -> Result<Running, RpcError> {
        (self.start)(call, params)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("methods", &self.0.methods.keys()).finish_non_exhaustive()
    }
}
