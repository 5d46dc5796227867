//! `step.all`: waits for all of several futures, and tells the engine that it does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};

use crate::failure::Failure;
use crate::run_info::Shared;

/// The future of [`Step::all`](crate::Step::all).
#[must_use = "steps do nothing unless they are awaited"]
pub struct All<F: Future> {
    members: FuturesUnordered<Member<F>>,
    ended: Vec<Option<F::Output>>,
}

struct Member<F> {
    index: usize,
    group: usize,
    shared: Arc<Shared>,
    future: Pin<Box<F>>,
}

impl<F: Future> Unpin for All<F> {}

impl<F: Future> All<F> {
    pub(crate) fn new(shared: &Arc<Shared>, futures: impl IntoIterator<Item = F>) -> Self {
        // The futures come from the caller's iterator, which may use the step: it is through before the journal is locked.
        let futures: Vec<F> = futures.into_iter().collect();
        let mut journal = shared.journal();
        let parent = journal.groups.current;
        let all = journal.groups.add(parent, true);
        let member = |(index, future)| {
            let group = journal.groups.add(all, false);
            Member { index, group, shared: shared.clone(), future: Box::pin(future) }
        };
        let members: FuturesUnordered<_> = futures.into_iter().enumerate().map(member).collect();
        let ended = std::iter::repeat_with(|| None).take(members.len()).collect();
        Self { members, ended }
    }
}

impl<F: Future> Future for Member<F> {
    type Output = (usize, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let group = self.group;
        let outer = std::mem::replace(&mut self.shared.journal().groups.current, group);
        let polled = self.future.as_mut().poll(cx);
        self.shared.journal().groups.current = outer;
        polled.map(|output| (self.index, output))
    }
}

impl<F: Future<Output = Result<T, Failure>>, T> Future for All<F> {
    type Output = Result<Vec<T>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Poll::Ready(next) = Pin::new(&mut self.members).poll_next(cx) {
            let Some((index, output)) = next else {
                return Poll::Ready(self.ended.drain(..).flatten().collect());
            };
            self.ended[index] = Some(output);
        }
        Poll::Pending
    }
}
