//! The state of one dispatch: what was recorded, what the workflow asks for, what is still to be told to the engine.
//!
//! In scope: every rule of replay and determinism (docs/protocol.md), as plain transitions. Out of scope: polling the workflow (`drive`), time, HTTP.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::outbox::{Outbox, Outgoing};
use crate::wire::{Diff, Entry, KeyKind, OPS_MAX, Page, Pending};

/// The key of a step: its name, `#`, its occurrence.
pub type Key = Arc<str>;

/// How a step ended, as the workflow gets it.
#[derive(Debug)]
pub enum Settled {
    /// With a value that was recorded.
    Value(Box<RawValue>),
    /// With what the body in this process gave: the record is its own.
    Own,
    Failure(Failure),
    Timeout,
}

/// How far a step that the workflow asked for has come in this dispatch.
#[derive(Debug)]
pub enum Phase {
    /// Asked for; whether it may begin is not decided.
    Asked,
    /// Its body may begin, with this attempt number.
    Granted(u32),
    /// Its body runs.
    Running,
    /// Its outcome is on the way to the engine; `early`: the workflow gets it before it is recorded.
    Finished {
        early: bool,
    },
    /// The engine has it, or is told of it: a wait, or a retry.
    Planned,
    Settled(Settled),
    /// The workflow has its result, or has given it up.
    Gone,
}

struct Ask {
    kind: &'static str,
    phase: Phase,
    /// The op that plans it; none for a step with a body.
    plan: Option<Box<RawValue>>,
    /// The plan of a sleep is told again: its length may have changed.
    replan: bool,
    waker: Option<Waker>,
    group: usize,
}

#[derive(Default)]
struct Slot {
    entry: Option<Entry>,
    pending: Option<Pending>,
    ask: Option<Ask>,
}

/// What a step asks for when it is polled for the first time.
pub struct Asked {
    pub kind: &'static str,
    pub plan: Option<Box<RawValue>>,
    pub replan: bool,
}

/// The outcome of a step body.
pub struct Finish {
    pub op: Box<RawValue>,
    /// It becomes an entry; otherwise it is a retry.
    pub is_final: bool,
}

#[derive(Default)]
pub struct Journal {
    slots: HashMap<Key, Slot>,
    /// Entries that were asked for and not delivered yet, and those that nobody has asked for, by `seq`.
    ready: BTreeMap<u64, Key>,
    unasked: BTreeMap<u64, Key>,
    /// Steps without an entry that were asked for and did not begin, in the order of asking.
    fresh: VecDeque<Key>,
    /// Results that the workflow may have before they are recorded, in the order they came.
    local: VecDeque<Key>,
    mismatches: Diff,
    /// The highest `seq` read; entries up to `accept` may stay unasked.
    pub have: u64,
    pub accept: u64,
    pub next: Option<String>,
    pub outbox: Outbox,
    /// Bodies that may run, and those that run.
    pub in_flight: usize,
    /// Live asks that only the engine can settle, and results that wait for their record.
    engine_waits: usize,
    unrecorded: usize,
    /// So many results may settle before they are recorded, where that cannot change their order.
    pub early_max: usize,
    /// All results travel in one reply: no more begins than it has room for.
    pub one_reply: bool,
    /// A recorded outcome differs from the one that the workflow was given early.
    pub contradicted: bool,
    /// A step body is being polled right now.
    pub in_body: bool,
    pub groups: crate::tree::Groups,
}

impl Journal {
    pub fn new(page: Page, pending: Vec<Pending>, accept: u64) -> Self {
        let mut journal = Self { accept, ..Self::default() };
        for one in pending {
            let key = Key::from(one.key.as_str());
            journal.slots.entry(key).or_default().pending = Some(one);
        }
        journal.absorb(page);
        journal
    }

    /// Takes a page of the journal. What was read before changes nothing.
    pub fn absorb(&mut self, page: Page) {
        for entry in page.entries {
            self.have = self.have.max(entry.seq);
            self.record(entry);
        }
        self.have = self.have.max(page.seq);
        self.next = page.next;
    }

    fn record(&mut self, entry: Entry) {
        let key: Key = entry.key.as_str().into();
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.entry.is_some() {
            return;
        }
        let seq = entry.seq;
        match &slot.ask {
            None => _ = self.unasked.insert(seq, key),
            Some(ask) if ask.kind != entry.kind => self.mismatches.add(&entry.key, &entry.kind, ask.kind),
            Some(Ask { phase: Phase::Gone, .. }) => self.contradicted |= self.outbox.contradicts(&entry),
            Some(_) => _ = self.ready.insert(seq, key),
        }
        slot.entry = Some(entry);
    }

    /// Registers what the workflow asks for. Nothing begins by it.
    pub fn ask(&mut self, key: &Key, asked: Asked, waker: Waker) {
        let slot = self.slots.entry(key.clone()).or_default();
        let recorded = slot.entry.as_ref().map(|entry| (entry.seq, entry.kind.as_str()));
        let known = recorded.map(|(_, kind)| kind).or(slot.pending.as_ref().map(|pending| pending.kind.as_str()));
        if let Some(known) = known.filter(|known| *known != asked.kind) {
            self.mismatches.add(key, known, asked.kind);
        } else if let Some((seq, _)) = recorded {
            self.unasked.remove(&seq);
            self.ready.insert(seq, key.clone());
        } else {
            self.fresh.push_back(key.clone());
        }
        self.engine_waits += usize::from(asked.plan.is_some());
        let Asked { kind, plan, replan } = asked;
        slot.ask = Some(Ask { kind, phase: Phase::Asked, plan, replan, waker: Some(waker), group: self.groups.current });
    }

    /// How far a step is, for its future: granted once, settled once, running, or else "asked". Keeps the waker.
    pub fn turn(&mut self, key: &str, waker: &Waker) -> Phase {
        let group = self.groups.current;
        let Some(ask) = self.slots.get_mut(key).and_then(|slot| slot.ask.as_mut()) else { return Phase::Gone };
        ask.group = group;
        if let Phase::Settled(_) = ask.phase {
            return std::mem::replace(&mut ask.phase, Phase::Gone);
        }
        match &mut ask.waker {
            Some(kept) => kept.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        match ask.phase {
            Phase::Granted(_) => std::mem::replace(&mut ask.phase, Phase::Running),
            Phase::Running => Phase::Running,
            _ => Phase::Asked,
        }
    }

    /// Gives the workflow the next result, if there is one that it asked for: its waker.
    pub fn deliver(&mut self) -> Option<Waker> {
        while let Some(key) = self.local.pop_front() {
            if let Some(waker) = self.settle(&key, Settled::Own) {
                return Some(waker);
            }
        }
        while let Some((_, key)) = self.ready.pop_first() {
            let Some(entry) = self.slots.get_mut(&key).and_then(|slot| slot.entry.as_mut()) else { continue };
            let settled = match entry.state.as_str() {
                "ok" | "error" if entry.echo && matches!(entry.kind.as_str(), "run" | "ai") => Settled::Own,
                "ok" => Settled::Value(entry.value.take().unwrap_or_else(crate::wire::null)),
                "timeout" => Settled::Timeout,
                _ => Settled::Failure(entry.error.take().unwrap_or_else(|| Failure::new("Error", "the step failed"))),
            };
            if let Some(waker) = self.settle(&key, settled) {
                return Some(waker);
            }
        }
        None
    }

    fn settle(&mut self, key: &Key, settled: Settled) -> Option<Waker> {
        let ask = self.slots.get_mut(key)?.ask.as_mut()?;
        match ask.phase {
            Phase::Gone | Phase::Settled(_) => return None,
            Phase::Granted(_) | Phase::Running => self.in_flight -= 1,
            Phase::Finished { early } => self.unrecorded -= usize::from(!early),
            Phase::Asked | Phase::Planned => {}
        }
        self.engine_waits -= usize::from(ask.plan.is_some());
        ask.phase = Phase::Settled(settled);
        ask.waker.take()
    }

    /// The future of a step was dropped: nobody wants its result any more.
    pub fn give_up(&mut self, key: &str) {
        let Some(ask) = self.slots.get_mut(key).and_then(|slot| slot.ask.as_mut()) else { return };
        match std::mem::replace(&mut ask.phase, Phase::Gone) {
            Phase::Gone | Phase::Settled(_) => return,
            Phase::Granted(_) | Phase::Running => self.in_flight -= 1,
            Phase::Finished { early } => self.unrecorded -= usize::from(!early),
            Phase::Asked | Phase::Planned => {}
        }
        self.engine_waits -= usize::from(ask.plan.is_some());
        ask.waker = None;
    }

    /// A step body has ended.
    pub fn finish(&mut self, key: &Key, finish: Finish) {
        let in_order = self.engine_waits == 0 && self.unrecorded == 0;
        let early = finish.is_final && in_order && self.outbox.early() < self.early_max;
        let Some(ask) = self.slots.get_mut(key).and_then(|slot| slot.ask.as_mut()) else { return };
        self.in_flight -= 1;
        ask.phase = if finish.is_final { Phase::Finished { early } } else { Phase::Planned };
        self.unrecorded += usize::from(finish.is_final && !early);
        self.outbox.push(Outgoing { key: key.clone(), op: finish.op, settles: finish.is_final && !early, early });
        if early {
            self.local.push_back(key.clone());
        }
    }

    /// How the code and the journal differ, once everything that was asked for is delivered. `over`: the workflow has ended.
    pub fn divergence(&self, over: bool) -> Option<Diff> {
        if !self.mismatches.asked.is_empty() {
            return Some(self.mismatches.clone());
        }
        let mut left = self.unasked.range(self.accept + 1..).peekable();
        left.peek()?;
        let new = |key: &&Key| {
            let slot = &self.slots[*key];
            slot.pending.is_none() && slot.ask.as_ref().is_some_and(|ask| matches!(ask.phase, Phase::Asked))
        };
        let asked: Vec<KeyKind> = self.fresh.iter().filter(new).take(100).map(|key| self.name(key)).collect();
        let expected = left.take(100).map(|(_, key)| self.name(key)).collect();
        (over || !asked.is_empty()).then_some(Diff { expected, asked })
    }

    fn name(&self, key: &Key) -> KeyKind {
        let slot = &self.slots[key];
        let recorded = slot.entry.as_ref().map(|entry| entry.kind.clone());
        let kind = recorded.or(slot.ask.as_ref().map(|ask| ask.kind.to_owned())).unwrap_or_default();
        KeyKind { key: key.to_string(), kind }
    }

    /// Lets what was asked for begin, in order: whether anything did. Call it only when nothing diverges.
    pub fn begin(&mut self) -> bool {
        let mut began = false;
        for key in std::mem::take(&mut self.fresh) {
            if self.one_reply && self.in_flight + self.outbox.len() >= OPS_MAX - 1 {
                self.fresh.push_back(key);
                continue;
            }
            let Some(Slot { ask: Some(ask), pending, .. }) = self.slots.get_mut(&key) else { continue };
            if !matches!(ask.phase, Phase::Asked) {
                continue;
            }
            let pending = pending.as_ref();
            let waits = pending.is_some_and(|pending| pending.wait_ms.is_some_and(|ms| ms > 0));
            match &ask.plan {
                None if waits => ask.phase = Phase::Planned,
                None => {
                    ask.phase = Phase::Granted(pending.map_or(1, |pending| pending.attempt));
                    self.in_flight += 1;
                    ask.waker.take().inspect(Waker::wake_by_ref);
                    began = true;
                }
                Some(op) => {
                    ask.phase = Phase::Planned;
                    if pending.is_none() || ask.replan {
                        let settles = pending.is_none() && ask.kind == "publish";
                        self.outbox.push(Outgoing { key: key.clone(), op: op.clone(), settles, early: false });
                    }
                }
            }
        }
        began
    }

    /// Whether [`deliver`](Self::deliver) has something to look at.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty() || !self.local.is_empty()
    }

    /// The live asks that are not settled, with their groups; none if one of them is unknown to the engine.
    pub fn leaves(&self) -> Option<Vec<(Key, usize)>> {
        let mut leaves = Vec::new();
        for (key, slot) in &self.slots {
            match slot.ask.as_ref().map(|ask| (&ask.phase, ask.group)) {
                None | Some((Phase::Gone | Phase::Settled(_), _)) => {}
                Some((Phase::Planned | Phase::Finished { .. }, group)) => leaves.push((key.clone(), group)),
                Some(_) => return None,
            }
        }
        leaves.sort();
        Some(leaves)
    }
}

impl Diff {
    fn add(&mut self, key: &str, expected: &str, asked: &str) {
        self.expected.push(KeyKind { key: key.to_owned(), kind: expected.to_owned() });
        self.asked.push(KeyKind { key: key.to_owned(), kind: asked.to_owned() });
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
