//! Options that say where something goes and how it is pushed: those of a message, which a schedule has too.
//!
//! Out of scope: judging them, which the API does; a wrong one comes back as a problem with its field.

use anyhow::Result;
use clap::Args;
use serde_json::value::RawValue;

use crate::clock::seconds;
use crate::exit::{Exit, Fault};
use crate::json_text::{Object, given};

/// Where it goes. One of the three.
#[derive(Args, Clone)]
#[group(id = "where", multiple = false)]
pub struct Target {
    /// The endpoint to push to
    #[arg(value_name = "DESTINATION")]
    pub to: Option<String>,
    /// Every endpoint of this fanout
    #[arg(long, value_name = "NAME")]
    pub fanout: Option<String>,
    /// Starts a run of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
}

/// How it is pushed.
#[derive(Args, Clone)]
pub struct Delivery {
    /// JSON to send: itself, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    pub body: Option<String>,
    /// Method of the push
    #[arg(long)]
    pub method: Option<String>,
    /// A header of the push, "Name: value"; may be given several times
    #[arg(long = "header", short = 'H', value_name = "HEADER", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// How often it is tried
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<u32>,
    /// How long one try may take: 30, 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub timeout: Option<u64>,
    /// The waits between tries, such as '{"type": "fixed", "initialSeconds": 10}'
    #[arg(long, value_name = "JSON")]
    pub backoff: Option<String>,
    /// A label to filter by; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Messages with one key share limits
    #[arg(long, value_name = "KEY")]
    pub flow_key: Option<String>,
    /// At most so many of the key at the same time; 1 keeps their order
    #[arg(long, value_name = "N", requires = "flow_key")]
    pub parallelism: Option<u32>,
    /// At most so many of the key in a period
    #[arg(long, value_name = "N", requires = "flow_key")]
    pub rate: Option<u32>,
    /// The period of --rate; a second without it
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "rate")]
    pub period: Option<u64>,
    /// Told by a signed message when it is delivered
    #[arg(long, value_name = "URL")]
    pub callback_url: Option<String>,
    /// Told by a signed message when it has failed
    #[arg(long, value_name = "URL")]
    pub failure_callback_url: Option<String>,
    /// Started when it is delivered
    #[arg(long, value_name = "WORKFLOW")]
    pub callback_workflow: Option<String>,
    /// Started when it has failed
    #[arg(long, value_name = "WORKFLOW")]
    pub failure_callback_workflow: Option<String>,
}

/// Reads a header, `Name: value`.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Target {
    /// Adds where it goes.
    pub fn write(&self, object: &mut Object) -> Result<()> {
        if self.to.is_none() && self.fanout.is_none() && self.workflow.is_none() {
            return Err(Fault::error(Exit::Usage, "say where it goes: a URL, --fanout or --workflow"));
        }
        object.set("url", self.to.as_ref())?;
        object.set("fanout", self.fanout.as_ref())?;
        object.set("workflow", self.workflow.as_ref())
    }
}

impl Delivery {
    /// Adds how it is pushed.
    pub fn write(&self, object: &mut Object) -> Result<()> {
        object.raw("body", json(self.body.as_deref(), "--body")?);
        object.set("method", self.method.as_ref().map(|method| method.to_uppercase()))?;
        let mut headers = Object::default();
        for (name, value) in &self.headers {
            headers.set(name, Some(value))?;
        }
        object.object("headers", &headers)?;
        object.set("maxAttempts", self.max_attempts)?;
        object.set("timeoutSeconds", self.timeout)?;
        object.raw("backoff", json(self.backoff.as_deref(), "--backoff")?);
        object.set("labels", Some(&self.labels).filter(|labels| !labels.is_empty()))?;
        let mut flow = Object::default();
        flow.set("key", self.flow_key.as_ref())?;
        flow.set("parallelism", self.parallelism)?;
        flow.set("rate", self.rate)?;
        flow.set("periodSeconds", self.period)?;
        object.object("flowControl", &flow)?;
        object.set("callbackUrl", self.callback_url.as_ref())?;
        object.set("failureCallbackUrl", self.failure_callback_url.as_ref())?;
        object.set("callbackWorkflow", self.callback_workflow.as_ref())?;
        object.set("failureCallbackWorkflow", self.failure_callback_workflow.as_ref())
    }
}

fn json(argument: Option<&str>, name: &str) -> Result<Option<Box<RawValue>>> {
    argument.map(|argument| given(argument, name)).transpose()
}
