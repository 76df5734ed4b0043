//! The dispatch table. Each method takes one line; the rest is inferred from the handler's signature.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tracing::Instrument as _;

use super::call::{Call, Params};
use super::decode::{Decoded, decode};
use super::openrpc::{ApiInfo, DerivedErrors, DescribedMethod, Description, MethodInfo, MethodScope};
use super::service::{BoundMethod, Outcome, Running, Service, StartCall};
use crate::wire::{ErrorEntry, Limits, RESULT_HEAD, RpcError};

/// Collects methods. `A` is the application state, which is cloned for every call. The application is passed last, so a
/// table can be documented without one.
pub struct Router<A> {
    methods: BTreeMap<&'static str, Method<A>>,
    errors: &'static [ErrorEntry],
    derived: Option<DerivedErrors>,
    schemas: Map<String, Value>,
    handle: Option<Handle<A>>,
    guard: Option<Guard>,
    /// The method that was registered last.
    last: Option<&'static str>,
    servers: Value,
    examples: Map<String, Value>,
    extensions: Map<String, Value>,
}

/// A function that creates the application handle for one call.
type Handle<A> = fn(&A, &Call) -> A;

/// A function that decides whether a caller may call a method.
type Guard = fn(&Call, &MethodInfo) -> Result<(), RpcError>;

impl<A: Clone + Send + Sync + 'static> Default for Router<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Clone + Send + Sync + 'static> Router<A> {
    /// Creates a router without methods.
    pub fn new() -> Self {
        Self {
            methods: BTreeMap::new(),
            errors: &[],
            derived: None,
            schemas: Map::new(),
            handle: None,
            guard: None,
            last: None,
            servers: Value::Null,
            examples: Map::new(),
            extensions: Map::new(),
        }
    }

    /// Binds a handler, `async fn(app: A, call: Call, params: P) -> Result<P::Result, E>`, to `P::METHOD`.
    ///
    /// # Panics
    /// If the method or one of its aliases is already registered, or a name starts with `rpc.`. Both are programming errors, so the program
    /// must not start.
    #[must_use]
    pub fn on<P, F, Fut, E>(mut self, handler: F) -> Self
    where
        P: Params,
        F: Fn(A, Call, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P::Result, E>> + Send + 'static,
        E: Into<RpcError>,
    {
        assert!(!P::METHOD.starts_with("rpc."), "{}: names that start with rpc. are reserved", P::METHOD);
        let method =
            Method { described: DescribedMethod::of::<P>(), longest: P::LONGEST, start: starter(handler) };
        let names = || self.methods.values().flat_map(|method| method.described.info.names());
        let clash = method.described.info.names().find(|name| names().any(|known| known == *name));
        assert!(clash.is_none(), "{clash:?} is registered twice");
        self.methods.insert(P::METHOD, method);
        self.last = Some(P::METHOD);
        self
    }

    /// Sets the permission that the method registered last needs, as the guard sees it.
    ///
    /// # Panics
    /// If no method has been registered, or if it has a scope. Both are programming errors.
    #[must_use]
    pub fn needs(mut self, scope: MethodScope) -> Self {
        let method = self.last.and_then(|name| self.methods.get_mut(name));
        let info = method.map(|method| &mut method.described.info);
        let taken = info.map(|info| info.scope.replace(scope));
        assert!(matches!(taken, Some(None)), "{:?} cannot have the scope {}", self.last, scope.name);
        self
    }

    /// Asks `guard` before each call whether the caller may call the method.
    #[must_use]
    pub fn guarded(mut self, guard: fn(&Call, &MethodInfo) -> Result<(), RpcError>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Lets `derived` name further error codes of each method, by its parameters, for the `OpenRPC` document.
    #[must_use]
    pub fn derived_errors(mut self, derived: DerivedErrors) -> Self {
        self.derived = Some(derived);
        self
    }

    /// Adds definitions to the schemas of the `OpenRPC` document.
    #[must_use]
    pub fn schemas(mut self, schemas: Map<String, Value>) -> Self {
        self.schemas = schemas;
        self
    }

    /// Sets the `servers` of the `OpenRPC` document.
    #[must_use]
    pub fn servers(mut self, servers: Value) -> Self {
        self.servers = servers;
        self
    }

    /// Sets the examples of methods in the `OpenRPC` document: an object with a list of example pairings for each
    /// method.
    #[must_use]
    pub fn examples(mut self, examples: Map<String, Value>) -> Self {
        self.examples = examples;
        self
    }

    /// Gives each handler a separate application handle. The handle is created for the call, so it knows the caller.
    #[must_use]
    pub fn scoped(mut self, handle: fn(&A, &Call) -> A) -> Self {
        self.handle = Some(handle);
        self
    }

    /// Registers the application's error codes, so that the `OpenRPC` document can describe the codes listed in
    /// [`Params::ERRORS`].
    #[must_use]
    pub fn errors(mut self, table: &'static [ErrorEntry]) -> Self {
        self.errors = table;
        self
    }

    /// Adds a member to the `OpenRPC` document. The specification reserves names that begin with `x-` for this.
    ///
    /// # Panics
    /// When the name does not begin with `x-`, which is an error of the program.
    #[must_use]
    pub fn extension(mut self, name: &str, value: Value) -> Self {
        assert!(name.starts_with("x-"), "{name}: the name of an extension begins with x-");
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// The `OpenRPC` document of the methods registered so far, as JSON text.
    pub fn openrpc(&self, info: ApiInfo) -> Bytes {
        self.description(info).document()
    }

    fn description(&self, info: ApiInfo) -> Description {
        let methods = self.methods.values().map(|method| method.described).collect();
        Description {
            info,
            methods,
            errors: self.errors,
            derived: self.derived,
            schemas: self.schemas.clone(),
            servers: self.servers.clone(),
            examples: self.examples.clone(),
            extensions: self.extensions.clone(),
        }
    }

    /// Binds the table to the application and adds `rpc.discover`.
    pub fn build(self, app: &A, info: ApiInfo, limits: Limits) -> Service {
        let description = self.description(info);
        let (handle, guard) = (self.handle, self.guard);
        let bind = |(name, method): (&'static str, Method<A>)| {
            let app = app.clone();
            let info = method.described.info;
            let start: StartCall = Box::new(move |call, params| {
                guard.map_or(Ok(()), |guard| guard(&call, &info))?;
                let app = handle.map_or_else(|| app.clone(), |handle| handle(&app, &call));
                (method.start)(app, call, params, info.scope.is_some_and(|scope| scope.strict))
            });
            (name, BoundMethod { info, longest: method.longest, start })
        };
        Service::new(self.methods.into_iter().map(bind).collect(), description, limits)
    }
}

impl<A> fmt::Debug for Router<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("methods", &self.methods.keys()).finish_non_exhaustive()
    }
}

/// A method with its types erased, except for the application type.
struct Method<A> {
    described: DescribedMethod,
    longest: Duration,
    start: StartWith<A>,
}

/// Decodes parameters, strictly or not, and starts the handler.
type StartWith<A> = Box<dyn Fn(A, Call, Option<&str>, bool) -> Result<Running, RpcError> + Send + Sync>;

/// Returns the function that decodes a call's parameters and starts its handler. If the handler panics, only this call
/// ends.
fn starter<A, P, F, Fut, E>(handler: F) -> StartWith<A>
where
    A: Clone + Send + Sync + 'static,
    P: Params,
    F: Fn(A, Call, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<P::Result, E>> + Send + 'static,
    E: Into<RpcError>,
{
    let handler = Arc::new(handler);
    Box::new(move |app, mut call, params, strict| {
        // The span uses the most severe level, so it exists whenever any line of the call is logged. Tasks spawned by a
        // handler can join it with `Instrument::in_current_span`.
        let span = tracing::error_span!(
            "call",
            method = P::METHOD,
            request = call.request,
            connection = call.connection.0
        );
        let decoded = catch_unwind(|| decode::<P>(params, strict)).unwrap_or_else(|_| Err(panicked()))?;
        let Decoded { params, mut unknown } = decoded;
        if P::REPORTS_UNKNOWN {
            call.unknown = std::mem::take(&mut unknown);
        }
        // The handler is called at the first poll, so that the span is entered once for a call that never waits.
        let handler = Arc::clone(&handler);
        let reply = async move { encode(&handler(app, call, params).await.map_err(Into::into)?, &unknown) };
        let caught = AssertUnwindSafe(reply).catch_unwind();
        Ok(Box::pin(caught.map(|outcome| outcome.unwrap_or_else(|_| Err(panicked()))).instrument(span)))
    })
}

/// Encodes a result. If it is an object, the unknown parameters are named in its `warnings`.
fn encode(result: &impl serde::Serialize, unknown: &[String]) -> Outcome {
    let mut reply = Vec::with_capacity(128);
    reply.extend_from_slice(RESULT_HEAD);
    serde_json::to_writer(&mut reply, result).map_err(|_| {
        tracing::error!("a method result cannot be encoded as JSON");
        RpcError::internal()
    })?;
    if !unknown.is_empty() && reply.pop_if(|last| *last == b'}').is_some() {
        let warning = |name: &String| format!("the parameter `{name}` is unknown and was ignored");
        let warnings = unknown.iter().map(warning).collect::<Value>();
        let comma = if reply.ends_with(b"{") { "" } else { "," };
        reply.extend_from_slice(format!("{comma}\"warnings\":{warnings}}}").as_bytes());
    }
    Ok(reply)
}

/// Logs a panic and returns the error for it. The payload could contain anything, so it is not logged. The process's
/// panic hook reports the location.
fn panicked() -> RpcError {
    tracing::error!("a method handler panicked");
    RpcError::internal()
}
