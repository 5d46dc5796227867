//! Reads what an endpoint reports: the reply to an invoke, and a checkpoint. Both are one list of ops (`workflow_ops`).
//!
//! Out of scope: what comes of them, and whether the sender may (the fence).

use crate::limits::{AWAIT_LEAVES_MAX, OPS_MAX};
use crate::publish::Rules;
use crate::workflow::{Op, PROTOCOL, ProtocolError};
use crate::workflow_await::Tree;
use crate::workflow_json::{Object, Path};
use crate::workflow_ops::{self, Said};

/// A reply, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The highest seq that the endpoint has read.
    pub have: i32,
    /// What it reports, in order; one that ends the run is the last.
    pub ops: Vec<Op>,
    /// What the run waits for.
    pub awaits: Option<Tree>,
    /// Why a person has to look: reason, and what that person needs to know, as JSON.
    pub pause: Option<(&'static str, String)>,
}

/// A checkpoint, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRequest {
    /// The highest seq that the endpoint has read.
    pub have: i32,
    /// What it reports, in order.
    pub ops: Vec<Op>,
}

/// Reads the body of a checkpoint.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_checkpoint(json: &[u8], rules: &Rules<'_>) -> Result<CheckpointRequest, ProtocolError> {
    let object = opened(json)?;
    let list = Path::Name(&object.path, "ops");
    let mut ops = Vec::new();
    for (index, said) in said(&object, rules)?.into_iter().enumerate() {
        match said {
            Said::Step(op) => ops.push(op),
            Said::Over(_) | Said::Pause(..) => {
                let at = Path::Index(&list, index);
                return Err(Path::Name(&at, "op").broken("an op that ends the run belongs into the reply, not into a checkpoint"));
            }
        }
    }
    Ok(CheckpointRequest { have: have(&object)?, ops })
}

/// Reads the body of a reply.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_reply(json: &[u8], rules: &Rules<'_>) -> Result<Reply, ProtocolError> {
    let object = opened(json)?;
    let list = Path::Name(&object.path, "ops");
    let said = said(&object, rules)?;
    let last = said.len().saturating_sub(1);
    let mut reply = Reply { have: have(&object)?, ops: Vec::with_capacity(said.len()), awaits: None, pause: None };
    for (index, said) in said.into_iter().enumerate() {
        let is_step = matches!(said, Said::Step(_));
        match said {
            Said::Step(op) | Said::Over(op) => reply.ops.push(op),
            Said::Pause(reason, detail) => reply.pause = Some((reason, detail)),
        }
        if !is_step && index != last {
            let at = Path::Index(&list, index);
            return Err(Path::Name(&at, "op").broken("an op that ends the run must be the last one"));
        }
    }
    let over = reply.ops.last().is_some_and(|op| op.key.is_none());
    if let Some(tree) = object.raw("await") {
        if over {
            return Err(object.broken("await", "must be absent when the run is over"));
        }
        reply.awaits = Some(Tree::parse(tree.get()).map_err(|fault| object.broken("await", fault))?);
    }
    Ok(reply)
}

fn opened(json: &[u8]) -> Result<Object<'_, 'static>, ProtocolError> {
    let object = Object::parse(json, Path::Root)?;
    match object.integer("v", i64::MIN, i64::MAX)? {
        Some(PROTOCOL) => Ok(object),
        Some(_) => Err(object.broken("v", format!("must be {PROTOCOL}: this engine speaks no other version of the protocol"))),
        None => Err(object.broken("v", "is required")),
    }
}

fn have(object: &Object<'_, '_>) -> Result<i32, ProtocolError> {
    Ok(object.integer("have", 0, i64::from(i32::MAX))?.unwrap_or(0) as i32)
}

fn said(object: &Object<'_, '_>, rules: &Rules<'_>) -> Result<Vec<Said>, ProtocolError> {
    let list = Path::Name(&object.path, "ops");
    let entries = object.required_array("ops", OPS_MAX)?;
    let one = |(index, raw): (usize, _)| workflow_ops::read(&Object::of(raw, Path::Index(&list, index))?, rules);
    entries.into_iter().enumerate().map(one).collect()
}

// A tree has no more leaves than a reply can plan.
const _: () = assert!(AWAIT_LEAVES_MAX >= OPS_MAX);

#[cfg(test)]
#[path = "workflow_reply_tests.rs"]
mod tests;
