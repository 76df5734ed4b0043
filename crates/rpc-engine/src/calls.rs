//! The unfinished calls of one connection, or of one POST: dispatch, batches, limits.
//!
//! A call is polled once where it was read, so that a quick call costs no task and no queue. Only a call that is not
//! ready then moves into the set of running calls, which is polled beside the reading.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::engine::{Engine, Shared, Slot};
use crate::error::RpcError;
use crate::mailbox::Peer;
use crate::method::{Call, ConnectionId};
use crate::router::{DISCOVER, Outcome, Running};
use crate::wire::{self, Element, Message, RESULT_HEAD, Request};

/// Dispatches messages and holds the unfinished calls.
pub(crate) struct Calls {
    shared: Arc<Shared>,
    caller: Arc<str>,
    peer: Option<Arc<Peer>>,
    /// Created for the first call that does not finish at once: many connections and nearly all POSTs never need it.
    running: Option<FuturesUnordered<InFlight>>,
    batches: BTreeMap<u64, Batch>,
    last_batch: u64,
}

/// Replies that are ready to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The next reply to write. Most of the time it is the only one.
    first: Option<Vec<u8>>,
    rest: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// A batch that has not been answered yet.
#[derive(Default)]
struct Batch {
    remaining: usize,
    reply: Vec<u8>,
    requests: Vec<u64>,
}

/// The reply that the answer of a call belongs to.
#[derive(Clone, Copy)]
enum Target {
    Message,
    Batch(u64),
}

/// The data needed to answer a call when it ends. A call that ends at once borrows its id from the message.
struct Ticket<I> {
    target: Target,
    request: u64,
    id: Option<I>,
}

struct InFlight {
    ticket: Option<Ticket<Box<str>>>,
    call: Running,
    _slot: Slot,
}

impl Calls {
    pub(crate) fn new(engine: &Engine, peer: Option<Arc<Peer>>) -> Self {
        let Engine { shared, caller } = engine.clone();
        Self { shared, caller, peer, running: None, batches: BTreeMap::new(), last_batch: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running() == 0
    }

    fn running(&self) -> usize {
        self.running.as_ref().map_or(0, FuturesUnordered::len)
    }

    /// Accepts one message. Replies that are ready at once go to `out`.
    pub(crate) fn accept(&mut self, text: &str, out: &mut Outbox) {
        match wire::parse(text, self.shared.limits()) {
            Message::Refused(error) => out.push(wire::error_reply(&error, None)),
            Message::Single(element) => self.element(element, Target::Message, out),
            Message::Batch(elements) => {
                self.last_batch += 1;
                let key = self.last_batch;
                let batch = Batch { remaining: elements.len(), ..Batch::default() };
                self.batches.insert(key, batch);
                for raw in elements {
                    let element = wire::parse_element(raw.get(), self.shared.limits());
                    self.element(element.unwrap_or(Element::Invalid(None)), Target::Batch(key), out);
                }
            }
        }
    }

    /// Collects the replies of calls that have finished since the last poll.
    pub(crate) fn poll_finished(&mut self, cx: &mut Context<'_>, out: &mut Outbox) {
        while let Some(running) = &mut self.running
            && let Poll::Ready(Some((ticket, outcome))) = running.poll_next_unpin(cx)
        {
            self.finish(&ticket, outcome, out);
        }
    }

    /// Runs all unfinished calls to their end.
    pub(crate) async fn finish_all(&mut self, out: &mut Outbox) {
        while let Some(running) = &mut self.running
            && let Some((ticket, outcome)) = running.next().await
        {
            self.finish(&ticket, outcome, out);
        }
    }

    /// Detaches the calls of a client that is gone. They continue in the engine's tracker until they end or the engine
    /// aborts.
    pub(crate) fn abandon(mut self) {
        if self.is_empty() {
            return;
        }
        let (tracker, abort) = (self.shared.tracker.clone(), self.shared.abort.token.clone());
        tracker.spawn(async move {
            abort.run_until_cancelled(self.finish_all(&mut Outbox::default())).await;
        });
    }

    fn element(&mut self, element: Element<'_>, target: Target, out: &mut Outbox) {
        match element {
            Element::Request(request) => self.request(&request, target, out),
            Element::Response => {
                self.shared.counters.ignored_responses.fetch_add(1, Ordering::Relaxed);
                self.answer(target, None, &[], out);
            }
            Element::Invalid(id) => {
                let error = wire::error_reply(&RpcError::invalid_request(), id.map(|id| id.as_str()));
                self.answer(target, Some(error), &[], out);
            }
        }
    }

    fn request(&mut self, request: &Request<'_>, target: Target, out: &mut Outbox) {
        let number = self.shared.counters.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let ticket = Ticket { target, request: number, id: request.id.map(|id| id.as_str()) };
        match self.start(request, number) {
            Err(error) => self.finish(&ticket, Err(error), out),
            Ok(None) => {
                let document = self.shared.service.openrpc();
                self.finish(&ticket, Ok([RESULT_HEAD, document].concat()), out);
            }
            Ok(Some((mut call, slot))) => {
                let mut cx = Context::from_waker(Waker::noop());
                match Pin::new(&mut call).poll(&mut cx) {
                    Poll::Ready(outcome) => self.finish(&ticket, outcome, out),
                    Poll::Pending => {
                        let Ticket { target, request, id } = ticket;
                        let ticket = Some(Ticket { target, request, id: id.map(Box::from) });
                        let running = self.running.get_or_insert_default();
                        running.push(InFlight { ticket, call, _slot: slot });
                    }
                }
            }
        }
    }

    /// Starts a call. Returns `None` for [`DISCOVER`], which has no handler.
    fn start(&self, request: &Request<'_>, number: u64) -> Result<Option<(Running, Slot)>, RpcError> {
        if self.shared.drain.is_on() {
            return Err(RpcError::shutting_down());
        }
        let Some(method) = self.shared.service.method(&request.method) else {
            let known = request.method == DISCOVER;
            return if known { Ok(None) } else { Err(RpcError::method_not_found()) };
        };
        if self.running() >= self.shared.limits().in_flight {
            return Err(RpcError::server_busy());
        }
        let slot = Slot::take(&self.shared).ok_or_else(RpcError::server_busy)?;
        let connection = self.peer.as_ref().map_or(ConnectionId(0), |peer| peer.id);
        let (caller, peer) = (self.caller.clone(), self.peer.clone());
        let call = Call { connection, caller, request: number, peer };
        let running = (method.start)(call, request.params)?;
        Ok(Some((running, slot)))
    }

    fn finish(&mut self, ticket: &Ticket<impl AsRef<str>>, outcome: Outcome, out: &mut Outbox) {
        let reply = match (ticket.id.as_ref().map(AsRef::as_ref), outcome) {
            (Some(id), Ok(reply)) => Some(wire::finish_result(reply, id)),
            (None, Ok(_)) => None,
            (id, Err(error)) => {
                self.shared.count_failure(id.is_none());
                if let Some(peer) = &self.peer {
                    peer.broker().revoke(peer, ticket.request);
                }
                id.map(|id| wire::error_reply(&error, Some(id)))
            }
        };
        self.answer(ticket.target, reply, &[ticket.request], out);
    }

    /// Puts a reply in its place. Events of subscriptions that the requests made may follow only after the reply is
    /// queued. A batch is queued when its last part is ready.
    fn answer(&mut self, target: Target, reply: Option<Vec<u8>>, requests: &[u64], out: &mut Outbox) {
        match target {
            Target::Message => {
                if let Some(reply) = reply {
                    out.push(reply);
                }
                self.release(requests);
            }
            Target::Batch(key) => {
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
                        out.push(batch.reply);
                    }
                    self.release(&batch.requests);
                }
            }
        }
    }

    fn release(&self, requests: &[u64]) {
        if let Some(peer) = &self.peer {
            for request in requests {
                peer.release(*request);
            }
        }
    }
}

impl Future for InFlight {
    type Output = (Ticket<Box<str>>, Outcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.call).poll(cx));
        // The set never polls a finished call again, so the ticket is always present here.
        self.ticket.take().map_or(Poll::Pending, |ticket| Poll::Ready((ticket, outcome)))
    }
}

impl Outbox {
    pub(crate) fn push(&mut self, mut reply: Vec<u8>) {
        // Replies consist of JSON text only. If one does not, the client still receives an answer.
        if std::str::from_utf8(&reply).is_err() {
            reply = wire::error_reply(&RpcError::internal(), None);
        }
        self.bytes += reply.len();
        match self.first {
            None => self.first = Some(reply),
            Some(_) => self.rest.push_back(reply),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let reply = self.first.take()?;
        self.first = self.rest.pop_front();
        self.bytes -= reply.len();
        Some(reply)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Returns whether the reading of requests should pause until some replies have been written.
    pub(crate) fn is_full(&self, limits: &crate::limits::Limits) -> bool {
        usize::from(self.first.is_some()) + self.rest.len() >= limits.outbound_messages
            || self.bytes >= limits.outbound_bytes
    }
}
