//! The unfinished calls of one connection or POST: dispatch, batches and limits.
//!
//! A call is polled once as soon as it is read, so a quick call needs no task and no queue. Only a call that is not
//! ready at that point joins the set of running calls, which is polled alongside reading. Calls beyond the limit of
//! running calls wait, undone, in a bounded queue.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, Sleep};

use super::outbox::Outbox;
use super::state::{EngineState, InFlightPermit};
use crate::events::Subscriptions;
use crate::methods::{BoundMethod, Call, ConnectionId, DISCOVER, Outcome, Running};
use crate::wire::{
    Element, Message, RESULT_HEAD, Request, RpcError, error_reply, finish_result, parse, parse_element,
};

/// Dispatches messages and holds unfinished calls.
pub(super) struct Calls {
    state: Arc<EngineState>,
    origin: CallOrigin,
    /// True if new calls are rejected.
    draining: bool,
    running: FuturesUnordered<InFlight>,
    /// The calls that wait for a permit, oldest first. Their parameters have been decoded.
    waiting: VecDeque<Waiting>,
    /// The wait for the permit of the oldest waiting call.
    permit: Option<Pin<Box<dyn Future<Output = Option<InFlightPermit>> + Send>>>,
    /// The end of the oldest waiting call's patience.
    patience: Option<Pin<Box<Sleep>>>,
    batches: BTreeMap<u64, Batch>,
    last_batch: u64,
}

/// The connection or POST that a call came from.
pub(super) struct CallOrigin {
    pub(super) connection: ConnectionId,
    pub(super) caller: Arc<str>,
    pub(super) grant: Option<Arc<str>>,
    /// `None` for a POST.
    pub(super) subscriptions: Option<Subscriptions>,
}

/// A batch that has not been answered yet.
#[derive(Default)]
struct Batch {
    remaining: usize,
    reply: Vec<u8>,
    requests: Vec<u64>,
}

/// The destination of a reply: a single message or an element of a batch.
#[derive(Clone, Copy)]
enum ReplyTo {
    Single,
    Batch(u64),
}

/// The data needed to answer a call when it finishes.
struct PendingReply {
    to: ReplyTo,
    request: u64,
    /// `None` for a notification.
    id: Option<Box<str>>,
    /// The name of the method; `None` if there is no such method.
    method: Option<&'static str>,
}

/// A call that has not ended. After its longest time it is answered and goes on in a task of the engine.
struct InFlight {
    reply: Option<PendingReply>,
    /// The call, and its place among the calls of the engine.
    call: Option<(Running, InFlightPermit)>,
    deadline: Pin<Box<Sleep>>,
    state: Arc<EngineState>,
}

/// A call that has not been started, because too many others are running.
struct Waiting {
    reply: PendingReply,
    call: Running,
    longest: Duration,
    since: Instant,
}

/// A call that has been dispatched.
enum Started {
    /// A call whose handler can be started.
    Running(Running),
    /// A call that was answered without a handler.
    Finished(Vec<u8>),
}

impl Calls {
    pub(super) fn new(state: Arc<EngineState>, origin: CallOrigin) -> Self {
        Self {
            state,
            origin,
            draining: false,
            running: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            permit: None,
            patience: None,
            batches: BTreeMap::new(),
            last_batch: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Rejects new calls from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Accepts one message. Replies that are ready immediately go to `outbox`.
    pub(super) fn accept(&mut self, text: &str, outbox: &mut Outbox) {
        match parse(text, self.state.limits()) {
            Message::Refused(error) => outbox.push(error_reply(&error, None)),
            Message::Single(element) => self.element(element, ReplyTo::Single, outbox),
            Message::Batch(elements) => {
                self.last_batch += 1;
                let key = self.last_batch;
                let batch = Batch { remaining: elements.len(), ..Batch::default() };
                self.batches.insert(key, batch);
                for raw in elements {
                    let element = parse_element(raw.get(), self.state.limits());
                    self.element(element.unwrap_or(Element::Invalid(None)), ReplyTo::Batch(key), outbox);
                }
            }
        }
    }

    /// Collects the replies of calls that have finished since the last poll, and starts waiting calls in their place.
    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) {
        loop {
            while let Poll::Ready(Some((reply, outcome))) = self.running.poll_next_unpin(cx) {
                self.finish(&reply, outcome, outbox);
            }
            if !self.poll_waiting(cx, outbox) {
                return;
            }
        }
    }

    /// Runs all unfinished calls to completion.
    pub(super) async fn finish_all(&mut self, outbox: &mut Outbox) {
        std::future::poll_fn(|cx| {
            self.poll_finished(cx, outbox);
            if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes the oldest waiting call out of the queue if it can start, has waited too long or must not start any more.
    /// Returns whether it did.
    fn poll_waiting(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> bool {
        let Some(oldest) = self.waiting.front() else { return false };
        if self.draining {
            self.give_up(&RpcError::shutting_down(), outbox);
            return true;
        }
        let limits = self.state.limits();
        let until = oldest.since + limits.waiting_time;
        if self.running.len() < limits.in_flight {
            let state = &self.state;
            let permit = self.permit.get_or_insert_with(|| Box::pin(state.clone().permit()));
            if let Poll::Ready(Some(permit)) = permit.as_mut().poll(cx) {
                (self.permit, self.patience) = (None, None);
                if let Some(Waiting { reply, call, longest, .. }) = self.waiting.pop_front() {
                    self.begin(reply, call, longest, permit, outbox);
                }
                return true;
            }
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if patience.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.give_up(&RpcError::server_busy(), outbox);
        true
    }

    /// Answers the oldest waiting call without starting it.
    fn give_up(&mut self, error: &RpcError, outbox: &mut Outbox) {
        (self.permit, self.patience) = (None, None);
        if let Some(waiting) = self.waiting.pop_front() {
            self.finish(&waiting.reply, Err(error.clone()), outbox);
        }
    }

    /// Detaches the calls of a client that has disconnected. They continue in a task of the engine until they finish or
    /// the engine aborts them.
    pub(super) fn detach(mut self) {
        if self.is_empty() {
            return;
        }
        let (tasks, abort) = (self.state.tasks.clone(), self.state.abort.clone());
        tasks.spawn(async move {
            abort.run_until_cancelled(self.finish_all(&mut Outbox::default())).await;
        });
    }

    fn element(&mut self, element: Element<'_>, to: ReplyTo, outbox: &mut Outbox) {
        match element {
            Element::Request(request) => self.request(&request, to, outbox),
            Element::Response => {
                self.state.count_ignored_response();
                self.answer(to, None, &[], outbox);
            }
            Element::Invalid(id) => {
                let error = error_reply(&RpcError::invalid_request(), id.map(|id| id.as_str()));
                self.answer(to, Some(error), &[], outbox);
            }
        }
    }

    fn request(&mut self, request: &Request<'_>, to: ReplyTo, outbox: &mut Outbox) {
        let number = self.state.count_call();
        let state = self.state.clone();
        let method = state.service.method(&request.method);
        let is_discovery = method.is_none() && request.method == DISCOVER;
        let reply = PendingReply {
            to,
            request: number,
            id: request.id.map(|id| id.as_str().into()),
            method: method.map(BoundMethod::name).or_else(|| is_discovery.then_some(DISCOVER)),
        };
        match self.start(request, method, number) {
            Err(error) => self.finish(&reply, Err(error), outbox),
            Ok(Started::Finished(result)) => self.finish(&reply, Ok(result), outbox),
            Ok(Started::Running(call)) => {
                let longest = method.map(BoundMethod::longest).unwrap_or_default();
                self.admit(reply, call, longest, outbox);
            }
        }
    }

    /// Starts a call, or lets it wait while too many others are running.
    fn admit(&mut self, reply: PendingReply, call: Running, longest: Duration, outbox: &mut Outbox) {
        let limits = self.state.limits();
        let has_room = self.waiting.is_empty() && self.running.len() < limits.in_flight;
        if has_room && let Some(permit) = self.state.try_permit() {
            return self.begin(reply, call, longest, permit, outbox);
        }
        if self.waiting.len() >= limits.waiting {
            return self.finish(&reply, Err(RpcError::server_busy()), outbox);
        }
        self.waiting.push_back(Waiting { reply, call, longest, since: Instant::now() });
    }

    /// Polls a call once, and keeps it if it is not ready then.
    fn begin(
        &mut self,
        reply: PendingReply,
        mut call: Running,
        longest: Duration,
        permit: InFlightPermit,
        outbox: &mut Outbox,
    ) {
        let mut cx = Context::from_waker(Waker::noop());
        match call.as_mut().poll(&mut cx) {
            Poll::Ready(outcome) => self.finish(&reply, outcome, outbox),
            Poll::Pending => self.running.push(InFlight {
                reply: Some(reply),
                call: Some((call, permit)),
                deadline: Box::pin(tokio::time::sleep(longest)),
                state: self.state.clone(),
            }),
        }
    }

    fn start(
        &self,
        request: &Request<'_>,
        method: Option<&BoundMethod>,
        number: u64,
    ) -> Result<Started, RpcError> {
        if self.draining {
            return Err(RpcError::shutting_down());
        }
        let Some(method) = method else {
            if request.method == DISCOVER {
                let document = self.state.service.openrpc();
                return Ok(Started::Finished([RESULT_HEAD, document].concat()));
            }
            return Err(self.state.service.unknown_method(&request.method));
        };
        let CallOrigin { connection, caller, grant, subscriptions } = &self.origin;
        let call = Call {
            connection: *connection,
            caller: caller.clone(),
            grant: grant.clone(),
            unknown: Vec::new(),
            request: number,
            subscriptions: subscriptions.clone(),
        };
        Ok(Started::Running(method.start(call, request.params)?))
    }

    fn finish(&mut self, reply: &PendingReply, outcome: Outcome, outbox: &mut Outbox) {
        self.state.count_outcome(reply.method, outcome.as_ref().err());
        let text = match (reply.id.as_deref(), outcome) {
            (Some(id), Ok(result)) => Some(finish_result(result, id)),
            (None, Ok(_)) => None,
            (id, Err(error)) => {
                self.state.count_failure(id.is_none());
                if let Some(subscriptions) = &self.origin.subscriptions {
                    subscriptions.call_failed(reply.request);
                }
                id.map(|id| error_reply(&error, Some(id)))
            }
        };
        self.answer(reply.to, text, &[reply.request], outbox);
    }

    /// Stores a reply at its destination. Events of subscriptions made by these requests may follow only after the
    /// reply is queued. The reply to a batch is queued when its last element is ready.
    fn answer(&mut self, to: ReplyTo, reply: Option<Vec<u8>>, requests: &[u64], outbox: &mut Outbox) {
        match to {
            ReplyTo::Single => {
                if let Some(reply) = reply {
                    outbox.push(reply);
                }
                self.reply_queued(requests);
            }
            ReplyTo::Batch(key) => {
                let Some(batch) = self.batches.get_mut(&key) else { return };
                batch.remaining -= 1;
                batch.requests.extend_from_slice(requests);
                if let Some(reply) = reply {
                    batch.reply.push(if batch.reply.is_empty() { b'[' } else { b',' });
                    batch.reply.extend_from_slice(&reply);
                }
                if batch.remaining == 0
                    && let Some(mut batch) = self.batches.remove(&key)
                {
                    if !batch.reply.is_empty() {
                        batch.reply.push(b']');
                        outbox.push(batch.reply);
                    }
                    self.reply_queued(&batch.requests);
                }
            }
        }
    }

    fn reply_queued(&self, requests: &[u64]) {
        if let Some(subscriptions) = &self.origin.subscriptions {
            for request in requests {
                subscriptions.reply_queued(*request);
            }
        }
    }
}

impl InFlight {
    /// Lets the call go on without its caller, until it ends or the engine aborts.
    fn detach(&mut self) {
        let Some((call, permit)) = self.call.take() else { return };
        let abort = self.state.abort.clone();
        self.state.tasks.spawn(async move {
            abort.run_until_cancelled(call).await;
            drop(permit);
        });
    }
}

impl Future for InFlight {
    type Output = (PendingReply, Outcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.call.as_mut().map_or(Poll::Pending, |(call, _)| call.as_mut().poll(cx));
        let outcome = match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                std::task::ready!(self.deadline.as_mut().poll(cx));
                self.detach();
                Err(RpcError::unknown())
            }
        };
        // The set never polls a finished call again, so a reply is always present here.
        self.reply.take().map_or(Poll::Pending, |reply| Poll::Ready((reply, outcome)))
    }
}
