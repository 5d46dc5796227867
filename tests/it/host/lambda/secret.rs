//! Test bed: Secrets Manager (served by moto), with a secret as RDS writes it. Plain HTTP: this side needs no SDK.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::Api;

/// Stores the parts of a database URL as a secret; returns its ARN.
pub async fn create(endpoint_url: &str, name: &str, database_url: &str) -> Result<String> {
    let address = database_url.split(['@', '/', '?']).collect::<Vec<_>>();
    // postgres: "" user:password host:port database
    let [_, _, user, address, database, ..] = address[..] else { anyhow::bail!("{database_url}") };
    let (username, password) = user.split_once(':').context("a password")?;
    let (host, port) = address.split_once(':').context("a port")?;
    let secret = json!({ "engine": "postgres", "username": username, "password": password, "host": host, "port": port.parse::<u16>()?, "dbname": database });
    let body = json!({ "Name": name, "SecretString": secret.to_string(), "ClientRequestToken": "00000000-0000-4000-8000-000000000000" });
    let headers = [
        ("x-amz-target", "secretsmanager.CreateSecret"),
        ("content-type", "application/x-amz-json-1.1"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        ),
    ];
    let answer: Value = Api::new(endpoint_url, "").post_with(&headers, body.to_string()).await.expect(200).json();
    Ok(answer["ARN"].as_str().context("an ARN")?.to_owned())
}
