//! Postgres over TCP and rustls. `sslmode` means what it means to libpq: `require` encrypts, `verify-full` also checks the name.

use std::sync::Arc;
use std::time::Duration;

use tikku_store::{Clients, Connect, ConnectError, Time};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{time, tls};
use crate::ConfigError;

/// A lost server is noticed within this: a frozen Lambda instance may wake up with one.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// At most `most` connections to the database behind a `postgres://` URL.
pub fn clients(database_url: &str, extra_ca_file: Option<&str>, most: usize) -> Result<Clients, ConfigError> {
    Ok(Clients::new(
        connector(database_url, extra_ca_file)?,
        most,
        Time { now_ms: time::monotonic_ms, sleep_ms: |ms| Box::pin(time::sleep_ms(ms)) },
    ))
}

/// Opens connections to the database behind a `postgres://` URL.
pub fn connector(database_url: &str, extra_ca_file: Option<&str>) -> Result<Connect, ConfigError> {
    let verify = ["verify-full", "verify-ca"].iter().any(|mode| database_url.contains(&format!("sslmode={mode}")));
    let plain = database_url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    // The parser's own message could hold the password.
    let bad = |_| ConfigError { name: "DATABASE_URL", detail: "expected postgres://user:password@host:port/database".to_owned() };
    let mut config: Config = plain.parse().map_err(bad)?;
    config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(SILENCE_MAX).keepalives_idle(SILENCE_MAX);
    if config.get_application_name().is_none() {
        config.application_name("tikku");
    }
    let tls = if verify { tls::verifying(extra_ca_file)? } else { tls::encrypting()? };
    let shared = Arc::new((config, MakeRustlsConnect::new(tls)));
    Ok(Arc::new(move || {
        let shared = shared.clone();
        Box::pin(async move {
            let (config, tls) = &*shared;
            match config.get_ssl_mode() {
                SslMode::Disable => drive(config.connect(NoTls).await),
                _ => drive(config.connect(tls.clone()).await),
            }
        })
    }))
}

type Opened<S, T> = Result<(tokio_postgres::Client, tokio_postgres::Connection<S, T>), tokio_postgres::Error>;

fn drive<S, T>(opened: Opened<S, T>) -> Result<tokio_postgres::Client, ConnectError>
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    let (client, connection) = opened.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        ConnectError(format!("{error}{cause}"))
    })?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a database connection broke");
        }
    });
    Ok(client)
}
