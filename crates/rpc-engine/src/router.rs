//! The dispatch table. Each method is one line, and everything else is inferred from the handler's signature.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use rustc_hash::FxHashMap;

use crate::calling::Calling;
use crate::decode::decode;
use crate::error::{ErrorEntry, RpcError};
use crate::limits::Limits;
use crate::method::{Call, Params};
use crate::openrpc::{self, Schemas};
use crate::wire::RESULT_HEAD;

/// The reserved name of the `OpenRPC` method that describes a service.
pub const DISCOVER: &str = "rpc.discover";

/// Collects methods. `A` is the application's state, cloned into every call. The application is passed last, so that a
/// table can be documented without one.
pub struct Router<A> {
    methods: BTreeMap<&'static str, Method<A>>,
    errors: &'static [ErrorEntry],
    scope: Option<Scope<A>>,
}

/// A function that makes the application's handle for one call.
type Scope<A> = fn(&A, &Call) -> A;

impl<A: Clone + Send + Sync + 'static> Default for Router<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Clone + Send + Sync + 'static> Router<A> {
    /// Creates a router without methods.
    pub fn new() -> Self {
        Self { methods: BTreeMap::new(), errors: &[], scope: None }
    }

    /// Binds a handler, `async fn(app: A, call: Call, params: P) -> Result<P::Result, E>`, to `P::METHOD`.
    ///
    /// # Panics
    /// When the method is registered already or its name starts with `rpc.`. Both are errors of the program, which must
    /// not start with them.
    #[must_use]
    pub fn on<P, F, Fut, E>(mut self, handler: F) -> Self
    where
        P: Params,
        F: Fn(A, Call, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P::Result, E>> + Send + 'static,
        E: Into<RpcError>,
    {
        assert!(!P::METHOD.starts_with("rpc."), "{}: names in rpc. are reserved", P::METHOD);
        let method = Method {
            info: MethodInfo { name: P::METHOD, summary: P::SUMMARY, errors: P::ERRORS },
            schemas: openrpc::schemas_of::<P>,
            start: starter(handler),
        };
        let previous = self.methods.insert(P::METHOD, method);
        assert!(previous.is_none(), "{} is registered twice", P::METHOD);
        self
    }

    /// Gives each handler its own handle to the application. The handle is made for the call, so that it knows the
    /// caller.
    #[must_use]
    pub fn scoped(mut self, scope: fn(&A, &Call) -> A) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Describes the application's own error codes, so that the `OpenRPC` document can describe the codes that
    /// [`Params::ERRORS`] lists.
    #[must_use]
    pub fn errors(mut self, table: &'static [ErrorEntry]) -> Self {
        self.errors = table;
        self
    }

    /// The `OpenRPC` document of the methods registered so far, as JSON text.
    pub fn openrpc(&self, info: ApiInfo) -> Bytes {
        self.described(info).document()
    }

    fn described(&self, info: ApiInfo) -> Described {
        let methods = self.methods.values().map(|method| (method.info, method.schemas)).collect();
        Described { info, methods, errors: self.errors }
    }

    /// Binds the table to the application and adds `rpc.discover`.
    pub fn build(self, app: &A, info: ApiInfo, limits: Limits) -> Service {
        let described = self.described(info);
        let scope = self.scope;
        let bound = |(name, method): (&'static str, Method<A>)| {
            let app = app.clone();
            let start: Start = Box::new(move |call, params| {
                let app = scope.map_or_else(|| app.clone(), |scope| scope(&app, &call));
                (method.start)(app, call, params)
            });
            (name, Bound { info: method.info, start })
        };
        let methods = self.methods.into_iter().map(bound).collect();
        Service(Arc::new(Table { methods, described, openrpc: OnceLock::new(), limits }))
    }
}

/// The description of the service in the `OpenRPC` document.
#[derive(Clone, Debug)]
pub struct ApiInfo {
    /// The service's name.
    pub title: String,
    /// The service's version.
    pub version: String,
    /// A description in one paragraph.
    pub description: String,
}

/// One registered method, for documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodInfo {
    /// The name on the wire.
    pub name: &'static str,
    /// A one-sentence summary.
    pub summary: &'static str,
    /// The application error codes that the method may return.
    pub errors: &'static [i32],
}

/// A complete dispatch table. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Table>);

struct Table {
    /// The methods by name. The names are fixed by the program, so a client cannot choose keys that collide.
    methods: FxHashMap<&'static str, Bound>,
    described: Described,
    /// The document, made on the first request. Few clients request it, and making it takes longer than everything else
    /// that a table needs.
    openrpc: OnceLock<Bytes>,
    limits: Limits,
}

/// The source of the `OpenRPC` document.
struct Described {
    info: ApiInfo,
    methods: Vec<(MethodInfo, SchemasOf)>,
    errors: &'static [ErrorEntry],
}

impl Described {
    fn document(&self) -> Bytes {
        openrpc::document(&self.info, &self.methods, self.errors)
    }
}

impl Service {
    /// The limits that the service was built with.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The `OpenRPC` document, as JSON text.
    pub fn openrpc(&self) -> &Bytes {
        self.0.openrpc.get_or_init(|| self.0.described.document())
    }

    /// All registered methods, sorted by name.
    pub fn methods(&self) -> Vec<MethodInfo> {
        let mut methods: Vec<_> = self.0.methods.values().map(|method| method.info).collect();
        methods.sort_unstable_by_key(|info| info.name);
        methods
    }

    pub(crate) fn method(&self, name: &str) -> Option<&Bound> {
        self.0.methods.get(name)
    }
}

/// A method whose types are erased, except the application's.
struct Method<A> {
    info: MethodInfo,
    schemas: SchemasOf,
    start: StartWith<A>,
}

/// A method bound to its application.
pub(crate) struct Bound {
    info: MethodInfo,
    pub(crate) start: Start,
}

/// A function that describes one method's parameters and result.
pub(crate) type SchemasOf = fn(&mut schemars::SchemaGenerator) -> Schemas;

/// The beginning of a reply (its head and the result's JSON), or an error.
pub(crate) type Outcome = Result<Vec<u8>, RpcError>;
type StartWith<A> = Box<dyn Fn(A, Call, Option<&str>) -> Result<Running, RpcError> + Send + Sync>;
type Start = Box<dyn Fn(Call, Option<&str>) -> Result<Running, RpcError> + Send + Sync>;

/// A call whose parameters have been decoded. Its log lines name the call. A panic of its handler ends this call only.
pub(crate) struct Running {
    calling: Calling,
    work: Work,
}

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Future for Running {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _entered = self.calling.enter();
        let work = self.work.as_mut();
        catch_unwind(AssertUnwindSafe(|| work.poll(cx))).unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    }
}

fn starter<A, P, F, Fut, E>(handler: F) -> StartWith<A>
where
    A: Clone + Send + Sync + 'static,
    P: Params,
    F: Fn(A, Call, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<P::Result, E>> + Send + 'static,
    E: Into<RpcError>,
{
    Box::new(move |app, call, params| {
        let calling = Calling::of(&call, P::METHOD);
        let _entered = calling.enter();
        // An async block that awaits the handler's future would reserve room for it twice, and each place costs every
        // call a copy.
        let begin = || -> Result<Work, RpcError> {
            let answer = handler(app, call, decode::<P>(params)?);
            Ok(Box::pin(answer.map(|answer| encode(&answer.map_err(Into::into)?))))
        };
        let work = catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|_| Err(panicked()))?;
        Ok(Running { calling, work })
    })
}

fn encode(result: &impl serde::Serialize) -> Outcome {
    let mut reply = Vec::with_capacity(128);
    reply.extend_from_slice(RESULT_HEAD);
    serde_json::to_writer(&mut reply, result).map_err(|_| {
        tracing::error!("a result is no JSON");
        RpcError::internal()
    })?;
    Ok(reply)
}

/// Logs a panic. Its payload may hold anything, so it is not logged. The process's panic hook reports the location.
fn panicked() -> RpcError {
    tracing::error!("a handler panicked");
    RpcError::internal()
}
