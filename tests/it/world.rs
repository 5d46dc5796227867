//! Test bed of the in-process tests: a database of its own, the real store on real connections, a clock that can be moved.
//!
//! Out of scope: hosts and HTTP, which `scenarios/` sees from outside.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tikku_domain::destination::UrlPolicy;
use tikku_domain::ids::{AccountId, MessageId};
use tikku_domain::message::{Settlement, Verdict};
use tikku_domain::publish::{self, Rules};
use tikku_platform::db;
use tikku_store::{Loaded, Published, Store};
use tokio_postgres::{Client, NoTls};

use crate::postgres::Cluster;

/// One database with an account.
pub struct World {
    pub url: String,
    pub store: Arc<Store>,
    pub account: AccountId,
    pub key_hash: Vec<u8>,
}

impl World {
    pub async fn new(name: &str) -> World {
        let url = Cluster::shared().unwrap().database(name).await.unwrap();
        let store = Arc::new(open(&url, 0));
        store.migrate().await.unwrap();
        let account = store.account_create("test").await.unwrap().unwrap();
        let key_hash = Sha256::digest(account.key.as_bytes()).to_vec();
        World { url, store, account: account.id, key_hash }
    }

    /// The same database with the clock moved.
    pub fn later(&self, seconds: i64) -> Store {
        open(&self.url, seconds)
    }

    /// A connection for blockers and for looking.
    pub async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub async fn publish(&self, json: &str) -> Published {
        self.publish_on(&self.store, json).await
    }

    /// Publishes on a store of another time.
    pub async fn publish_on(&self, store: &Store, json: &str) -> Published {
        let policy = UrlPolicy { allow_http: false, allow_cidrs: Vec::new() };
        let message = publish::parse(json.as_bytes(), &Rules { policy: &policy, timeout_seconds_max: 840 }).unwrap();
        store.message_publish(&self.key_hash, &message).await.unwrap()
    }

    /// A message that is due now.
    pub async fn message(&self) -> MessageId {
        match self.publish(r#"{"url": "https://example.com/hook", "body": 1}"#).await {
            Published::Accepted { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn state(&self, id: MessageId) -> String {
        self.store.message_get(self.account, id).await.unwrap().unwrap().status
    }

    pub async fn attempts(&self, id: MessageId) -> usize {
        self.store.message_detail(self.account, id).await.unwrap().unwrap().attempts.len()
    }

    /// Waits until a statement of another connection waits for a lock.
    pub async fn somebody_waits(&self) {
        let client = self.client().await;
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        for _ in 0..6_000 {
            if client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody came to wait for the blocker's lock");
    }
}

fn open(url: &str, offset_s: i64) -> Store {
    Store::new(db::clients(&format!("{url}&options=-c%20tikku.clock_offset%3D{offset_s}s"), None, 16).unwrap())
}

/// The fences of those that a load started.
pub fn started(loaded: &[Loaded]) -> Vec<(MessageId, i64)> {
    loaded.iter().filter_map(|l| if let Loaded::Started(job) = l { Some((job.id, job.fence)) } else { None }).collect()
}

/// A 200 for a lease, for a push that began at 1 on a clock that says 5.
pub fn delivered(id: MessageId, fence: i64) -> (Settlement, u64) {
    let settlement = Settlement {
        id,
        fence,
        verdict: Verdict::Delivered,
        throttled: false,
        broken: Some(false),
        duration_ms: 3,
        status: Some(200),
        error: None,
        response_headers: vec![("x".to_owned(), "y".to_owned())],
        response_body: Some(b"ok".to_vec()),
        retry_after_ms: None,
        callback: None,
        fetched: None,
    };
    (settlement, 1)
}

/// A 500 for a lease, to be tried again at once.
pub fn retried(id: MessageId, fence: i64) -> (Settlement, u64) {
    let (settlement, ago_ms) = delivered(id, fence);
    (Settlement { verdict: Verdict::Retrying { delay_ms: 0 }, status: Some(500), error: Some("500".to_owned()), ..settlement }, ago_ms)
}
