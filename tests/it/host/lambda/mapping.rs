//! Test bed: an SQS queue (served by moto, spoken to by aws-sdk-sqs) and the event source mapping that feeds a function from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, QueueAttributeName};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::runtime_api::Invoker;
use crate::host::stage;

const BATCH: i32 = 10;
// The endpoint wakes a long poll for a delayed message only once a second, where SQS does so at once: so it is asked often, though
// not by every deployment of the run.
const POLL_EVERY: Duration = Duration::from_millis(50);
const POLL_SELDOM: Duration = Duration::from_millis(250);
// From as many concurrent batches on, the deployment is one that many scenarios share.
const SHARED_FROM: usize = 8;
const VISIBILITY_S: u32 = 120;

/// A queue and the client that speaks to it.
#[derive(Clone)]
pub struct Queue {
    pub url: String,
    client: Client,
}

/// The poller that invokes a function with batches. Dropping it stops the polling.
pub struct Mapping {
    pub queue: Queue,
    held: Arc<AtomicBool>,
    invocations: Arc<AtomicUsize>,
    poller: JoinHandle<()>,
}

/// Waits until the endpoint takes connections.
pub async fn answers(port: u16) -> Result<()> {
    for _ in 0..1_200 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nothing listens on port {port}")
}

/// Creates a queue.
pub async fn create_queue(endpoint_url: &str, name: &str) -> Result<Queue> {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint_url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = Client::from_conf(config);
    let created =
        client.create_queue().queue_name(name).attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string()).send().await;
    let url = created.context("creating the queue")?.queue_url().context("a queue URL")?.to_owned();
    Ok(Queue { url, client })
}

impl Queue {
    /// Sends a wake message of our own making.
    pub async fn send(&self, body: &str, delay_s: i32) {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(delay_s)
            .send()
            .await
            .expect("SQS takes a message");
    }

    /// Throws away what waits in the queue and can be received; returns how many. (`PurgeQueue` works once a minute.)
    pub async fn drop_all(&self) -> usize {
        let mut dropped = 0;
        loop {
            let messages = self.receive().await;
            if messages.is_empty() {
                return dropped;
            }
            dropped += messages.len();
            self.delete(&messages.iter().collect::<Vec<_>>()).await;
        }
    }

    async fn receive(&self) -> Vec<Message> {
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(BATCH).wait_time_seconds(0);
        let received = request.message_system_attribute_names(aws_sdk_sqs::types::MessageSystemAttributeName::All).send().await;
        received.map(|output| output.messages.unwrap_or_default()).unwrap_or_default()
    }

    async fn delete(&self, messages: &[&Message]) {
        let entry = |(n, message): (usize, &&Message)| {
            let receipt = message.receipt_handle().unwrap_or_default();
            DeleteMessageBatchRequestEntry::builder().id(n.to_string()).receipt_handle(receipt).build().expect("complete")
        };
        let entries: Vec<_> = messages.iter().enumerate().map(entry).collect();
        if !entries.is_empty() {
            let _ = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        }
    }

    // Makes a message visible again in a second.
    async fn give_back(&self, message: &Message) {
        let receipt = message.receipt_handle().unwrap_or_default();
        let _ = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt).visibility_timeout(1).send().await;
    }
}

impl Mapping {
    /// Starts to feed a function, at most `concurrency` batches at once.
    pub fn start(queue: Queue, function: Invoker, concurrency: usize) -> Mapping {
        let (held, invocations) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let poller = stage().spawn(poll(queue.clone(), function, Arc::new(Semaphore::new(concurrency)), held.clone(), invocations.clone()));
        Mapping { queue, held, invocations, poller }
    }

    /// Stops taking messages out of the queue: they are delayed.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Takes messages again.
    pub fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }

    /// How many batches were handed to the function so far.
    pub fn invocations(&self) -> usize {
        self.invocations.load(Ordering::Relaxed)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

async fn poll(queue: Queue, function: Invoker, slots: Arc<Semaphore>, held: Arc<AtomicBool>, invocations: Arc<AtomicUsize>) {
    let every = if slots.available_permits() < SHARED_FROM { POLL_SELDOM } else { POLL_EVERY };
    loop {
        let slot = slots.clone().acquire_owned().await.expect("never closed");
        let messages = if held.load(Ordering::Relaxed) { Vec::new() } else { queue.receive().await };
        if messages.is_empty() {
            drop(slot);
            tokio::time::sleep(every).await;
            continue;
        }
        invocations.fetch_add(1, Ordering::Relaxed);
        let (queue, function) = (queue.clone(), function.clone());
        tokio::spawn(async move {
            let answer = function.invoke(event(&messages).to_string().into_bytes()).await;
            let failed = failures(answer, &messages);
            let is_failed = |message: &&Message| failed.iter().any(|id| Some(id.as_str()) == message.message_id());
            let (failed, done): (Vec<_>, Vec<_>) = messages.iter().partition(is_failed);
            queue.delete(&done).await;
            for message in failed {
                queue.give_back(message).await;
            }
            drop(slot);
        });
    }
}

// ReportBatchItemFailures: a function error, or an answer that names an unknown id, fails the whole batch.
fn failures(answer: Result<bytes::Bytes, String>, messages: &[Message]) -> Vec<String> {
    let all = || messages.iter().filter_map(|m| m.message_id().map(str::to_owned)).collect::<Vec<_>>();
    let Ok(answer) = answer else { return all() };
    let Ok(answer) = serde_json::from_slice::<Value>(&answer) else { return all() };
    let Some(failed) = answer["batchItemFailures"].as_array() else { return Vec::new() };
    let failed: Vec<String> = failed.iter().filter_map(|f| f["itemIdentifier"].as_str().map(str::to_owned)).collect();
    let known = all();
    if failed.iter().all(|id| known.contains(id)) { failed } else { known }
}

fn event(messages: &[Message]) -> Value {
    let records = messages.iter().map(|message| {
        let attributes =
            message.attributes().map(|all| all.iter().map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect::<Value>());
        json!({
            "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
            "attributes": attributes.unwrap_or_else(|| json!({})), "messageAttributes": {}, "md5OfBody": message.md5_of_body(),
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:tikku-wake", "awsRegion": "us-east-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}
