//! What a Lambda function starts with: its environment, the database secret, SQS.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use serde::Deserialize;
use tikku_store::Store;

pub use super::batch::batch;
use super::http::Http;
use super::queue::{Queue, SqsQueue};
use super::{db, log};
use crate::{Config, ConfigError, Ctx};

/// In flight at once within one invocation: no fewer than a batch of the queue has ids.
const SLOTS: usize = 100;
/// A call of SQS or Secrets Manager with all its tries; a kick that fails is tick's.
const OPERATION_MAX: Duration = Duration::from_secs(10);
/// Connections of one instance: an instance handles one invocation at a time.
const CONNECTIONS: usize = 2;

/// Reads the environment, starts logging, and makes the context of a Lambda function.
pub async fn ctx() -> Result<Ctx, ConfigError> {
    log::init();
    let extra_ca_file = var("TIKKU_EXTRA_CA_FILE");
    let extra_ca_file = extra_ca_file.as_deref();
    let sdk = sdk().await;
    let worker = var("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_else(|| format!("lambda-{}", std::process::id()));
    let config = Config::read(var, SLOTS, worker)?;
    let (messages_url, runs_url) = (required("TIKKU_QUEUE_URL")?, required("TIKKU_RUN_QUEUE_URL")?);
    let clients = db::clients(&database_url(&sdk).await?, extra_ca_file, CONNECTIONS)?;
    Ok(Ctx {
        store: Store::new(clients),
        http: Http::new(config.policy.clone(), extra_ca_file)?,
        queue: Queue::Live(SqsQueue::new(aws_sdk_sqs::Client::new(&sdk), messages_url, runs_url)),
        config,
    })
}

#[allow(clippy::disallowed_methods, reason = "the one place where a Lambda function reads its environment")]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &'static str) -> Result<String, ConfigError> {
    var(name).ok_or(ConfigError { name, detail: "is not set".to_owned() })
}

async fn sdk() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let patience = TimeoutConfig::builder().operation_timeout(OPERATION_MAX).build();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(patience).load().await
}

/// The secret that RDS and Aurora keep: a JSON object.
#[derive(Deserialize)]
struct RdsSecret {
    username: String,
    password: String,
    host: String,
    port: Option<u16>,
    dbname: Option<String>,
}

/// `DATABASE_URL`, else the secret `DATABASE_SECRET_ARN`: a `postgres://` URL, or the JSON that RDS writes.
async fn database_url(sdk: &SdkConfig) -> Result<String, ConfigError> {
    if let Some(url) = var("DATABASE_URL") {
        return Ok(url);
    }
    let fault = |detail: String| ConfigError { name: "DATABASE_SECRET_ARN", detail };
    let arn = var("DATABASE_SECRET_ARN").ok_or_else(|| fault("neither it nor DATABASE_URL is set".to_owned()))?;
    let answer = aws_sdk_secretsmanager::Client::new(sdk).get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| fault(aws_sdk_secretsmanager::error::DisplayErrorContext(&error).to_string()))?;
    let text = answer.secret_string().unwrap_or_default();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(text.to_owned());
    }
    // The parser's message could hold a piece of the secret.
    let secret: RdsSecret = serde_json::from_str(text)
        .map_err(|_| fault("expected a postgres:// URL or {username, password, host, port, dbname}".to_owned()))?;
    let mut url = url::Url::parse("postgres://host/").map_err(|error| fault(error.to_string()))?;
    let set = url.set_host(Some(&secret.host)).is_ok()
        && url.set_port(secret.port).is_ok()
        && url.set_username(&secret.username).is_ok()
        && url.set_password(Some(&secret.password)).is_ok();
    if !set {
        return Err(fault("its host, username or password cannot be part of a URL".to_owned()));
    }
    url.set_path(secret.dbname.as_deref().unwrap_or("postgres"));
    url.set_query(Some("sslmode=require"));
    Ok(url.to_string())
}
